import math
from typing import Any

import numpy as np
import pytest
import torch

from plmlight.decoding import MaskFiller
from plmlight.evaluation.documents import Document
from plmlight.evaluation.masked import measure_masked
from plmlight.evaluation.measurement import Measurement
from plmlight.networks import BERT
from plmlight.tasks import MaskedLM, TorchMaskedModel
from plmlight.text import train_tokenizer

TEXTS = ["the quick brown fox", "jumps", "over the lazy dog and then over the quick fox again", "a"]


@pytest.fixture(scope="module")
def filler() -> MaskFiller:
    torch.manual_seed(0)
    tokenizer = train_tokenizer(TEXTS * 3, "wordpiece", 60)
    network = BERT(vocab_size=60, d_model=16, num_layers=2, num_heads=2, d_ff=32, max_length=10)
    return MaskFiller(TorchMaskedModel(MaskedLM(network).eval()), tokenizer)


def documents(filler: MaskFiller, texts: list[str]) -> list[Document]:
    found = []
    for text in texts:
        encoding = filler.tokenizer.encode(text, add_special_tokens=False)
        found.append(Document(text, encoding.ids, [start for start, _ in encoding.offsets]))
    return found


def value(measured: Measurement, name: str) -> float:
    return float(measured.statistics[name](np.arange(measured.count)[None])[0])


@torch.inference_mode()
def by_hand(filler: MaskFiller, ids: list[int]) -> list[float]:
    task = filler.model.task  # type: ignore[attr-defined]
    losses = []
    for place in range(1, len(ids) - 1):
        hidden = [*ids[:place], filler.mask_token_id, *ids[place + 1 :]]
        scores = task(torch.tensor([hidden]))["logits"][0, place].double().log_softmax(-1)
        losses.append(-float(scores[ids[place]]))
    return losses


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_pseudo_perplexity_is_that_of_a_plain_loop(filler: MaskFiller, batch_size: int) -> None:
    texts = documents(filler, TEXTS)
    measured, used = measure_masked(filler, texts, batch_size=batch_size)
    losses: list[float] = []
    for text in texts:
        for first in range(0, len(text.ids), 8):  # 10 tokens less [CLS] and [SEP]
            losses += by_hand(filler, [2, *text.ids[first : first + 8], 3])
    assert max(len(text.ids) for text in texts) > 16
    assert value(measured, "pseudo-perplexity") == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)
    assert measured.facts == {"tokens": sum(len(text.ids) for text in texts), "documents": 4}
    assert used == {"context": 10}


def test_a_unit_holds_the_losses_of_its_document(filler: MaskFiller) -> None:
    texts = documents(filler, [*TEXTS * 7, "lazy fox", "quick dog"])
    measured, _ = measure_masked(filler, texts)
    assert (measured.units, measured.count) == ("documents", 30)
    one = float(measured.statistics["pseudo-perplexity"](np.array([[28]]))[0])
    assert one == pytest.approx(math.exp(np.mean(by_hand(filler, [2, *texts[28].ids, 3]))), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context": 11}, "context must lie between 3 and 10, not 11"),
        ({"context": 2}, "context must lie between 3 and 10, not 2"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
    ],
)
def test_settings_without_sense_are_refused(filler: MaskFiller, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure_masked(filler, documents(filler, TEXTS), **settings)
