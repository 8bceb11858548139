from __future__ import annotations

from torch import Tensor, nn

from plmlight.heads.lm import LMHead
from plmlight.nn import Encoder, initialise
from plmlight.nn.feed_forward import activation_function


class MaskedLMHead(LMHead):
    """A layer of its own, then the scores of every token of the vocabulary (BERT, arXiv:1810.04805, section 3.1).

    The layer is a matrix, an activation and a norm; ALBERT's also leads from D back to the width E of its embedding.

    Args:
        d_model: D.
        vocab_size: V.
        d_embedding: E, the width of ``weight``; D by default.
        activation: of the layer.
        norm_eps: of its norm.
        weight: the matrix [V, E] to share with the token embedding; a new one by default.
    """

    def __init__(
        self,
        d_model: int,
        vocab_size: int,
        d_embedding: int | None = None,
        activation: str = "gelu",
        norm_eps: float = 1e-12,
        weight: Tensor | None = None,
    ) -> None:
        width = d_embedding if d_embedding is not None else d_model
        super().__init__(width, vocab_size, bias=True, weight=weight)
        self.transform = nn.Linear(d_model, width)
        initialise(self.transform)
        self.activation = activation_function(activation)
        self.norm = nn.LayerNorm(width, eps=norm_eps)

    def before_projection(self, hidden: Tensor) -> Tensor:
        """The layer: [..., D] to [..., E]."""
        out: Tensor = self.norm(self.activation(self.transform(hidden)))
        return out


def masked_head(network: Encoder, tie: bool = True) -> LMHead:
    """The head that names an encoder's hidden tokens, as its architecture has it.

    Args:
        network: the encoder.
        tie: whether the projection is the token embedding's table (Press and Wolf 2017, arXiv:1608.05859).

    Returns:
        With a layer of its own or without.
    """
    table = network.token_embedding.weight
    shared = table if tie else None
    if not network.head_transform:
        return LMHead(table.shape[1], network.vocab_size, bias=True, weight=shared)
    return MaskedLMHead(
        network.d_model, network.vocab_size, table.shape[1], network.activation, network.norm_eps, shared
    )
