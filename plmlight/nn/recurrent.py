"""Layers of LSTM, which have a state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from plmlight.nn.dropout import dropped
from plmlight.nn.roles import Cache


class TokensFirst:
    """Puts the tokens of each row in front of its padding, wherever that is, and back.

    Args:
        attention_mask: [B, T], 0 is padding.
    """

    def __init__(self, attention_mask: Tensor) -> None:
        self._valid = attention_mask > 0
        length = attention_mask.shape[1]
        self.place = self._valid.cumsum(1)
        """[B, T], of a token among the tokens of its row, counted from 1; at padding that of the token before."""
        self.counts = self.place[:, -1]
        """[B], the tokens of each row."""
        # where each token of a row is; padding is written to a place beyond the last, which nobody reads
        order = torch.arange(length, device=attention_mask.device).expand(self._valid.shape)
        order = torch.zeros_like(self.place[:, :1]).expand(-1, length + 1).scatter(1, self._beyond(length), order)
        self.order = order[:, :-1]
        """[B, T], the column of each token, the first ones first; what follows a row's last means nothing."""

    def front(self, x: Tensor) -> Tensor:
        """Rows [B, T, D] with their tokens first; what follows them means nothing."""
        return _rows(x, self.order)

    def back(self, x: Tensor) -> Tensor:
        """What came of such rows [B, T, D], each token where it was, and zero at padding."""
        return _rows(x, (self.place - 1).clamp(min=0)).masked_fill(~self._valid[..., None], 0)

    def _beyond(self, length: int) -> Tensor:
        return torch.where(self._valid, self.place - 1, length)


class LSTM(nn.Module):
    """Layers of long short-term memory (Hochreiter and Schmidhuber 1997; with the forget gate of Gers et al. 2000).

    The equations are those of `torch.nn.LSTM`, whose weights these are. Padding, wherever in a row it is, is not read:
    the state stays as it is, in both directions, and the output there is zero. A row holds one document: any number
    but 0 in its mask is a token.

    Args:
        input_dim: the width of what comes in.
        hidden_dim: the width of the state, in each direction.
        num_layers: how many layers.
        bidirectional: read from right to left as well, and put both outputs side by side (Schuster and Paliwal 1997).
        dropout: on what goes from one layer to the next, while training.
        weight_dropout: on the matrices from state to state, once for all that `forward` reads (Merity et al. 2017,
            arXiv:1708.02182, section 2), while training.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        weight_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight_dropout = weight_dropout
        self.hidden_dim, self.num_layers = hidden_dim, num_layers
        self.directions = 2 if bidirectional else 1
        self.dropout = dropout
        self.cells = nn.LSTM(
            input_dim,
            hidden_dim,
            num_layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if num_layers > 1 else 0.0,
        )

    def forward(
        self, x: Tensor, attention_mask: Tensor | None = None, state: Cache | None = None
    ) -> tuple[Tensor, Cache]:
        """Reads a sequence.

        Args:
            x: [B, T, D_in].
            attention_mask: [B, T], 0 is padding; None says that there is none.
            state: hidden state and cell of each layer in turn, [B, H] each, with both directions side by side; zeros
                by default.

        Returns:
            The last layer's output [B, T, H], and the state after the last token.
        """
        if state is None:
            state = self.empty_state(x.shape[0], x.dtype, x.device)
        if attention_mask is None:
            return self._run(x, None, state)
        tokens = TokensFirst(attention_mask)
        out, last = self.read(tokens.front(x), tokens.counts, state)
        return tokens.back(out), last

    def read(self, x: Tensor, counts: Tensor | None, state: Cache) -> tuple[Tensor, Cache]:
        """Reads rows whose tokens are in front.

        Args:
            x: [B, T, D_in].
            counts: [B], how many tokens each row has; None where all are tokens.
            state: as in `forward`.

        Returns:
            The last layer's output [B, T, H], which means nothing behind a row's tokens, and the state after the last.
        """
        if counts is None:
            return self._run(x, None, state)
        out, last = self._run(x, counts.clamp(min=1), state)
        some = (counts > 0)[:, None]
        return out, tuple(torch.where(some, new, old) for new, old in zip(last, state, strict=True))

    def step(self, x: Tensor, state: Cache) -> tuple[Tensor, Cache]:
        """Reads one token, in one direction: ``x`` [B, D_in] to the output [B, H], and the state after it."""
        new: list[Tensor] = []
        for i in range(self.num_layers):
            if i > 0 and self.training and self.dropout:
                x = dropped(x, self.dropout)
            x, cell = torch.lstm_cell(x, state[2 * i : 2 * i + 2], *self._weights(i))
            new += (x, cell)
        return x, tuple(new)

    def empty_state(self, batch_size: int, dtype: torch.dtype, device: torch.device | str) -> Cache:
        """The state of layers that have read nothing."""
        width = self.directions * self.hidden_dim
        return tuple(torch.zeros(batch_size, width, dtype=dtype, device=device) for _ in range(2 * self.num_layers))

    def _weights(self, layer: int, direction: int = 0) -> list[Tensor]:
        end = f"l{layer}" + ("_reverse" if direction else "")
        return [getattr(self.cells, f"{kind}_{end}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]

    def _run(self, x: Tensor, lengths: Tensor | None, state: Cache) -> tuple[Tensor, Cache]:
        """Reads rows whose tokens are at the front."""
        if torch.onnx.is_in_onnx_export():
            return self._run_in_graph(x, lengths, state)
        first = self._stacked(state[::2]), self._stacked(state[1::2])  # [L * directions, B, H]
        if lengths is None and x.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):  # torch's kernel for the CPU takes one type for all
                dtype = self._weights(0)[0].dtype
                out, last = self._cells(x.to(dtype), (first[0].to(dtype), first[1].to(dtype)))
        elif lengths is None:
            out, last = self._cells(x, first)
        else:
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            packed, last = self._packed_cells(packed, first)
            out, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])
        hidden, cell = (self._separate(part) for part in last)
        return out, tuple(part for pair in zip(hidden, cell, strict=True) for part in pair)

    def _cells(self, x: Tensor, first: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if not (self.training and self.weight_dropout):
            out, last = self.cells(x, first)
            return out, last
        out, hidden, cell = torch.lstm(x, first, self._dropped(), True, *self._settings(), True)
        return out, (hidden, cell)

    def _packed_cells(
        self, x: PackedSequence, first: tuple[Tensor, Tensor]
    ) -> tuple[PackedSequence, tuple[Tensor, Tensor]]:
        if not (self.training and self.weight_dropout):
            out, last = self.cells(x, first)
            return out, last
        assert x.sorted_indices is not None
        assert x.unsorted_indices is not None
        ordered = tuple(part.index_select(1, x.sorted_indices) for part in first)
        data, *state = torch.lstm(x.data, x.batch_sizes, ordered, self._dropped(), True, *self._settings())
        hidden, cell = (part.index_select(1, x.unsorted_indices) for part in state)
        return PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices), (hidden, cell)

    def _dropped(self) -> list[Tensor]:
        """The weights in torch's order, with zeros in the matrices from state to state."""
        weights = [self._weights(layer, way) for layer in range(self.num_layers) for way in range(self.directions)]
        return [dropped(w, self.weight_dropout) if i == 1 else w for four in weights for i, w in enumerate(four)]

    def _settings(self) -> tuple[int, float, bool, bool]:
        """Layers, dropout between them, whether in training, whether in both directions."""
        return self.num_layers, self.cells.dropout, True, self.directions == 2

    def _run_in_graph(self, x: Tensor, lengths: Tensor | None, state: Cache) -> tuple[Tensor, Cache]:
        """The same as ONNX's operator, which knows lengths and takes any."""
        from torch.onnx.ops import symbolic_multi_out

        x, width, n = x.transpose(0, 1), self.hidden_dim, self.directions  # [T, B, D_in]
        counts = None if lengths is None else lengths.to(torch.int32)
        new: list[Tensor] = []
        for i in range(self.num_layers):
            weights = [self._weights(i, direction) for direction in range(n)]
            of_input, of_hidden = (torch.stack([_gates(w[k]) for w in weights]) for k in (0, 1))  # [n, 4 H, ...]
            bias = torch.stack([torch.cat([_gates(w[2]), _gates(w[3])]) for w in weights])  # [n, 8 H]
            hidden, cell = (self._stacked([part]) for part in state[2 * i : 2 * i + 2])  # [n, B, H]
            out, *last = symbolic_multi_out(
                "LSTM",
                (x, of_input, of_hidden, bias, counts, hidden, cell),
                {"hidden_size": width, "direction": "bidirectional" if n == 2 else "forward"},
                dtypes=[x.dtype] * 3,
                shapes=[(x.shape[0], n, x.shape[1], width), (n, x.shape[1], width), (n, x.shape[1], width)],
            )  # [T, n, B, H], [n, B, H], [n, B, H]
            x = out.transpose(1, 2).flatten(2)  # [T, B, n H]
            new += (part for both in last for part in self._separate(both))
        return x.transpose(0, 1), tuple(new)

    def _stacked(self, parts: Sequence[Tensor]) -> Tensor:
        """[B, directions * H] of each layer to [L * directions, B, H]."""
        return torch.cat([part.unflatten(1, (self.directions, self.hidden_dim)).transpose(0, 1) for part in parts])

    def _separate(self, stacked: Tensor) -> list[Tensor]:
        """The inverse of `_stacked`."""
        layers = stacked.unflatten(0, (-1, self.directions))  # [L, directions, B, H]
        return [layer.transpose(0, 1).flatten(1) for layer in layers]


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """``x`` [B, T, D] at the places [B, T] of each row."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))


def _gates(weight: Tensor) -> Tensor:
    """From torch's order of gates (input, forget, cell, output) to ONNX's (input, output, forget, cell)."""
    size = weight.shape[0] // 4
    return torch.cat([weight[:size], weight[3 * size :], weight[size : 3 * size]])
