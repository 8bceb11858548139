"""A batch of windows whose pairs are known."""

from collections.abc import Iterator

import torch

from plmlight.objectives import Batch

WINDOWS = [(1, [2, 3]), (2, [1, 3]), (3, [2]), (4, [5]), (5, [4, 6]), (6, [4, 5, 7, 1]), (7, [6, 1]), (1, [7])]
"""Each centre with its context, in the order of the text: 1 2 3 | 4 5 6 7 1, windows of 2 2 1 1 1 2 1 1."""


def window_batch() -> Batch:
    """Two rows of four words with two neighbours on each side, and one row of padding."""
    words, segments = [1, 2, 3, 4, 5, 6, 7, 1], [1, 1, 1, 2, 2, 2, 2, 2]
    windows = torch.tensor([[2, 2, 1, 1], [1, 2, 1, 1], [0, 0, 0, 0]])
    return {
        "input_ids": torch.tensor([0, 0, *words, 0, 0, 0, 0, 0, 0]).unfold(0, 8, 4).contiguous(),
        "segments": torch.tensor([0, 0, *segments, 0, 0, 0, 0, 0, 0]).unfold(0, 8, 4).contiguous(),
        "windows": windows,
        "sample_ids": torch.tensor([0, 1, 2]),
        "epoch": torch.tensor(0),
    }


def pairs_of(batch: Batch) -> Iterator[tuple[int, int, list[int]]]:
    """The row, the centre and the context of each window, word by word."""
    ids, segments, windows = (batch[name].tolist() for name in ("input_ids", "segments", "windows"))
    most = (len(ids[0]) - len(windows[0])) // 2
    for row in range(len(ids)):
        for place, size in enumerate(windows[row]):
            at = place + most
            near = [other for other in range(at - size, at + size + 1) if other != at]
            context = [ids[row][other] for other in near if segments[row][other] == segments[row][at] != 0]
            if context:
                yield row, ids[row][at], context
