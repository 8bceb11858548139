"""Which tokens are hidden, and what stands in their place: statistics, purity, whole words, spans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

from plmlight.heads import LMHead
from plmlight.nn import build, config_of
from plmlight.objectives import (
    Batch,
    KeyedRandom,
    LinearRate,
    MaskedLanguageModelling,
    Masking,
    Outputs,
    SpanMasking,
    TranslationLanguageModelling,
    WholeWordMasking,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(5)
WORDS, PIECES = 500, 500  # ids 5..504 begin a word, 505..1004 go on with one
V = 5 + WORDS + PIECES
ALL: list[type[Masking]] = [MaskedLanguageModelling, WholeWordMasking, SpanMasking]


def wordpiece() -> Tokenizer:
    tokens = [*SPECIAL, *(f"w{i}" for i in range(WORDS)), *(f"##{i}" for i in range(PIECES))]
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def objective(cls: Callable[..., Masking], **arguments: Any) -> Masking:
    made = cls(**arguments)
    made.use_tokenizer(wordpiece())
    return made


def rows(count: int = 400, length: int = 256) -> Batch:
    """`[CLS] words [SEP] words [SEP]` and perhaps padding: about 100,000 tokens, every third a continuation."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 5 + WORDS, (count, length), generator=generator)
    goes_on = torch.rand(count, length, generator=generator) < 1 / 3
    ids = torch.where(goes_on, ids + WORDS, ids)
    ids[:, 0], ids[:, length // 3] = CLS, SEP
    ends = torch.randint(length * 4 // 5, length, (count,), generator=generator)
    ids[torch.arange(count), ends] = SEP
    mask = (torch.arange(length) <= ends[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


def key(count: int = 400, seed: int = 0, epoch: int = 0, progress: float = 0.0) -> KeyedRandom:
    return KeyedRandom(seed, torch.arange(count), torch.tensor(epoch), progress)


def chosen(batch: Batch) -> Tensor:
    where: Tensor = batch["labels"] >= 0
    return where


def share(one: Tensor, of: Tensor) -> float:
    return int(one.sum()) / int(of.sum())


def runs(where: Tensor) -> Tensor:
    """Numbers the runs of true in each row from 0 on, over all rows; -1 elsewhere."""
    begins = where.clone()
    begins[:, 1:] &= ~where[:, :-1]
    numbers = begins.flatten().cumsum(0).reshape(where.shape) - 1
    return numbers.masked_fill(~where, -1)


@pytest.mark.parametrize("cls", ALL)
def test_shares_are_those_of_the_papers(cls: type[Masking]) -> None:
    rows_ = rows()
    totals = torch.zeros(5, dtype=torch.float64)
    for epoch in range(4):
        batch = objective(cls).corrupt(rows_, key(epoch=epoch))
        hidden, before, after = chosen(batch), rows_["input_ids"], batch["input_ids"]
        ordinary = before >= 5
        kinds = [
            ordinary,
            hidden,
            after == MASK,
            hidden & (after != before) & (after != MASK),
            hidden & (after == before),
        ]
        totals += torch.tensor([int(kind.sum()) for kind in kinds])
    maskable, hidden_count, masked, random, kept = (float(total) for total in totals)
    assert maskable > 300_000
    assert hidden_count / maskable == pytest.approx(0.15, rel=0.01)
    assert masked / hidden_count == pytest.approx(0.8, abs=0.01)
    assert random / hidden_count == pytest.approx(0.1, abs=0.01)
    assert kept / hidden_count == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("cls", ALL)
def test_a_hundred_thousand_tokens_are_enough_to_see_the_rate(cls: type[Masking]) -> None:
    rows_ = rows(500)
    assert int((rows_["input_ids"] >= 5).sum()) > 100_000
    assert share(chosen(objective(cls).corrupt(rows_, key(500))), rows_["input_ids"] >= 5) == pytest.approx(
        0.15, abs=0.0015
    )


@pytest.mark.parametrize("cls", ALL)
def test_special_tokens_and_padding_are_neither_hidden_nor_put_in(cls: type[Masking]) -> None:
    rows_ = rows()
    rows_["input_ids"][::7, -1] = 17  # an ordinary token where nothing is to be read
    batch = objective(cls, rate=0.6, mask_share=0.0, random_share=0.9).corrupt(rows_, key())
    out_of_bounds = (rows_["input_ids"] < 5) | (rows_["attention_mask"] == 0)
    assert not chosen(batch)[out_of_bounds].any()
    assert torch.equal(batch["input_ids"][out_of_bounds], rows_["input_ids"][out_of_bounds])
    assert int(batch["input_ids"][~out_of_bounds].min()) >= 5


@pytest.mark.parametrize("cls", ALL)
def test_labels_are_what_was_there(cls: type[Masking]) -> None:
    rows_ = rows(50)
    batch = objective(cls).corrupt(rows_, key(50))
    hidden = chosen(batch)
    assert torch.equal(batch["labels"][hidden], rows_["input_ids"][hidden])
    assert set(batch["labels"][~hidden].tolist()) == {-100}
    assert torch.equal(batch["input_ids"][~hidden], rows_["input_ids"][~hidden])


@pytest.mark.parametrize("cls", ALL)
def test_random_tokens_are_any_ordinary_ones(cls: type[Masking]) -> None:
    rows_ = rows()
    batch = objective(cls, rate=0.3, mask_share=0.5, random_share=0.5).corrupt(rows_, key())
    counts = torch.bincount(batch["input_ids"][chosen(batch) & (batch["input_ids"] != MASK)], minlength=V)[5:]
    assert int(counts.min()) > 0
    assert float(counts.double().std() / counts.double().mean().sqrt()) == pytest.approx(1.0, abs=0.1)  # Poisson's


@pytest.mark.parametrize("cls", ALL)
def test_masks_are_a_function_of_seed_sample_and_epoch(cls: type[Masking]) -> None:
    made, rows_ = objective(cls), rows(60)
    whole = made.corrupt(rows_, key(60))

    def part(which: Tensor, length: int = 256) -> Batch:
        some = {name: value[which, :length] for name, value in rows_.items()}
        return made.corrupt(some, KeyedRandom(0, which, torch.tensor(0)))

    for size in (1, 7, 60):
        for first in range(0, 60, size):
            which = torch.randperm(60)[first : first + size]
            again = part(which)
            assert torch.equal(again["input_ids"], whole["input_ids"][which])
            assert torch.equal(again["labels"], whole["labels"][which])
    short = torch.nonzero(rows_["attention_mask"][:, 240:].sum(1) == 0)[:, 0]  # cut after what is read of them
    assert len(short)
    assert torch.equal(part(short, 240)["input_ids"], whole["input_ids"][short, :240])
    for other in (key(60, epoch=1), key(60, seed=1), KeyedRandom(0, torch.arange(1, 61), torch.tensor(0))):
        same = chosen(made.corrupt(rows_, other)) & chosen(whole)
        assert share(same, chosen(whole)) < 0.3


@pytest.mark.parametrize("cls", [WholeWordMasking, SpanMasking])
def test_whole_words_are_whole(cls: type[Masking]) -> None:
    rows_ = rows()
    hidden = chosen(objective(cls).corrupt(rows_, key()))
    ids = rows_["input_ids"]
    goes_on = (ids[:, 1:] >= 5 + WORDS) & (ids[:, :-1] >= 5)
    assert int((goes_on & hidden[:, 1:]).sum()) > 1000
    assert torch.equal(hidden[:, 1:][goes_on], hidden[:, :-1][goes_on])


def test_whole_words_are_hidden_one_by_one() -> None:
    rows_ = rows()
    hidden = chosen(objective(WholeWordMasking).corrupt(rows_, key()))
    neighbours = (rows_["input_ids"][:, 1:] < 5 + WORDS) & (rows_["input_ids"][:, 1:] >= 5) & hidden[:, :-1]
    assert share(hidden[:, 1:] & neighbours, neighbours) == pytest.approx(0.15, abs=0.01)


def test_the_tokens_of_a_whole_word_have_fates_of_their_own() -> None:
    rows_ = rows()
    batch = objective(WholeWordMasking).corrupt(rows_, key())
    ids, hidden = rows_["input_ids"], chosen(batch)
    later = (ids[:, 1:] >= 5 + WORDS) & hidden[:, :-1] & (ids[:, :-1] >= 5) & hidden[:, 1:]
    both = (batch["input_ids"][:, 1:] == MASK) & (batch["input_ids"][:, :-1] == MASK)
    assert share(both & later, later) == pytest.approx(0.64, abs=0.03)


@pytest.mark.parametrize("cls", [WholeWordMasking, SpanMasking])
def test_the_data_may_say_where_words_begin(cls: type[Masking]) -> None:
    """Chinese: each character is a token that begins a word to the tokenizer, but words are of two here."""
    ids = torch.randint(5, 5 + WORDS, (200, 64))
    starts = (torch.arange(64) % 2 == 0).long().expand_as(ids)
    hidden = chosen(objective(cls).corrupt({"input_ids": ids, "word_starts": starts}, key(200)))
    assert torch.equal(hidden[:, ::2], hidden[:, 1::2])
    assert hidden.float().mean() == pytest.approx(0.15, abs=0.015)


def test_words_do_not_go_on_in_another_document() -> None:
    ids = torch.full((300, 8), 5 + WORDS)  # nothing but continuations
    mask = torch.tensor([[1, 1, 1, 2, 2, 2, 2, 2]]).expand_as(ids)
    hidden = chosen(objective(WholeWordMasking, rate=0.5).corrupt({"input_ids": ids, "attention_mask": mask}, key(300)))
    assert torch.equal(hidden[:, 0], hidden[:, 2])
    assert torch.equal(hidden[:, 3], hidden[:, 7])
    assert not torch.equal(hidden[:, 2], hidden[:, 3])


def test_words_end_where_the_tokenizer_says() -> None:
    """XLM's pieces: those with `</w>` end a word."""
    vocabulary = {"a": 0, "b</w>": 1, "<unk>": 2, "<mask>": 3}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], end_of_word_suffix="</w>", unk_token="<unk>"))
    tokenizer.add_special_tokens(["<unk>", "<mask>"])
    made = WholeWordMasking(rate=0.5)
    made.use_tokenizer(tokenizer)
    hidden = chosen(made.corrupt({"input_ids": torch.tensor([[0, 0, 1, 0, 1, 1]] * 200)}, key(200)))
    words = [hidden[:, first:last] for first, last in ((0, 3), (3, 5), (5, 6))]
    for word in words:
        assert torch.equal(word.all(1), word.any(1))
    for one, other in ((0, 1), (1, 2)):
        assert not torch.equal(words[one][:, 0], words[other][:, 0])


def spans(**arguments: Any) -> tuple[Batch, Tensor, Tensor]:
    """A batch of rows without separators within; the number of each hidden token's span; words in each span."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(5, 5 + WORDS + PIECES, (800, 256), generator=generator)
    ids[:, 0] = 5
    batch = objective(SpanMasking, **arguments).corrupt({"input_ids": ids}, key(800))
    number = runs(chosen(batch))
    begins = (ids < 5 + WORDS) & (number >= 0)
    return {**batch, "before": ids}, number, torch.bincount(number[begins])


def test_lengths_of_spans_are_geometric_and_end_at_ten() -> None:
    _, _, words = spans()
    assert len(words) > 4000
    assert float(words.double().mean()) == pytest.approx(3.8, abs=0.08)
    assert int(words.max()) == 10
    expected = 0.2 * 0.8 ** torch.arange(10.0) / (1 - 0.8**10)
    got = torch.bincount(words, minlength=11)[1:] / len(words)
    assert float((got - expected).abs().max()) < 0.015


def test_spans_lie_anywhere() -> None:
    _, number, _ = spans()
    fifths = (number >= 0).double().mean(0)[:255].reshape(5, 51).mean(1)
    assert fifths.tolist() == pytest.approx([0.15] * 5, abs=0.015)


def test_all_of_a_span_has_one_fate() -> None:
    batch, number, _ = spans()
    masked = torch.bincount(number[number >= 0], (batch["input_ids"] == MASK)[number >= 0].double())
    size = torch.bincount(number[number >= 0]).double()
    assert bool(((masked == 0) | (masked == size)).all())
    assert float((masked > 0).double().mean()) == pytest.approx(0.8, abs=0.02)
    kept = (batch["input_ids"] == batch["before"])[number >= 0].double()
    assert float((torch.bincount(number[number >= 0], kept) == size).double().mean()) == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 9, 14, 40])
def test_short_rows_get_their_share_of_spans(length: int) -> None:
    ids = torch.randint(5, 5 + WORDS, (20_000, length))
    hidden = chosen(objective(SpanMasking).corrupt({"input_ids": ids}, key(20_000)))
    assert float(hidden.double().mean()) == pytest.approx(0.15, abs=0.012)


def test_spans_fit_into_a_row_at_any_rate() -> None:
    ids = torch.randint(5, 5 + WORDS, (2000, 30))
    for rate in (0.3, 0.5, 0.9):
        hidden = chosen(objective(SpanMasking, rate=rate).corrupt({"input_ids": ids}, key(2000)))
        assert 0.8 * min(rate, 0.75) < float(hidden.double().mean()) < rate + 0.02


def test_a_row_of_padding_hides_nothing() -> None:
    nothing = {name: torch.zeros(2, 16, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    for cls in ALL:
        batch = objective(cls, rate=0.9).corrupt(nothing, key(2))
        assert not chosen(batch).any()
        total, count = objective(cls).loss(Outputs(torch.randn(2, 16, 4), LMHead(4, V)), batch)["loss"]
        assert (float(total.detach()), float(count)) == (0, 0)


@pytest.mark.parametrize("cls", ALL)
def test_the_rate_follows_its_schedule(cls: type[Masking]) -> None:
    rows_, made = rows(), objective(cls, rate=LinearRate(0.4, 0.1))
    for progress, rate in ((0.0, 0.4), (0.5, 0.25), (1.0, 0.1)):
        hidden = chosen(made.corrupt(rows_, key(progress=progress)))
        assert share(hidden, rows_["input_ids"] >= 5) == pytest.approx(rate, abs=0.01)


@pytest.mark.parametrize("cls", [*ALL, TranslationLanguageModelling])
def test_is_rebuilt_from_its_config(cls: type[Masking]) -> None:
    config = config_of(cls(LinearRate(0.3, 0.2), 0.7, 0.2))
    assert config["class_path"] == f"plmlight.{cls.__name__}"
    assert config["init_args"]["rate"] == {
        "class_path": "plmlight.objectives.LinearRate",
        "init_args": {"start": 0.3, "end": 0.2},
    }
    again = build(config)
    assert isinstance(again, cls)
    assert (again.rate_at(0.5), again.mask_share, again.random_share) == (0.25, 0.7, 0.2)


def test_translation_is_masking_of_pairs_with_languages_and_positions() -> None:
    rows_, made = rows(20), objective(TranslationLanguageModelling)
    both = {name: torch.zeros_like(rows_["input_ids"]) for name in ("token_type_ids", "position_ids")}
    expected = objective(MaskedLanguageModelling).corrupt(rows_, key(20))
    assert torch.equal(made.corrupt(rows_ | both, key(20))["labels"], expected["labels"])
    for name in both:
        with pytest.raises(ValueError, match=rf"ParallelCorpus.*no {name}$"):
            made.corrupt({k: v for k, v in (rows_ | both).items() if k != name}, key(20))


def test_the_vocabulary_is_projected_to_at_hidden_tokens_only() -> None:
    class Counting(LMHead):
        rows = 0

        def before_projection(self, hidden: Tensor) -> Tensor:
            self.rows += len(hidden)
            return hidden

    head = Counting(4, V)
    batch = objective(MaskedLanguageModelling).corrupt(rows(4), key(4))
    _, count = objective(MaskedLanguageModelling).loss(Outputs(torch.randn(4, 256, 4), head), batch)["loss"]
    assert head.rows == int(count) == int(chosen(batch).sum()) > 100


WRONG = [
    (lambda: MaskedLanguageModelling(rate=1.0), "rate 1.0: expected more than 0"),
    (lambda: WholeWordMasking(mask_share=0.9, random_share=0.2), "mask_share 0.9 and random_share 0.2"),
    (lambda: SpanMasking(p=0.0), "p 0.0: expected"),
    (lambda: SpanMasking(max_span=0), "max_span 0: expected at least 1"),
    (lambda: LinearRate(0.3, 1.5), "end 1.5: expected"),
]


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_wrong_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_tokenizer_with_a_mask_is_needed() -> None:
    made = MaskedLanguageModelling()
    with pytest.raises(ValueError, match="MaskedLanguageModelling needs a tokenizer, for its special tokens"):
        made.corrupt(rows(1), key(1))
    made.use_tokenizer(Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]")))
    with pytest.raises(ValueError, match=r"needs a tokenizer with a token that hides others, named \[MASK\] or <mask>"):
        made.check_ready()
    objective(MaskedLanguageModelling).check_ready()
