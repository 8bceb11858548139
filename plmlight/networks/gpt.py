from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from plmlight.interop import GPT2, OPENAI_GPT, Family, Pretrained, load_network
from plmlight.nn import (
    Cache,
    CrossAttention,
    Dropout,
    FeedForward,
    LearnedPositions,
    Mask,
    PromptableDecoder,
    RotaryPositions,
    SelfAttention,
    SinusoidalPositions,
    Stack,
    TransformerLayer,
    bias_of,
    build,
    config_of,
    cross_mask,
    initialise,
    positions_of,
    scale_residuals,
    sees_causally,
    triangle,
    within_window,
)
from plmlight.nn.attention import divided


class GPT(Pretrained, PromptableDecoder):
    """The decoders of GPT-1, GPT-2 and GPT-3.

    GPT-1 (Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training") normalises after each
    sublayer: ``norm_first=False``. GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners",
    section 2.3) normalises before, adds a norm at the end and scales the residual projections at the start: the
    default. GPT-3 (Brown et al. 2020, arXiv:2005.14165, section 2.1) alternates dense and locally banded attention:
    ``windows=[null, 256]``; the paper does not give its bandwidth, 256 is GPT-Neo's.

    Args:
        vocab_size: V.
        d_model: D.
        num_layers: the number of layers.
        num_heads: H.
        d_ff: the width of the feed-forward; 4 D by default.
        dropout: on embeddings, attention weights and sublayer outputs.
        max_length: the number of positions.
        pad_token_id: the id that fills up batches; it has no influence where the mask is 0.
        norm_first: normalise before each sublayer, and once at the end.
        activation: gelu_tanh (the papers'), gelu, relu or silu.
        bias: whether matrices and norms have one.
        norm_eps: what the norms add to the variance.
        windows: how many tokens a layer sees, cycled over the layers; null is all of them.
        positions: learned (the papers'), sinusoidal, or rotary.
        memory_dim: the width of an encoder's output to attend to; null for no cross-attention.
        activation_checkpointing: trade time for memory while training.

    Raises:
        ValueError: when the heads do not divide the width, or a window is not positive.
    """

    families: ClassVar[tuple[Family, ...]] = (GPT2, OPENAI_GPT)

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        d_ff: int | None = None,
        dropout: float = 0.1,
        max_length: int = 1024,
        pad_token_id: int = 0,
        norm_first: bool = True,
        activation: str = "gelu_tanh",
        bias: bool = True,
        norm_eps: float = 1e-5,
        windows: Sequence[int | None] = (None,),
        positions: Literal["learned", "sinusoidal", "rotary"] = "learned",
        memory_dim: int | None = None,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__(vocab_size, d_model, max_length, pad_token_id)
        if not windows or any(window is not None and window < 1 for window in windows):
            raise ValueError(f"windows {list(windows)}: expected positive lengths or null, at least one")
        self.num_layers, self.num_heads, self.head_dim = num_layers, num_heads, divided(d_model, num_heads)
        self.windows, self.memory_dim = tuple(windows), memory_dim
        self.token_table = nn.Embedding(vocab_size, d_model)
        self.positions: nn.Module | None = None
        if positions == "learned":
            self.positions = LearnedPositions(max_length, d_model)
        elif positions == "sinusoidal":
            self.positions = SinusoidalPositions(d_model)
        norm = partial(nn.LayerNorm, d_model, eps=norm_eps, bias=bias)
        rotary = RotaryPositions(self.head_dim) if positions == "rotary" else None
        layers = [
            TransformerLayer(
                SelfAttention(d_model, num_heads, dropout=dropout, bias=bias, rotary=rotary),
                FeedForward(d_model, d_ff if d_ff is not None else 4 * d_model, activation=activation, bias=bias),
                norm,
                norm_first=norm_first,
                cross_attention=None
                if memory_dim is None
                else CrossAttention(d_model, num_heads, memory_dim=memory_dim, dropout=dropout, bias=bias),
                dropout=dropout,
            )
            for _ in range(num_layers)
        ]
        self.stack = Stack(layers, activation_checkpointing=activation_checkpointing)
        self.norm = norm() if norm_first else nn.Identity()
        self.dropout = Dropout(dropout)
        initialise(self)
        if norm_first:
            scale_residuals(
                projection
                for layer in layers
                for projection in (
                    layer.attention.out,
                    layer.feed_forward.down,
                    getattr(layer.cross_attention, "out", None),
                )
                if isinstance(projection, nn.Linear)
            )

    @classmethod
    def from_pretrained(cls, folder: str, dropout: float | None = None, memory_dim: int | None = None) -> GPT:
        """Starts from trained weights.

        Args:
            folder: a Hugging Face folder or hub id of the openai-gpt or gpt2 family, or a checkpoint with a GPT in it.
            dropout: replaces the one that is written there.
            memory_dim: the width of an encoder's output to attend to, by matrices that start anew where none are there.

        Returns:
            The network.

        Raises:
            ValueError: when there is no such network, its weights do not fit, or it attends to another width.
        """
        network = load_network(cls, folder, dropout)
        return network if memory_dim in (None, network.memory_dim) else network.attending(memory_dim, folder)

    def attending(self, memory_dim: int, where: str = "the network") -> GPT:
        """The same network with attention to a memory in each layer, whose weights are new.

        Args:
            memory_dim: the width of the memory.
            where: what to call this network in an error.

        Returns:
            Another network, which shares no weights with this one.

        Raises:
            ValueError: when it attends to a memory already.
        """
        if self.memory_dim is not None:
            raise ValueError(f"{where} attends to vectors {self.memory_dim} wide, not {memory_dim}")
        config = config_of(self)
        made: GPT = build({**config, "init_args": {**config["init_args"], "memory_dim": memory_dim}})
        missing, extra = made.load_state_dict(self.state_dict(), strict=False)
        assert not extra
        assert all(".cross_attention" in name for name in missing)
        return made

    @property
    def token_embedding(self) -> nn.Embedding:
        """The table of the tokens [V, D]."""
        return self.token_table

    def read(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """Reads tokens; see `Decoder.forward`, which goes on from a prompt where there is one.

        Raises:
            ValueError: for a document of more tokens than there are positions.
        """
        length = input_ids.shape[1]
        past = 0 if cache is None else cache[0].shape[2]
        masks, positions = self.masks(length, past, attention_mask, input_ids.device)
        x = self.embed(input_ids, positions)  # [B, T, D]
        cross = None
        if memory_mask is not None and self.memory_dim is not None:
            asking = None if attention_mask is None else attention_mask[:, past:]
            cross = cross_mask(memory_mask, input_ids.numel(), asking, x.dtype)
        x, cache = self.stack(x, masks, positions, cache, memory, cross)
        return self.norm(x), cache

    def embed(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """Token vectors plus position vectors: [B, T] and [B, T] or [1, T] to [B, T, D]."""
        x = self.token_table(input_ids)
        if self.positions is not None:
            x = x + self.positions(positions).to(x.dtype)
        out: Tensor = self.dropout(x)
        return out

    def masks(
        self, length: int, past: int, attention_mask: Tensor | None, device: torch.device
    ) -> tuple[list[Mask], Tensor]:
        """What each layer sees, cycled like ``windows``, and the positions [B, T] or [1, T]."""
        total = past + length
        dtype = self.token_table.weight.dtype
        if attention_mask is None:
            positions = torch.arange(past, total, device=device)[None]  # [1, T]
            visible = None if past == 0 or length == 1 else triangle(length, total, device)
        else:
            visible = sees_causally(attention_mask, length)  # [B, T, S]
            positions = positions_of(visible)  # [B, T]
        if isinstance(self.positions, LearnedPositions):
            self.positions.check(total, None if attention_mask is None else positions)
        masks = []
        for window in self.windows:
            seen = visible
            if window is not None and (attention_mask is not None or window < total):
                band = within_window(length, total, window, device)
                seen = band & (visible if visible is not None else triangle(length, total, device))
            masks.append(Mask(causal=past == 0 and length > 1) if seen is None else Mask(bias_of(seen, dtype)))
        return masks, positions

    def empty_cache(
        self,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        memory: Tensor | None = None,
    ) -> Cache:
        """Keys and values of no token, two tensors [B, H, 0, D/H] a layer, and those of the memory; see `Stack`."""
        return self.stack.empty_cache(batch_size, dtype, device, memory)

    def cache_names(self) -> list[str]:
        """``0.key``, ``0.value``, ``1.key``, ...; with cross-attention as `Stack.cache_names` says."""
        return self.stack.cache_names()
