"""The loss of permutation language models over orders that are always the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from plmlight.decoding import MaskFiller
from plmlight.decoding.encoder import TextReader
from plmlight.evaluation.documents import Document, Units
from plmlight.evaluation.masked import cut_pieces
from plmlight.evaluation.measurement import Advance, Measurement, cross_entropy, ratio
from plmlight.objectives import KeyedRandom
from plmlight.tasks import PermutationLM, TorchMaskedModel


def measure_permutation(
    model: MaskFiller,
    documents: Sequence[Document],
    context: int | None = None,
    batch_size: int = 32,
    advance: Advance = lambda done, total: None,
) -> tuple[Measurement, dict[str, int]]:
    """Predicts tokens in the orders that the task's objective draws for epoch 0, a piece of text at a time.

    The orders depend on the task's seed and the number of the piece alone, so that two models with one tokenizer and
    objective are asked for the same tokens.

    Args:
        model: the masked language model of a `PermutationLM`.
        documents: the text; what is longer than the model reads is cut, each piece with its own special tokens.
        context: the most tokens to read at once, special ones included; the model's length by default.
        batch_size: how many pieces run together.
        advance: is told the pieces that are done.

    Returns:
        ``permutation-perplexity`` a target, and the context that was used.

    Raises:
        ValueError: for settings that make no sense, or a bundle, whose graph has one order.
    """
    if not (isinstance(model.model, TorchMaskedModel) and isinstance(model.model.task, PermutationLM)):
        raise ValueError("permutation-perplexity: a bundle's graph has one order; measure its pseudo-perplexity")
    task = model.model.task
    units = Units(documents)
    length, pieces, places = cut_pieces(model, documents, units, context, batch_size)
    losses, tokens = np.zeros(len(units)), np.zeros(len(units), np.int64)
    device = task.network.token_embedding.weight.device
    reader = TextReader(model.tokenizer, model.model)
    advance(0, len(pieces))
    for start in range(0, len(pieces), batch_size):
        part = pieces[start : start + batch_size]
        batch = {name: torch.from_numpy(values).to(device) for name, values in reader.batch(part).items()}
        numbers = torch.arange(start, start + len(part), device=device)
        scores, labels, columns = _asked(task, batch, KeyedRandom(task.seed, numbers, torch.zeros_like(numbers[0])))
        rows, targets = np.nonzero(labels >= 0)
        where = [
            places[start + row][column - sum(part[row].special_tokens_mask[:column])]
            for row, column in zip(rows.tolist(), columns[rows, targets].tolist(), strict=True)
        ]
        np.add.at(losses, where, cross_entropy(scores, labels[rows, targets]))
        np.add.at(tokens, where, 1)
        advance(len(part), len(pieces))
    facts = {"tokens": int(tokens.sum()), "documents": len(documents)}
    measured = Measurement({"permutation-perplexity": ratio(losses, tokens)}, units.kind, len(units), facts)
    return measured, {"context": length}


@torch.inference_mode()
def _asked(
    task: PermutationLM, batch: dict[str, torch.Tensor], rng: KeyedRandom
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """The logits [N, V] of the targets, their labels [B, K], and their places [B, K]."""
    drawn = task.prepare(batch, rng)
    _, query, _ = task.network.two_stream(
        drawn["input_ids"],
        drawn["attention_mask"],
        drawn["token_type_ids"],
        drawn["permutation_mask"],
        drawn["target_mapping"],
    )
    assert query is not None
    labels = drawn["labels"]
    scores = task.head(query[labels >= 0]).float().cpu().numpy()
    return scores, labels.cpu().numpy(), drawn["target_mapping"].long().argmax(-1).cpu().numpy()
