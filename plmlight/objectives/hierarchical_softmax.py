from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmlight.objectives.base import Batch
from plmlight.objectives.word_vectors import WindowObjective


@dataclass(frozen=True)
class Tree:
    """A binary tree over words.

    Args:
        nodes: [V, L], int64, the inner nodes from the root (V-2) to each word; 0 where the way has ended.
        codes: [V, L], float32, which branch is taken there, 0 or 1.
        inside: [V, L], float32, 1 where the way has not ended.
    """

    nodes: Tensor
    codes: Tensor
    inside: Tensor


def huffman(counts: NDArray[np.int64]) -> Tree:
    """The tree in which frequent words are near the root (Huffman 1952).

    Args:
        counts: [V], of at least two words. Those that never occur are placed like those that occur once.

    Returns:
        The tree; the same counts give the same one.
    """
    size = len(counts)
    order = np.argsort(np.maximum(counts, 1), kind="stable")
    weights = [*np.maximum(counts, 1)[order].tolist(), *([0] * (size - 1))]
    parent, branch = np.zeros(2 * size - 1, np.int64), np.zeros(2 * size - 1, np.float32)
    leaf, inner = 0, size  # the lightest of either kind that has no parent yet; inner nodes are made in order of weight
    for made in range(size, 2 * size - 1):
        for side in (0.0, 1.0):
            if leaf < size and (inner >= made or weights[leaf] <= weights[inner]):
                child, leaf = leaf, leaf + 1
            else:
                child, inner = inner, inner + 1
            weights[made] += weights[child]
            parent[child], branch[child] = made, side
    depth = np.zeros(2 * size - 1, np.int64)
    for node in range(2 * size - 3, -1, -1):
        depth[node] = depth[parent[node]] + 1
    longest = int(depth[:size].max())
    nodes, codes = np.zeros((size, longest), np.int64), np.zeros((size, longest), np.float32)
    at, place = np.arange(size), depth[:size].copy()
    while (climbing := np.flatnonzero(place)).size:
        place[climbing] -= 1
        nodes[climbing, place[climbing]] = parent[at[climbing]] - size
        codes[climbing, place[climbing]] = branch[at[climbing]]
        at[climbing] = parent[at[climbing]]
    back = np.empty(size, np.int64)
    back[order] = np.arange(size)
    inside = (np.arange(longest) < depth[:size, None]).astype(np.float32)
    return Tree(*(torch.from_numpy(array[back]) for array in (nodes, codes, inside)))


class HierarchicalSoftmax(WindowObjective):
    """A word is predicted by the way to it through a Huffman tree (Morin and Bengio 2005; Mikolov et al. 2013).

    arXiv:1310.4546, section 2.1: each inner node has a row of the output table, of which the last one is not used, and
    the product of the probabilities of the branches is that of the word; those of all words sum to 1.

    Args:
        sub_batch: rows of text that a small step takes at once.
    """

    def __init__(self, sub_batch: int = 8) -> None:
        super().__init__(sub_batch)
        self._tree: Tree | None = None

    def use_counts(self, counts: Tensor) -> None:
        """Makes the tree.

        Raises:
            ValueError: for less than two words.
        """
        if len(counts) < 2:
            raise ValueError(f"HierarchicalSoftmax needs at least two words, the vocabulary has {len(counts)}")
        self._tree = huffman(counts.cpu().numpy())

    def questions(self, batch: Batch, pairs: Tensor, centres: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The branches on the way to each centre; branch 0 is a yes."""
        assert self._tree is not None, "use_counts was not called"
        if self._tree.nodes.device != centres.device:
            self._tree = Tree(*(each.to(centres.device) for each in vars(self._tree).values()))
        (size, length), ids = centres.shape, centres.reshape(-1)
        inside = self._tree.inside.index_select(0, ids)
        longest = max(1, int(inside.sum(1).max()))  # of the words that are here

        def on_the_way(table: Tensor) -> Tensor:
            return table.index_select(0, ids)[:, :longest].reshape(size, length * longest)

        rows, labels = on_the_way(self._tree.nodes), 1 - on_the_way(self._tree.codes)
        weights = pairs.repeat_interleave(longest, 2) * on_the_way(self._tree.inside)[:, None].to(pairs.dtype)
        return rows, labels[:, None].to(pairs.dtype), weights

    def log_probabilities(self, vectors: Tensor, table: Tensor) -> Tensor:
        """The logarithm of each word's probability.

        Args:
            vectors: [B, D], which predict.
            table: [V, D], the output table.

        Returns:
            [B, V]; the probabilities of a row sum to 1.
        """
        assert self._tree is not None, "use_counts was not called"
        logits = torch.einsum("bd,vld->bvl", vectors, table[self._tree.nodes])
        signed = torch.where(self._tree.codes == 0, logits, -logits)
        return (torch.nn.functional.logsigmoid(signed) * self._tree.inside).sum(-1)
