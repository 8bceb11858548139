"""What a network carries from step to step where the data comes in streams."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from plmlight.nn import Cache


class Carried:
    """The state of each row of a batch, for the batch that goes on where this one stopped.

    Training and evaluation each have their own, so that validating in between disturbs nothing. What training carries
    lies in the checkpoint, the rows of all ranks together, so that a resumed run is the same bit by bit.
    """

    def __init__(self) -> None:
        self._states: dict[bool, Cache] = {}  # of training (True) and of evaluation
        self._saved: Cache = ()  # [rows of all ranks, ...], until the ranks are known

    def take(self, training: bool, continues: Tensor, empty: Cache, group: ProcessGroup | None = None) -> Cache:
        """Gives each row what it left behind.

        Args:
            training: whether this is a step of training.
            continues: [B], 1 where the row goes on where that row of the batch before stopped, 0 where it begins anew.
            empty: the state of rows that begin anew, tensors whose first dimension is B.
            group: the ranks that share a step.

        Returns:
            The state, detached, of ``empty``'s shapes, types and device.

        Raises:
            ValueError: when nothing is there that fits and a row is to go on.
        """
        if training and self._saved:
            self._states[True], self._saved = _share(self._saved, len(continues), group), ()
        state = self._states.get(training)
        if state is None or any(old.shape != new.shape for old, new in zip(state, empty, strict=True)):
            if bool(continues.any()):
                raise ValueError(
                    f"a batch of {len(continues)} rows is to go on where the one before stopped, but "
                    f"{_found(state, empty)}: resume with the streams and the network that the checkpoint was trained "
                    "with, or start from its weights"
                )
            return empty
        goes_on = continues.bool()
        return tuple(
            torch.where(goes_on.to(new.device).view(-1, *[1] * (new.ndim - 1)), old.to(new), new)
            for old, new in zip(state, empty, strict=True)
        )

    def keep(self, training: bool, state: Cache) -> None:
        """Takes what the rows leave behind.

        Args:
            training: whether this is a step of training.
            state: tensors whose first dimension is B; nothing is differentiated through them later.
        """
        self._states[training] = tuple(part.detach() for part in state)

    def save(self, group: ProcessGroup | None = None) -> dict[str, Tensor]:
        """Gives what training carries to a checkpoint; to be called on all ranks.

        Args:
            group: the ranks that share a step.

        Returns:
            Tensors whose first dimension is the rows of all ranks, in their order; nothing where nothing is carried.
        """
        if self._saved:  # loaded, and no step since
            return {str(i): part for i, part in enumerate(self._saved)}
        return {str(i): _gathered(part, group).cpu() for i, part in enumerate(self._states.get(True, ()))}

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """Goes on from what `save` gave; each rank takes its rows when the first batch is there."""
        self._saved = tuple(saved[str(i)] for i in range(len(saved)))


def _found(state: Cache | None, empty: Cache) -> str:
    """What there is in place of a state of the shapes of another one."""
    if state is None:
        return "nothing was carried on"
    old, new = next((old, new) for old, new in zip(state, empty, strict=True) if old.shape != new.shape)
    if len(old) != len(new):
        return f"{len(old)} rows were carried on"
    return f"what was carried on is of another shape ({list(old.shape)}, expected {list(new.shape)})"


def _gathered(part: Tensor, group: ProcessGroup | None) -> Tensor:
    if group is None:
        return part
    parts = [torch.empty_like(part) for _ in range(group.size())]
    torch.distributed.all_gather(parts, part.contiguous(), group)
    return torch.cat(parts)


def _share(saved: Cache, rows: int, group: ProcessGroup | None) -> Cache:
    rank = 0 if group is None else torch.distributed.get_rank(group)
    return tuple(part[rank * rows : (rank + 1) * rows] for part in saved)
