import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plmlight import runtime
from plmlight.data.sources import resolve
from plmlight.evaluation.causal import StepScorer, TorchScorer, measure_causal, windows_of
from plmlight.evaluation.documents import BLOCK, Document, Units, read_documents
from plmlight.evaluation.measurement import Measurement
from plmlight.networks import GPT
from plmlight.tasks import CausalLM, TorchLanguageModel
from plmlight.text import train_tokenizer
from tests.runtime.bundles import EOS, Reference, make_bundle

TEXTS = ["The quick brown fox.", "déjà vu", "x", "A longer text, which is read in more than one window of the model."]


@pytest.fixture(scope="module")
def task() -> CausalLM:
    torch.manual_seed(0)
    task = CausalLM(GPT(vocab_size=257, d_model=16, num_layers=2, num_heads=2, max_length=16)).eval()
    task.tokenizer = train_tokenizer(["a"], "byte")
    return task


def documents(task: CausalLM, texts: list[str]) -> list[Document]:
    found = []
    for text in texts:
        assert task.tokenizer is not None
        encoding = task.tokenizer.encode(text)
        found.append(Document(text, encoding.ids, [start for start, _ in encoding.offsets]))
    return found


def value(measured: Measurement, name: str) -> float:
    return float(measured.statistics[name](np.arange(measured.count)[None])[0])


@torch.inference_mode()
def by_hand(task: CausalLM, ids: list[int], length: int, stride: int) -> list[float]:
    """The loss of each id but the first, one at a time, each from the start of the window that it is new in."""
    losses: list[float] = []
    for place in range(1, len(ids)):
        moves = max(0, -(-(place - length) // stride))
        last = min(len(ids) - 1, length + moves * stride)  # the window's last token
        begin = max(0, last - length)
        scores = task(torch.tensor([ids[begin:place]]))["logits"][0, -1].double().log_softmax(-1)
        losses.append(-float(scores[ids[place]]))
    return losses


@pytest.mark.parametrize(("length", "stride"), [(16, 8), (16, 1), (16, 16), (7, 3), (1, 1)])
@pytest.mark.parametrize("prefix", [0, None])
def test_perplexity_is_the_mean_over_windows_by_hand(
    task: CausalLM, length: int, stride: int, prefix: int | None
) -> None:
    texts = documents(task, TEXTS)
    measured, used = measure_causal(TorchScorer(task), texts, prefix, length, stride, batch_size=3)
    first = [] if prefix is None else [prefix]
    losses = [loss for text in texts for loss in by_hand(task, first + text.ids, length, stride)]
    assert value(measured, "perplexity") == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-5)
    size = sum(len(text.encode()) for text in TEXTS) - (0 if first else sum(len(text[0].encode()) for text in TEXTS))
    scored = sum(len(text.ids) - (0 if first else 1) for text in texts)
    assert (measured.facts["tokens"], len(losses)) == (scored, scored)
    # a byte tokenizer: without a prefix the first token is the first byte, of a first character that has one or two
    assert measured.facts["bytes"] == size
    assert value(measured, "bits-per-byte") == pytest.approx(sum(losses) / math.log(2) / size, rel=1e-5)
    assert used == {"context": length, "stride": stride}


def test_a_longer_context_is_the_default_and_predicts_from_more(task: CausalLM) -> None:
    texts = documents(task, TEXTS)
    assert measure_causal(TorchScorer(task), texts, 0)[1] == {"context": 16, "stride": 8}


@pytest.mark.parametrize("size", [1, 2, 3, 15, 16, 17, 18, 33])
@pytest.mark.parametrize(("length", "stride"), [(16, 8), (16, 16), (16, 1), (5, 3)])
def test_each_token_is_scored_once_with_enough_before_it(size: int, length: int, stride: int) -> None:
    document = Document("", list(range(100, 100 + size)), [0] * size)
    for prefix in (7, None):
        ids = document.ids if prefix is None else [prefix, *document.ids]
        seen = []
        for window in windows_of(3, document, length, stride, prefix):
            assert len(window.ids) <= length + 1
            for place in range(len(window.ids) - window.scored, len(window.ids)):
                where = ids.index(window.ids[place])
                seen.append(where)
                assert place >= min(where, length - stride + 1)
                assert window.ids[:place] == ids[where - place : where]
            assert document.ids[window.first : window.first + window.scored] == window.ids[-window.scored :]
        assert seen == list(range(1, len(ids)))


def test_token_by_token_gives_the_same(task: CausalLM) -> None:
    texts = documents(task, TEXTS)
    expected, _ = measure_causal(TorchScorer(task), texts, 0, stride=5)
    stepwise, _ = measure_causal(StepScorer(TorchLanguageModel(task)), texts, 0, stride=5, batch_size=3)
    assert value(stepwise, "perplexity") == pytest.approx(value(expected, "perplexity"), rel=1e-5)
    assert stepwise.facts == expected.facts


@pytest.mark.parametrize("graph", ["in_place", "portable"])
def test_a_bundle_is_scored_as_its_model(tmp_path: Path, graph: str) -> None:
    model = runtime.load(make_bundle(tmp_path / "bundle"), graph=graph, threads=1)
    texts = []
    for text in TEXTS:
        encoding = model.tokenizer.encode(text)
        texts.append(Document(text, encoding.ids, [start for start, _ in encoding.offsets]))
    measured, _ = measure_causal(StepScorer(model.model), texts, EOS, batch_size=3)
    reference, total, count = Reference(), 0.0, 0
    for document in texts:
        for place in range(len(document.ids)):
            logits = reference.start([[EOS, *document.ids[:place]]])[0].astype(np.float64)
            total += float(np.log(np.exp(logits).sum()) - logits[document.ids[place]])
            count += 1
    assert value(measured, "perplexity") == pytest.approx(math.exp(total / count), rel=1e-4)


def test_units_are_documents_or_blocks_of_the_text(task: CausalLM) -> None:
    few = Units([Document("é" * (BLOCK + 1), [], []), Document("ab", [], [])])
    assert (few.kind, few.bytes.tolist()) == ("blocks", [2 * BLOCK, 2, 2])
    assert few.of(0, [0, BLOCK - 1, BLOCK]).tolist() == [0, 0, 1]
    assert few.of(1, [0, 1]).tolist() == [2, 2]
    many = Units([Document("é" * 3000, [], [])] * 30)
    assert (many.kind, len(many), many.of(7, [0, 2000]).tolist()) == ("documents", 30, [7, 7])


def test_blocks_hold_the_losses_of_their_tokens(task: CausalLM) -> None:
    texts = documents(task, ["ab " * 600])
    measured, _ = measure_causal(TorchScorer(task), texts, 0)
    assert (measured.units, measured.count) == ("blocks", 2)
    losses = by_hand(task, [0, *texts[0].ids], 16, 8)
    one = float(measured.statistics["perplexity"](np.array([[1, 1]]))[0])
    assert one == pytest.approx(math.exp(np.mean(losses[BLOCK:])), rel=1e-5)


def test_documents_are_read_in_pieces_with_their_places(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["a"], "byte")
    (tmp_path / "a.txt").write_text("é " * 50_000)
    (tmp_path / "b.txt").write_text("xyz")
    found = read_documents(resolve([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]), tokenizer, "text", "file", None)
    assert [len(each.ids) for each in found] == [150_000, 3]
    assert found[0].starts[:6] == [0, 0, 1, 2, 2, 3]
    assert found[0].starts[-1] == 99_999
    assert len(read_documents(resolve(str(tmp_path)), tokenizer, "text", "file", 1)) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context": 17}, "context must lie between 1 and the model's length 16, not 17"),
        ({"stride": 17}, "stride must lie between 1 and the context of 16 tokens, not 17"),
        ({"context": 4, "stride": 5}, "the context of 4 tokens, not 5"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
    ],
)
def test_settings_without_sense_are_refused(task: CausalLM, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure_causal(TorchScorer(task), documents(task, TEXTS), 0, **settings)


def test_a_single_token_with_nothing_before_it_is_refused(task: CausalLM) -> None:
    with pytest.raises(ValueError, match="no token to score"):
        measure_causal(TorchScorer(task), documents(task, ["x"]), None)
