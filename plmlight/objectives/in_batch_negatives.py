from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import ProcessGroup

from plmlight.objectives.base import Batch, Parts
from plmlight.objectives.embedding import EmbeddingObjective, gather


class InBatchNegatives(EmbeddingObjective):
    """Picks a text's own partner among those of the whole batch (Henderson et al. 2017, arXiv:1705.00652, section 4).

    Cross entropy over cosines divided by a temperature (InfoNCE: van den Oord et al. 2018, arXiv:1807.03748, eq. 4).
    Third and further texts of an example are hard negatives, of all examples (Gao et al. 2021, arXiv:2104.08821, eq.
    5). A text together with itself, read twice with different dropout, is SimCSE (there, section 3). What is no
    negative is left out, wherever it stands: a text equal to the one asked about, to its partner, or to a partner that
    an equal text has.

    On several ranks the texts of all of them are compared, and gradients flow to all: the same as one large batch.

    Args:
        temperature: what cosines are divided by.
        symmetric: ask for the first text by the second one too, and take the mean of both losses.

    Raises:
        ValueError: when the temperature is not positive.
    """

    def __init__(self, temperature: float = 0.05, symmetric: bool = False) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature {temperature} must be more than 0")
        self.temperature, self.symmetric = temperature, symmetric

    def loss(self, vectors: Sequence[Tensor], batch: Batch, group: ProcessGroup | None = None) -> Parts:
        """The cross entropy, a sum over the examples."""
        if len(vectors) < 2:
            raise ValueError("InBatchNegatives learns from pairs of texts, and the examples have one text only")
        directions = [F.normalize(each.float(), dim=-1, eps=1e-12) for each in vectors]
        gathered = [gather(each, group) for each in directions]
        everything, start = [rows for rows, _ in gathered], gathered[0][1]
        own = torch.arange(len(directions[0]), device=directions[0].device) + start
        ids = batch.get("text_ids")
        all_ids = None if ids is None else gather(ids, group)[0]

        def entropy(asked: int, answers: Sequence[int]) -> Tensor:
            logits = directions[asked] @ torch.cat([everything[place] for place in answers]).T / self.temperature
            if ids is not None and all_ids is not None:
                logits = logits.masked_fill(_equal(ids, all_ids, own, asked, answers), -torch.inf)
            return F.cross_entropy(logits, own, reduction="sum")

        total = entropy(0, range(1, len(vectors)))
        if self.symmetric:
            total = (total + entropy(1, [0])) / 2
        return {"loss": (total, total.new_tensor(float(len(own))))}


def _equal(ids: Tensor, everything: Tensor, own: Tensor, asked: int, answers: Sequence[int]) -> Tensor:
    """Which answers [B, N * answers] are no negatives, though they are not the one that is looked for."""
    question = ids[:, asked, None]
    texts, number = torch.unique(everything[:, list(answers)].T.flatten(), return_inverse=True)  # [U], [N * answers]
    alike = everything[:, asked] == question  # [B, N]
    partners = alike.new_zeros(len(ids), len(texts), dtype=torch.float32)
    partners.index_add_(1, number[: len(everything)], alike.float())
    found: Tensor = ((partners > 0) | (texts == question)).index_select(1, number)
    found[torch.arange(len(own), device=own.device), own] = False
    return found
