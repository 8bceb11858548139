"""The weights a network starts from."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import nn


def initialise(network: nn.Module, std: float = 0.02) -> None:
    """Draws matrices and embeddings from N(0, std), with biases 0 and norms 1, as GPT-1 and BERT do.

    Args:
        network: changed in place; on the meta device nothing happens.
        std: the standard deviation; 0.02 in GPT (Radford et al. 2018, section 4.1) and BERT (arXiv:1810.04805).
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        elif isinstance(module, nn.LayerNorm | nn.RMSNorm) and module.weight is not None:
            nn.init.ones_(module.weight)
        bias = getattr(module, "bias", None)
        if isinstance(module, nn.Linear | nn.LayerNorm) and bias is not None:
            nn.init.zeros_(bias)


def initialise_xavier(network: nn.Module, embedding_std: float) -> None:
    """Draws matrices uniformly after Glorot and Bengio (2010), with biases 0, as the Transformer's authors do.

    Args:
        network: changed in place; on the meta device nothing happens.
        embedding_std: of the normal distribution of the embeddings: one over the root of D (arXiv:1706.03762, section
            3.4, where they are multiplied by that root).
    """
    initialise(network, embedding_std)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)


def initialise_uniform(network: nn.Module, bound: float) -> None:
    """Draws every weight uniformly, as the recurrent networks' authors do (Sutskever et al. 2014, arXiv:1409.3215).

    Args:
        network: changed in place; on the meta device nothing happens.
        bound: the largest weight; the smallest is its negative.
    """
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -bound, bound)


def scale_residuals(projections: Iterable[nn.Linear], std: float = 0.02) -> None:
    """Draws what is added to the residual stream again, from N(0, std / root of their number).

    So the variance of the stream does not grow with the depth (GPT-2, Radford et al. 2019, section 2.3).

    Args:
        projections: every matrix that writes to the stream: two a layer, three with cross-attention.
        std: the standard deviation before the division.
    """
    written = list(projections)
    for projection in written:
        nn.init.normal_(projection.weight, std=std / math.sqrt(len(written)))
