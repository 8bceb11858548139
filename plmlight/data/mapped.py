"""Arrays that lie in files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Mapped:
    """An array, most often a memory map, which travels to a worker process as its file's name and not as its content.

    Args:
        array: of any shape.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self.array: NDArray[Any] = np.asarray(array)
        self._place: tuple[Any, ...] | None = None
        if isinstance(array, np.memmap) and array.filename is not None:
            self._place = (str(array.filename), array.dtype, "r", array.offset, array.shape)

    def __len__(self) -> int:
        return len(self.array)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | ({"array": None} if self._place else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._place:
            self.array = np.asarray(np.memmap(*self._place))
