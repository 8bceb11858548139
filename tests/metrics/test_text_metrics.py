import multiprocessing
import random
from pathlib import Path

import pytest
import sacrebleu
import torch.distributed
from rouge_score.rouge_scorer import RougeScorer

from plmlight.metrics import TEXT_METRICS, TextMetric, gather_texts, text_metrics

WORDS = [
    "the",
    "a",
    "man",
    "Dog,",
    "dogs",
    "run",
    "runs",
    "over",
    "(old)",
    "bridge",
    "3.5",
    "fast.",
    "und",
    "Brücke",
    "zwei",
]
CHINESE = "一个男人在桥上跑步狗很快abc 12，。"


def corpus(count: int = 60, chinese: bool = False) -> tuple[list[str], list[str]]:
    """References, and hypotheses that change some of their words; one is empty, one is right."""
    rng = random.Random(1)
    pieces, between = (list(CHINESE), "") if chinese else (WORDS, " ")
    references = [[rng.choice(pieces) for _ in range(rng.randint(1, 14))] for _ in range(count)]
    hypotheses = [[rng.choice(pieces) if rng.random() < 0.3 else word for word in row] for row in references]
    hypotheses[3], hypotheses[4] = [], references[4]
    return [between.join(row) for row in hypotheses], [between.join(row) for row in references]


def in_parts(metric: TextMetric, hypotheses: list[str], references: list[str]) -> dict[str, float]:
    """The scores from sums over parts of different sizes."""
    totals: dict[str, float] = {}
    for first, last in ((0, 1), (1, 1), (1, 20), (20, len(hypotheses))):
        for name, value in metric.sums(hypotheses[first:last], references[first:last]).items():
            totals[name] = totals.get(name, 0.0) + value
    return metric.summarise(totals)


def test_bleu_in_parts_is_sacrebleus_to_the_last_digit() -> None:
    hypotheses, references = corpus()
    (bleu,) = text_metrics(["bleu"])
    assert in_parts(bleu, hypotheses, references) == {"bleu": sacrebleu.corpus_bleu(hypotheses, [references]).score}


def test_chinese_bleu_is_sacrebleus_with_its_tokenisation() -> None:
    hypotheses, references = corpus(chinese=True)
    (bleu,) = text_metrics(["bleu_zh"])
    wanted = sacrebleu.corpus_bleu(hypotheses, [references], tokenize="zh").score
    assert in_parts(bleu, hypotheses, references) == {"bleu_zh": wanted}


def test_chrf_in_parts_is_sacrebleus_to_the_last_digit() -> None:
    hypotheses, references = corpus()
    (chrf,) = text_metrics(["chrf"])
    assert in_parts(chrf, hypotheses, references) == {"chrf": sacrebleu.corpus_chrf(hypotheses, [references]).score}


def test_rouge_is_the_mean_of_rouge_scores() -> None:
    hypotheses, references = corpus()
    (rouge,) = text_metrics(["rouge"])
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    each = [scorer.score(theirs, ours) for ours, theirs in zip(hypotheses, references, strict=True)]
    found = in_parts(rouge, hypotheses, references)
    for name, key in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
        assert found[name] == pytest.approx(100 * sum(row[key].fmeasure for row in each) / len(each))
    assert set(found) == {"rouge_1", "rouge_2", "rouge_l"}


def test_chinese_rouge_counts_characters() -> None:
    (rouge,) = text_metrics(["rouge_zh"])
    found = rouge.summarise(rouge.sums(["我爱北京，ABC"], ["我在北京abc"]))
    assert found["rouge_zh_1"] == pytest.approx(80)  # 我 北 京 abc of five each
    assert found["rouge_zh_2"] == pytest.approx(50)  # 北京 and 京abc of four each
    assert found["rouge_zh_l"] == pytest.approx(80)


def test_exact_match_ignores_the_white_space_around() -> None:
    (match,) = text_metrics(["exact_match"])
    assert match.summarise(match.sums(["a b", " c\n", "d", "E"], ["a b", "c", "x", "e"])) == {"exact_match": 50.0}


def test_distinct_counts_different_words_and_pairs_over_all_texts() -> None:
    (distinct,) = text_metrics(["distinct"])
    found = distinct.summarise(distinct.sums(["I do not know.", "I do not", "我我"], ["", "", ""]))
    assert found == {"distinct_1": 5 / 9, "distinct_2": 4 / 9}
    assert not distinct.additive


@pytest.mark.parametrize("name", sorted(TEXT_METRICS))
def test_no_texts_score_nothing(name: str) -> None:
    (metric,) = text_metrics([name])
    assert set(metric.summarise(metric.sums([], [])).values()) == {0.0}


@pytest.mark.parametrize("name", sorted(TEXT_METRICS))
def test_sums_have_the_same_names_whatever_the_texts(name: str) -> None:
    (metric,) = text_metrics([name])
    assert metric.sums([], []).keys() == metric.sums(["a b"], ["c"]).keys()
    assert all(key.startswith(name) for key in metric.sums([], []))


@pytest.mark.parametrize("name", sorted(TEXT_METRICS))
def test_missing_references_are_an_error(name: str) -> None:
    (metric,) = text_metrics([name])
    with pytest.raises(ValueError, match="2 hypotheses came with 1 references"):
        metric.sums(["a", "b"], ["a"])


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="there is no text metric 'blue'; did you mean 'bleu'"):
        text_metrics(["blue"])
    with pytest.raises(ValueError, match="'chrf' is named twice"):
        text_metrics(["chrf", "chrf"])


def _gather(rank: int, path: str, texts: list[str]) -> list[str]:
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
    try:
        return gather_texts(texts)
    finally:
        torch.distributed.destroy_process_group()


def test_texts_are_gathered_over_ranks(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    other = multiprocessing.get_context("spawn").Process(target=_gather, args=(1, store, ["zwölf 我", "z"]))
    other.start()
    assert _gather(0, store, ["eins"]) == ["eins", "zwölf 我", "z"]
    other.join()
    assert gather_texts(["one"]) == ["one"]
