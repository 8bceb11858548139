"""Sources and targets of the same raw text: exact lengths, statistics, purity."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, processors
from torch import Tensor

from plmlight.nn import build, config_of
from plmlight.objectives import Batch, Denoising, KeyedRandom, PrefixLanguageModelling, SpanCorruption
from plmlight.objectives.raw_text import RawText

PAD, END, UNK, MASK, STOP, BEGIN = range(6)
WORDS, SENTINELS = 500, 100
FIRST_SENTINEL = 6 + WORDS + SENTINELS - 1  # T5 numbers them from the end of its vocabulary
R = TypeVar("R", bound=RawText)
ALL: list[type[RawText]] = [SpanCorruption, Denoising, PrefixLanguageModelling]


def tokenizer(*, opening: bool = False, without: str = "nothing") -> Tokenizer:
    tokens = ["<pad>", "</s>", "<unk>", "<mask>", "▁.", "<s>", *(f"▁w{i}" for i in range(WORDS))]
    tokens += [f"<extra_id_{i}>" for i in reversed(range(SENTINELS))]
    vocabulary = {token: i for i, token in enumerate(tokens) if not token.startswith(without)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.decoder = decoders.Metaspace()
    made.add_special_tokens([token for token in vocabulary if token.startswith("<")])
    if opening:
        made.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", BEGIN), ("</s>", END)])
    return made


def ready(cls: type[R], *, opening: bool = False, **arguments: Any) -> R:
    made = cls(**arguments)
    made.use_tokenizer(tokenizer(opening=opening))
    return made


def rows(count: int, length: int, first: int = 0) -> Batch:
    """Words, every tenth a full stop, none the same as the two before and after it."""
    ids = 6 + (torch.arange(length) * 7 + torch.arange(count)[:, None] * 13) % WORDS
    ids[:, 9::10] = STOP
    return {"input_ids": ids, "sample_ids": torch.arange(first, first + count), "epoch": torch.tensor(0)}


def ragged(count: int = 40, length: int = 60) -> Batch:
    batch = rows(count, length)
    lengths = torch.arange(count) * 3 % (length + 1)  # none at all, one, ...
    lengths[5] = length
    mask = (torch.arange(length) < lengths[:, None]).long()
    return batch | {"input_ids": batch["input_ids"] * mask, "attention_mask": mask}


def key(batch: Batch, seed: int = 0) -> KeyedRandom:
    return KeyedRandom(seed, batch["sample_ids"], batch["epoch"])


def corrupted(made: RawText, batch: Batch, seed: int = 0) -> Batch:
    return made.corrupt(batch, key(batch, seed))


def read(batch: Batch, row: int) -> list[int]:
    ids: list[int] = batch["input_ids"][row].tolist()
    if "attention_mask" in batch:
        ids = [token for token, real in zip(ids, batch["attention_mask"][row].tolist(), strict=True) if real]
    return ids


def written(batch: Batch, row: int) -> list[int]:
    return [token for token in batch["labels"][row].tolist() if token >= 0]


def is_sentinel(ids: Tensor) -> Tensor:
    return ids >= 6 + WORDS


def reconstructed(source: list[int], target: list[int]) -> list[int]:
    """Puts what stands behind each sentinel of the target in its place, without the end."""
    spans: dict[int, list[int]] = {}
    assert source[-1] == END
    assert target[-1] == END
    for token in target[:-1]:
        if token >= 6 + WORDS:
            spans[token] = []
        else:
            spans[next(reversed(spans))].append(token)
    assert all(spans.values())
    return [piece for token in source[:-1] for piece in (spans.pop(token) if token >= 6 + WORDS else [token])]


def span_lengths(labels: Tensor) -> Tensor:
    """Of all spans of rows without padding, in order."""
    starts = is_sentinel(labels).flatten().nonzero().flatten()
    ends = (is_sentinel(labels) | (labels == END)).flatten().nonzero().flatten()
    after = ends[torch.searchsorted(ends, starts, right=True)]
    return after - starts - 1


def reference_lengths(noise: int, spans: int, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """The paper's random segmentation: marks of beginnings, shuffled, and counted."""
    marks = np.tile(np.arange(noise - 1) < spans - 1, (count, 1))
    marks = np.concatenate([np.zeros((count, 1), bool), generator.permuted(marks, axis=1)], 1)
    segment = np.cumsum(marks, 1) + spans * np.arange(count)[:, None]
    return np.bincount(segment.ravel())


def test_the_papers_lengths() -> None:
    made = SpanCorruption()
    assert made.source_length(512) == 568
    assert made.target_length(512) == 114


@pytest.mark.parametrize(("density", "mean"), [(0.15, 3.0), (0.5, 3.0), (0.15, 1.0), (0.15, 32.0), (0.03, 2.5)])
def test_every_length_is_met(density: float, mean: float) -> None:
    made = SpanCorruption(density, mean)
    for max_length in range(4, 700):
        length = made.source_length(max_length)
        noise, spans = made.counts(length)
        assert length - noise + spans + 1 == max_length
        noise, spans = made.counts(length + 1)
        assert length + 1 - noise + spans + 1 > max_length


def test_nothing_is_padded_and_every_row_is_as_long_as_was_said() -> None:
    made = ready(SpanCorruption)
    batch = corrupted(made, rows(50, 568))
    assert batch["input_ids"].shape == (50, 512)
    assert batch["labels"].shape == (50, 114)
    assert "attention_mask" not in batch
    assert (batch["labels"] >= 0).all()
    for ids in (batch["input_ids"], batch["labels"]):
        assert (ids[:, -1] == END).all()
        assert ((ids == END).sum(1) == 1).all()
        assert not (ids == PAD).any()
        assert torch.equal(ids[is_sentinel(ids)].reshape(50, 28), (FIRST_SENTINEL - torch.arange(28)).expand(50, -1))


def test_sentinels_give_the_text_back() -> None:
    made = ready(SpanCorruption)
    whole = rows(50, 137)
    batch = corrupted(made, whole)
    for row in range(50):
        assert reconstructed(read(batch, row), written(batch, row)) == whole["input_ids"][row].tolist()


def test_short_rows_give_their_text_back_and_have_their_own_counts() -> None:
    made = ready(SpanCorruption)
    whole = ragged()
    batch = corrupted(made, whole)
    for row, length in enumerate(whole["attention_mask"].sum(1).tolist()):
        source, target = read(batch, row), written(batch, row)
        noise, spans = made.counts(length)
        assert len(source) == (length - noise + spans + 1 if length else 0)
        assert len(target) == (noise + spans + 1 if length > 1 else 0)
        if length > 1:
            assert reconstructed(source, target) == whole["input_ids"][row, :length].tolist()


def test_rate_and_mean_span_on_a_hundred_thousand_tokens() -> None:
    made = ready(SpanCorruption)
    for length, mean in ((600, 3.0), (568, 85 / 28)):  # whole numbers of both, and as the paper rounds them
        lengths = span_lengths(corrupted(made, rows(200, length))["labels"])
        assert int(lengths.sum()) / (200 * length) == pytest.approx(0.15, rel=0.01)
        assert float(lengths.double().mean()) == pytest.approx(mean)


@pytest.mark.parametrize("where", ["hidden", "kept"])
def test_spans_are_as_long_as_the_papers(where: str) -> None:
    """Chi-squared of both samples; 0.1 % with 7 and 31 degrees of freedom."""
    batch = corrupted(ready(SpanCorruption), rows(600, 568))
    if where == "hidden":
        ours, items, most, bound = span_lengths(batch["labels"]).numpy(), 85, 8, 24.3
    else:
        ends = is_sentinel(batch["input_ids"]).nonzero()[:, 1].reshape(600, 28)
        ours, items, most, bound = (
            ends.diff(dim=1, prepend=ends.new_full((600, 1), -1)).numpy().ravel() - 1,
            483,
            32,
            61.1,
        )
        assert ours.reshape(600, 28).sum(1).tolist() == [483] * 600
    theirs = reference_lengths(items, 28, 600, np.random.default_rng(1))
    scale = 1 if where == "hidden" else 2
    one, two = (np.bincount(np.minimum((x - 1) // scale, most - 1), minlength=most) for x in (ours, theirs))
    assert one.sum() == two.sum() == 600 * 28
    assert float(((one - two) ** 2 / np.maximum(one + two, 1)).sum()) < bound


def test_every_place_is_hidden_equally_often_but_at_the_edges() -> None:
    """The first token is never hidden and the last always, as in the paper's segmentation."""
    seen = torch.zeros(60, dtype=torch.int64)
    ids = torch.arange(6, 66).expand(500, -1)
    batch = corrupted(
        ready(SpanCorruption), {"input_ids": ids, "sample_ids": torch.arange(500), "epoch": torch.tensor(0)}
    )
    for row in range(500):
        hidden = torch.tensor(sorted(set(written(batch, row)) & set(range(6, 66)))) - 6
        seen[hidden] += 1
    assert seen[0] == 0
    assert seen[-1] == 500
    assert seen[10:40].double().mean() / 500 == pytest.approx(9 / 60, abs=0.05)


@pytest.mark.parametrize("cls", ALL)
def test_a_sample_is_the_same_in_any_batch(cls: type[RawText]) -> None:
    made = ready(cls)
    whole = ragged()
    batch = corrupted(made, whole)
    order = torch.randperm(40)[:17]
    part = {name: whole[name][order] for name in ("input_ids", "attention_mask", "sample_ids")}
    longest = max(int(part["attention_mask"].sum(1).max()), 1)
    part = {name: value[:, :longest] if value.ndim == 2 else value for name, value in part.items()}
    other = corrupted(made, part | {"epoch": whole["epoch"]})
    for place, row in enumerate(order.tolist()):
        assert read(other, place) == read(batch, row)
        assert written(other, place) == written(batch, row)


@pytest.mark.parametrize("cls", ALL)
def test_epochs_seeds_and_samples_differ(cls: type[RawText]) -> None:
    made, batch = ready(cls), rows(4, 60)
    one = corrupted(made, batch)["labels" if cls is SpanCorruption else "input_ids"]
    for changes, seed in (({"epoch": torch.tensor(1)}, 0), ({}, 1), ({"sample_ids": torch.arange(7, 11)}, 0)):
        two = corrupted(made, batch | changes, seed)["labels" if cls is SpanCorruption else "input_ids"]
        assert one.shape != two.shape or not torch.equal(one, two)


@pytest.mark.parametrize("cls", ALL)
def test_padding_on_the_left_changes_nothing(cls: type[RawText]) -> None:
    made, batch = ready(cls), ragged()
    turned = batch | {name: batch[name].roll(1, 1) for name in ("input_ids", "attention_mask")}
    short = batch["attention_mask"].sum(1) < 60
    one, two = corrupted(made, batch), corrupted(made, turned)
    for row in short.nonzero().flatten().tolist():
        assert read(one, row) == read(two, row)
        assert written(one, row) == written(two, row)


@pytest.mark.parametrize("cls", ALL)
def test_a_row_of_padding_has_no_labels_and_no_mask(cls: type[RawText]) -> None:
    batch = corrupted(ready(cls, opening=True), ragged())
    assert (batch["labels"][0] == -100).all()
    assert (batch["attention_mask"][0] == 0).all()
    assert (batch["input_ids"][0] == PAD).all()


@pytest.mark.parametrize("cls", ALL)
def test_documents_that_must_not_see_each_other_are_refused(cls: type[RawText]) -> None:
    batch = ragged()
    batch["attention_mask"][5, 30:] = 2
    with pytest.raises(ValueError, match="isolate_documents to false"):
        corrupted(ready(cls), batch)


@pytest.mark.parametrize("cls", ALL)
def test_data_with_targets_is_refused(cls: type[RawText]) -> None:
    batch = ragged()
    with pytest.raises(ValueError, match="raw text, but the data gives some"):
        corrupted(ready(cls), batch | {"labels": batch["input_ids"]})


@pytest.mark.parametrize("cls", ALL)
def test_what_is_missing_is_named_before_a_run(cls: type[RawText]) -> None:
    made = cls()
    with pytest.raises(ValueError, match="needs a tokenizer"):
        made.check_ready()
    made.use_tokenizer(tokenizer(without={SpanCorruption: "<extra", Denoising: "<mask"}.get(cls, "nothing")))
    if cls is PrefixLanguageModelling:
        made.check_ready()
        return
    with pytest.raises(ValueError, match=r"<extra_id_0>|<mask>"):
        made.check_ready()


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (SpanCorruption, {"noise_density": 1.0}, "noise_density 1.0"),
        (SpanCorruption, {"mean_span_length": 0.5}, "mean_span_length 0.5"),
        (SpanCorruption, {"noise_density": 0.8, "mean_span_length": 3.0}, "expected at least 4"),
        (Denoising, {"rate": 0.0}, "rate 0.0"),
        (Denoising, {"mean_span_length": 0.0}, "mean_span_length 0.0"),
    ],
)
def test_shares_that_are_none_are_refused(cls: type[RawText], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(**arguments)


def test_too_few_sentinels_are_said_with_their_number() -> None:
    with pytest.raises(ValueError, match="2400 tokens has 120 spans, but the tokenizer only 100 sentinels"):
        corrupted(ready(SpanCorruption), rows(2, 2400))


@pytest.mark.parametrize("cls", ALL)
def test_a_checkpoint_can_build_it_again(cls: type[RawText]) -> None:
    made = cls(**({} if cls is PrefixLanguageModelling else {"mean_span_length": 4.0}))
    assert config_of(build(config_of(made))) == config_of(made)


def test_infilling_hides_its_share_in_spans_of_poissons_lengths() -> None:
    """Of 133,200 tokens; the last span of a row is shortened, so it is left out."""
    made = ready(Denoising, permute_sentences=False)
    whole = rows(300, 444)
    batch = corrupted(made, whole)
    counts = np.zeros(16, dtype=np.int64)
    hidden = 0
    for row in range(300):
        lengths, rest = spans_of(read(batch, row)[:-1], whole["input_ids"][row].tolist())
        hidden += 444 - rest
        counts += np.bincount(np.minimum(lengths, 15), minlength=16)
    assert hidden / (300 * 444) == pytest.approx(0.3, rel=0.01)
    chances = np.exp(np.arange(16) * np.log(3) - 3 - np.cumsum(np.log(np.maximum(np.arange(16), 1))))
    assert counts.sum() > 12_000
    # the shortened spans, one of about 45 in a row, are among these
    assert np.abs(counts / counts.sum() - chances).max() < 0.01
    assert (counts * np.arange(16)).sum() / counts.sum() == pytest.approx(3.0, rel=0.02)


def spans_of(source: list[int], text: list[int]) -> tuple[list[int], int]:
    """How many tokens each mask stands for, and how many others there are; a token is found by its two neighbours."""
    lengths, place, kept = [], 0, 0
    for index, token in enumerate(source):
        if token != MASK:
            place += 1
            kept += 1
            continue
        if index + 1 == len(source):
            lengths.append(len(text) - place)
            continue
        ahead = source[index + 1 : index + 1 + 12]
        wanted = ahead[: ahead.index(MASK)] if MASK in ahead else ahead
        found = next(p for p in range(place, len(text)) if text[p : p + len(wanted)] == wanted)
        lengths.append(found - place)
        place = found
    return lengths, kept


def test_what_is_infilled_is_written_in_its_frame() -> None:
    made = ready(Denoising, opening=True)
    whole = ragged()
    batch = corrupted(made, whole)
    for row, length in enumerate(whole["attention_mask"].sum(1).tolist()):
        if length:
            assert written(batch, row) == [BEGIN, *whole["input_ids"][row, :length].tolist(), END]
            source = read(batch, row)
            assert (source[0], source[-1]) == (BEGIN, END)
            assert len(source) <= length + 2


def test_sentences_change_places_and_stay_whole() -> None:
    made = ready(Denoising, rate=1e-9)  # hides a single token
    whole = rows(200, 60)
    batch = corrupted(made, whole)
    stayed = 0
    for row in range(200):
        text = whole["input_ids"][row].tolist()
        sentences = [text[i : i + 10] for i in range(0, 60, 10)]
        source = read(batch, row)[:-1]
        starts = [source.index(sentence[1]) if sentence[1] in source else -1 for sentence in sentences]
        stayed += starts == sorted(starts)
        whole_ones = [s for s in sentences if any(source[i : i + 10] == s for i in range(len(source)))]
        assert len(whole_ones) >= 5  # the sixth has the hole, or a hole lies between two
    assert stayed < 10  # one of 720 orders is the old one
    still = corrupted(ready(Denoising, rate=1e-9, permute_sentences=False), whole)
    assert read(still, 3)[:5] == [t if t in read(still, 3) else MASK for t in whole["input_ids"][3, :5].tolist()]


def test_the_order_of_sentences_is_any_equally_often() -> None:
    made = ready(Denoising, rate=1e-9)
    batch = corrupted(made, rows(1200, 30))
    counts: dict[tuple[int, ...], int] = {}
    for row in range(1200):
        source = read(batch, row)
        firsts = [6 + (10 * k * 7 + 13 * row + 14) % WORDS for k in range(3)]  # the third word of each sentence
        if all(first in source for first in firsts):
            order = tuple(np.argsort([source.index(first) for first in firsts]).tolist())
            counts[order] = counts.get(order, 0) + 1
    expected = sum(counts.values()) / 6
    assert len(counts) == 6
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 20.5  # 0.1 %, 5 degrees of freedom


def test_a_prefix_and_the_rest_are_the_text() -> None:
    made = ready(PrefixLanguageModelling, opening=True)
    whole = ragged()
    batch = corrupted(made, whole)
    for row, length in enumerate(whole["attention_mask"].sum(1).tolist()):
        if length > 1:
            source, target = read(batch, row), written(batch, row)
            assert (source[0], source[-1], target[0], target[-1]) == (BEGIN, END, BEGIN, END)
            assert source[1:-1] + target[1:-1] == whole["input_ids"][row, :length].tolist()
            assert len(source) > 2
            assert len(target) > 2


def test_a_text_is_split_anywhere_equally_often() -> None:
    batch = corrupted(ready(PrefixLanguageModelling), rows(4000, 21))
    places = batch["attention_mask"].sum(1) - 1
    counts = torch.bincount(places, minlength=21)[1:]
    assert len(counts) == 20
    assert float(((counts - 200.0) ** 2 / 200).sum()) < 43.8  # chi-squared, 19 degrees of freedom, 0.1 %


@pytest.mark.parametrize("cls", ALL)
def test_a_network_of_max_length_reads_and_writes_it(cls: type[RawText]) -> None:
    made = ready(cls, opening=cls is not SpanCorruption)
    batch = corrupted(made, rows(30, made.source_length(64)))
    assert batch["input_ids"].shape[1] <= 64
    assert batch["labels"].shape[1] <= 64
