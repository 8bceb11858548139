from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from torch import nn

from plmlight.adapters.adapter import Adapter
from plmlight.nn import PACKED, LowRankLinear, Network, merge_low_rank
from plmlight.text import nearest

QUERY_AND_VALUE = ("*attention.query", "*attention.value")


class LoRA(Adapter):
    """Differences of low rank for a network's matrices (Hu et al. 2021, arXiv:2106.09685).

    The matrix W becomes W + alpha / r B A, where A starts at random and B at 0. A matrix that holds several, as the
    one of query, key and value does, has a difference for each that is chosen.

    Args:
        rank: r.
        alpha: the numerator of the scale.
        dropout: on what comes into A.
        targets: patterns (``*`` is any text) of the matrices, by their names in the network:
            ``stack.layers.0.attention.query``, ``.key``, ``.value`` and ``.out``, ``stack.layers.0.feed_forward.up``
            and so on. By default query and value of every attention, as in the paper; ``["*"]`` is all.

    Raises:
        ValueError: for a rank below 1, a scale of 0, or a share that is none.
    """

    def __init__(
        self, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0, targets: list[str] | None = None
    ) -> None:
        if rank < 1:
            raise ValueError(f"rank {rank}: expected at least 1")
        if alpha <= 0:
            raise ValueError(f"alpha {alpha}: expected more than 0")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout {dropout}: expected at least 0 and less than 1")
        self.rank, self.alpha, self.dropout = rank, alpha, dropout
        self.targets = list(QUERY_AND_VALUE) if targets is None else targets

    def insert(self, network: Network) -> None:
        """Adds the differences."""
        known: list[str] = []
        used: set[str] = set()
        for parent, name, linear, path in list(_linears(network)):
            parts = _parts(path, linear)
            chosen = {}
            for full, span in parts.items():
                matching = {pattern for pattern in self.targets if fnmatchcase(full, pattern)}
                used |= matching
                if matching:
                    chosen[full.rpartition(".")[2]] = span
            known += parts
            if chosen:
                setattr(parent, name, LowRankLinear(linear, chosen, self.rank, self.alpha / self.rank, self.dropout))
        given = [pattern for pattern in self.targets if pattern not in used]
        if not used or (given and self.targets != list(QUERY_AND_VALUE)):
            what = given[0] if given else "[]"
            raise ValueError(
                f"LoRA: targets: no matrix of {type(network).__name__} matches {what!r}{nearest(what, known)}"
            )

    def idle(self, network: Network, unread: Sequence[nn.Module]) -> str:
        """See `Adapter.idle`; names the targets, and what a matrix that is read with is called."""
        within = {id(module) for part in unread for module in part.modules()}
        read: list[str] = []
        chosen: list[str] = []
        for _, _, linear, path in _linears(network):
            parts = _parts(path, linear)
            if id(linear) not in within:
                read += parts
            elif isinstance(linear, LowRankLinear):
                chosen += [name for name in parts if name.rpartition(".")[2] in linear.parts]
        return f"{super().idle(network, unread)}; targets {self.targets} match {chosen[0]!r}{nearest(chosen[0], read)}"

    def merge(self, network: Network) -> None:
        """Adds the differences to the matrices."""
        merge_low_rank(network)


def _linears(network: Network) -> Iterator[tuple[nn.Module, str, nn.Linear, str]]:
    for path, parent in network.named_modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                yield parent, name, child, f"{path}.{name}" if path else name


def _parts(path: str, linear: nn.Linear) -> dict[str, tuple[int, int]]:
    """The matrices that a layer holds, by name, and their rows."""
    before, _, name = path.rpartition(".")
    packed = PACKED.get(name)
    if packed is None:
        return {path: (0, linear.out_features)}
    rows = linear.out_features // len(packed)
    return {f"{before}.{part}": (i * rows, (i + 1) * rows) for i, part in enumerate(packed)}
