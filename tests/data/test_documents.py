import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from plmlight.data.documents import PairSamples, Sentences, SentenceSamples, packed
from plmlight.data.mapped import Mapped
from plmlight.data.rows import Form, Rows, row_form, shortened
from plmlight.text import train_tokenizer

BERT = Form((2,), (3,), 0, (3,), 0)
ROBERTA = Form((2,), (3, 3), 0, (3,), 0)
LENGTHS = [[5, 9, 3, 8, 30, 2, 2], [7], [4, 4], [1, 1, 1, 20, 6, 9, 3, 5, 7, 2]] * 20


def made() -> tuple[Sentences, np.ndarray[Any, np.dtype[np.uint16]]]:
    """Documents whose tokens are numbered from 10 on, so that a token tells its place."""
    flat = [length for document in LENGTHS for length in document]
    starts = np.concatenate([[0], np.cumsum(flat)])
    edges = np.cumsum([0, *map(len, LENGTHS)])
    documents = np.stack([edges[:-1], edges[1:]], 1)
    return Sentences(Mapped(starts), documents), np.arange(10, 10 + starts[-1], dtype=np.uint16)


def single(max_length: int = 22, form: Form = BERT) -> SentenceSamples:
    sentences, tokens = made()
    return SentenceSamples(sentences, Rows(tokens, form), max_length)


def pairs(kind: Literal["next", "order"], max_length: int = 33, form: Form = BERT, **options: Any) -> PairSamples:
    sentences, tokens = made()
    return PairSamples(sentences, Rows(tokens, form), max_length, kind, **options)


def rows(samples: SentenceSamples | PairSamples, epoch: int = 0) -> list[list[int]]:
    batch = samples.batch(np.arange(len(samples)), epoch)
    lengths = batch["attention_mask"].sum(1)
    assert lengths.tolist() == samples.lengths(np.arange(len(samples)), epoch).tolist()
    assert int(lengths.max()) == batch["input_ids"].shape[1] <= samples.max_length
    return [row[:length].tolist() for row, length in zip(batch["input_ids"], lengths, strict=True)]


def segments(row: list[int], between: int = 1) -> tuple[list[int], list[int]]:
    """The two parts of a row of a pair."""
    at = row.index(3)
    assert row[0] == 2
    assert row[at : at + between] == [3] * between
    assert row[-1] == 3
    return row[1:at], row[at + between : -1]


def place(token: int) -> tuple[int, int]:
    """The document and the sentence of a token."""
    sentences, _ = made()
    sentence = int(np.searchsorted(sentences.starts.array, token - 10, "right")) - 1
    return int(np.searchsorted(sentences.documents[:, 0], sentence, "right")) - 1, sentence


def test_single_segments_hold_each_token_once_and_never_two_documents() -> None:
    found = [row[1:-1] for row in rows(single())]
    assert [token for row in found for token in row] == made()[1].tolist()
    assert all(place(row[0])[0] == place(row[-1])[0] for row in found)


def test_single_segments_take_whole_sentences_as_many_as_fit() -> None:
    starts, documents = made()[0].starts.array, made()[0].documents
    begins = set((starts + 10).tolist())
    ends = set((starts[documents[:, 1]] + 10).tolist())
    for row in (row[1:-1] for row in rows(single())):
        if row[0] in begins and len(row) < 20 and row[-1] + 1 not in ends:
            following = place(row[-1] + 1)[1]
            assert len(row) + starts[following + 1] - starts[following] > 20


def test_sentences_in_many_portions_are_packed_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = made()[0]
    expected = packed(sentences.starts.array, sentences.documents, 20)
    monkeypatch.setattr("plmlight.data.documents._AT_ONCE", 3)
    assert np.array_equal(packed(sentences.starts.array, sentences.documents, 20), expected)


def test_pairs_have_two_sentences_at_least_and_cover_all_of_them() -> None:
    sentences = made()[0]
    found = packed(sentences.starts.array, sentences.documents, 30, at_least=2)
    assert (found[:, 1] - found[:, 0]).min() == 2
    covered = {sentence for first, last in found for sentence in range(first, last)}
    alone = {first for first, last in sentences.documents if last - first == 1}
    assert covered | alone == set(range(len(sentences.starts) - 1))
    assert not covered & alone


@pytest.mark.parametrize(("form", "between"), [(BERT, 1), (ROBERTA, 2)])
def test_pairs_have_the_form_of_their_tokenizer(form: Form, between: int) -> None:
    samples = pairs("order", form=form)
    batch = samples.batch(np.arange(len(samples)), 0)
    for row, types in zip(rows(samples), batch["token_type_ids"], strict=True):
        first, second = segments(row, between)
        assert types.tolist()[: len(row)] == [0] * (1 + len(first) + between) + [1] * (len(second) + 1)
        assert sum(types.tolist()[len(row) :]) == 0


def test_next_pairs_follow_each_other_or_come_from_another_document() -> None:
    samples = pairs("next", short_probability=0.0)
    labels = []
    for epoch in range(20):
        batch = samples.batch(np.arange(len(samples)), epoch)
        for row, label in zip(rows(samples, epoch), batch["pair_labels"].tolist(), strict=True):
            first, second = segments(row)
            assert first == list(range(first[0], first[-1] + 1))
            assert second == list(range(second[0], second[-1] + 1))
            assert (place(first[0])[0] == place(second[0])[0]) == (label == 0)
            assert label == 1 or second[0] == first[-1] + 1
            assert place(second[0])[1] != place(second[0] - 1)[1] or second[0] == 10  # starts with a sentence
            labels.append(label)
    assert abs(np.mean(labels) - 0.5) < 0.03


def test_random_segments_come_from_all_documents_alike() -> None:
    samples = pairs("next", short_probability=0.0)
    counts = np.zeros(len(LENGTHS))
    for epoch in range(60):
        batch = samples.batch(np.arange(len(samples)), epoch)
        for row, label in zip(rows(samples, epoch), batch["pair_labels"].tolist(), strict=True):
            if label:
                counts[place(segments(row)[1][0])[0]] += 1
    expected = np.array([len(document) for document in LENGTHS]) / sum(map(len, LENGTHS)) * counts.sum()
    assert np.abs(counts.reshape(-1, 4).sum(0) / expected.reshape(-1, 4).sum(0) - 1).max() < 0.15


def test_the_length_of_a_segment_does_not_tell_its_label() -> None:
    samples = pairs("next", short_probability=0.0)
    lengths: dict[int, list[int]] = {0: [], 1: []}
    for epoch in range(40):
        batch = samples.batch(np.arange(len(samples)), epoch)
        for row, label in zip(rows(samples, epoch), batch["pair_labels"].tolist(), strict=True):
            lengths[label].append(len(row))
    assert abs(np.mean(lengths[0]) - np.mean(lengths[1])) < 0.1 * np.mean(lengths[0])


def test_order_pairs_are_swapped_half_of_the_time() -> None:
    samples = pairs("order")
    labels = []
    for epoch in range(20):
        batch = samples.batch(np.arange(len(samples)), epoch)
        for row, label in zip(rows(samples, epoch), batch["pair_labels"].tolist(), strict=True):
            first, second = segments(row)
            earlier, later = (second, first) if label else (first, second)
            assert later[0] == earlier[-1] + 1
            assert place(earlier[0])[0] == place(later[-1])[0]
            labels.append(label)
    assert abs(np.mean(labels) - 0.5) < 0.03


def test_short_pairs_have_their_share() -> None:
    usual = pairs("order", short_probability=0.0)
    ids = np.arange(len(usual))
    full = usual.lengths(ids, 0)
    assert np.array_equal(full, usual.lengths(ids, 1))
    shorter = [np.mean(pairs("order", short_probability=0.3).lengths(ids, epoch) < full) for epoch in range(20)]
    assert 0.1 < np.mean(shorter) < 0.3


def test_draws_are_a_pure_function_of_seed_sample_and_epoch() -> None:
    whole = rows(pairs("next"), 3)
    some = np.array([7, 2])
    batch = pairs("next").batch(some, 3)
    for row, sample in zip(batch["input_ids"], some, strict=True):
        assert row[: len(whole[sample])].tolist() == whole[sample]
    assert rows(pairs("next"), 4) != whole
    assert rows(pairs("next", seed=1), 3) != whole


def test_row_of_padding_counts_for_nothing() -> None:
    batch = pairs("next").batch(np.array([0, -1]), 0)
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert batch[name][1].sum() == 0
    assert batch["pair_labels"][1] == -100
    assert single().batch(np.array([-1]), 0)["attention_mask"].sum() == 0


def test_pairs_are_shortened_as_if_token_by_token() -> None:
    for first in range(1, 12):
        for second in range(1, 12):
            for limit in range(2, 14):
                a, b = shortened(np.array([first]), np.array([second]), limit)
                left, right = first, second
                while left + right > limit:
                    left, right = (left - 1, right) if left > right else (left, right - 1)
                assert sorted([int(a[0]), int(b[0])]) == sorted([left, right])


def test_words_are_read_along_and_special_tokens_begin_them() -> None:
    sentences, tokens = made()
    words = (np.arange(len(tokens)) % 3 == 0).astype(np.uint8)
    samples = SentenceSamples(sentences, Rows(tokens, BERT, words), 22)
    batch = samples.batch(np.arange(4), 0)
    for row, begins in zip(batch["input_ids"], batch["word_starts"], strict=True):
        text = row >= 10
        assert begins[text].tolist() == [int((token - 10) % 3 == 0) for token in row[text]]
        assert begins[(row == 2) | (row == 3)].min() == 1


def test_max_length_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length 4 has no room for pairs: at least 5"):
        pairs("next", max_length=4)


def test_vocabulary_without_the_tokens_names_them() -> None:
    with pytest.raises(ValueError, match=r"the tokenizer has no \[CLS\] or <s>, which open"):
        row_form(train_tokenizer(["some text"], "unigram", 30), "segments", 0)


def test_memory_maps_travel_as_names(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(100_000))
    mapped = Mapped(np.load(tmp_path / "x.npy", mmap_mode="r"))
    sent = pickle.dumps(mapped)
    assert len(sent) < 1000
    assert np.array_equal(pickle.loads(sent).array, np.arange(100_000))
