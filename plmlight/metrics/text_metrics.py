"""Metrics on texts: what a model wrote beside what was expected."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Protocol

import torch
import torch.distributed
from torch.distributed import ProcessGroup

from plmlight.text import nearest


class TextMetric(Protocol):
    """A score of texts, by way of sums."""

    name: str
    """What it is asked for by; the names of its sums begin with it."""
    additive: bool
    """Whether the sums of parts of a corpus, added up, are those of the corpus. Where not, as for what counts different
    n-grams, collect the texts (`gather_texts` does over ranks) and ask for the sums of all of them at once."""

    def sums(self, hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        """What the score is computed from.

        Args:
            hypotheses: what was written.
            references: what was expected, one for each.

        Returns:
            Numbers by name, the same names always.

        Raises:
            ValueError: when there are not as many of both.
        """

    def summarise(self, sums: Mapping[str, float]) -> dict[str, float]:
        """The scores, by name.

        Args:
            sums: those of `sums`; others may be among them.

        Returns:
            For most metrics one score, under the metric's name.
        """


def text_metrics(names: Sequence[str]) -> list[TextMetric]:
    """Metrics by name.

    Args:
        names: of these: ``bleu``, ``bleu_zh``, ``chrf``, ``rouge``, ``rouge_zh``, ``exact_match``, ``distinct``.

    Returns:
        The metrics, in this order.

    Raises:
        ValueError: for an unknown name, or one that comes twice.
    """
    if isinstance(names, str):
        names = [names]
    for place, name in enumerate(names):
        if name not in TEXT_METRICS:
            raise ValueError(f"there is no text metric {name!r}{nearest(name, TEXT_METRICS)}")
        if name in names[:place]:
            raise ValueError(f"the text metric {name!r} is named twice")
    return [TEXT_METRICS[name]() for name in names]


def gather_texts(texts: Sequence[str], group: ProcessGroup | None = None) -> list[str]:
    """The texts of all ranks, for metrics that are not additive.

    Args:
        texts: of this rank.
        group: the ranks; all of them by default.

    Returns:
        Those of the first rank, then of the second, and so on; the texts themselves where there is one process only.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return list(texts)
    device = "cuda" if torch.distributed.get_backend(group) == "nccl" else "cpu"
    data = torch.frombuffer(bytearray(json.dumps(list(texts)).encode()), dtype=torch.uint8).to(device)
    ranks = torch.distributed.get_world_size(group)
    sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(ranks)]
    torch.distributed.all_gather(sizes, torch.tensor([len(data)], device=device), group)
    longest = max(int(size) for size in sizes)
    parts = [torch.zeros(longest, dtype=torch.uint8, device=device) for _ in range(ranks)]
    torch.distributed.all_gather(parts, torch.nn.functional.pad(data, (0, longest - len(data))), group)
    return [
        text
        for part, size in zip(parts, sizes, strict=True)
        for text in json.loads(part[: int(size)].cpu().numpy().tobytes())
    ]


class _SacreBleu:
    """A corpus score of sacrebleu (Post 2018, arXiv:1804.08771): sums of whole numbers, so exact in any parts."""

    name: str
    additive: bool = True
    statistics: ClassVar[tuple[str, ...]]
    """What sacrebleu's metric counts in each sentence, in its order."""

    def __init__(self) -> None:
        self._metric = self.build()

    @abstractmethod
    def build(self) -> Any:
        """Makes sacrebleu's metric."""

    def sums(self, hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        """See `TextMetric.sums`."""
        _check(hypotheses, references)
        rows = self._metric._extract_corpus_statistics(hypotheses, [references]) if len(hypotheses) else []
        totals = map(sum, zip(*rows, strict=True)) if rows else [0] * len(self.statistics)
        return {f"{self.name}_{name}": float(n) for name, n in zip(self.statistics, totals, strict=True)}

    def summarise(self, sums: Mapping[str, float]) -> dict[str, float]:
        """The score, 0 to 100."""
        counts = [int(sums[f"{self.name}_{name}"]) for name in self.statistics]
        return {self.name: float(self._metric._compute_score_from_stats(counts).score)}


class Bleu(_SacreBleu):
    """BLEU (Papineni et al. 2002): sacrebleu's ``corpus_bleu``, cased, with its tokenisation 13a."""

    name = "bleu"
    tokenize: ClassVar[str] = "13a"
    statistics = (
        "length",
        "reference_length",
        *(f"matches_{order}" for order in range(1, 5)),
        *(f"ngrams_{order}" for order in range(1, 5)),
    )

    def build(self) -> Any:
        """Makes sacrebleu's metric."""
        from sacrebleu.metrics import BLEU

        return BLEU(tokenize=self.tokenize, force=True)


class ChineseBleu(Bleu):
    """BLEU with sacrebleu's tokenisation of Chinese: each Chinese character is a word."""

    name = "bleu_zh"
    tokenize = "zh"


class ChrF(_SacreBleu):
    """ChrF (Popović 2015): sacrebleu's ``corpus_chrf``, the F2 score of character n-grams up to 6."""

    name = "chrf"
    statistics = tuple(f"{what}_{order}" for order in range(1, 7) for what in ("ngrams", "reference_ngrams", "matches"))

    def build(self) -> Any:
        """Makes sacrebleu's metric."""
        from sacrebleu.metrics import CHRF

        return CHRF()


class Rouge:
    """ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004): means over the texts of rouge-score's F1, 0 to 100, without stemming.

    Its words are runs of a-z and 0-9: for other alphabets there is `ChineseRouge`.
    """

    name = "rouge"
    additive = True
    kinds: ClassVar[dict[str, str]] = {"rouge1": "1", "rouge2": "2", "rougeL": "l"}

    def __init__(self) -> None:
        from rouge_score.rouge_scorer import RougeScorer

        self._scorer = RougeScorer(list(self.kinds), tokenizer=self.tokenizer())

    def tokenizer(self) -> Any:
        """What splits texts; None for rouge-score's own."""
        return None

    def sums(self, hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        """See `TextMetric.sums`."""
        _check(hypotheses, references)
        totals = {f"{self.name}_{kind}": 0.0 for kind in self.kinds.values()}
        for hypothesis, reference in zip(hypotheses, references, strict=True):
            scores = self._scorer.score(reference, hypothesis)
            for key, kind in self.kinds.items():
                totals[f"{self.name}_{kind}"] += scores[key].fmeasure
        return {**totals, f"{self.name}_texts": float(len(hypotheses))}

    def summarise(self, sums: Mapping[str, float]) -> dict[str, float]:
        """``rouge_1``, ``rouge_2`` and ``rouge_l``."""
        names = [f"{self.name}_{kind}" for kind in self.kinds.values()]
        return {name: 100 * sums[name] / max(sums[f"{self.name}_texts"], 1.0) for name in names}


class ChineseRouge(Rouge):
    """ROUGE whose words are those of `words`: each Chinese character, and runs of other letters and digits."""

    name = "rouge_zh"

    def tokenizer(self) -> Any:
        """What splits texts."""
        from rouge_score.tokenizers import Tokenizer

        class Characters(Tokenizer):  # type: ignore[misc]
            def tokenize(self, text: str) -> list[str]:
                return words(text)

        return Characters()


class ExactMatch:
    """The share of texts that are the expected ones, 0 to 100; white space around them does not count."""

    name = "exact_match"
    additive = True

    def sums(self, hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        """See `TextMetric.sums`."""
        _check(hypotheses, references)
        equal = sum(ours.strip() == theirs.strip() for ours, theirs in zip(hypotheses, references, strict=True))
        return {"exact_match_equal": float(equal), "exact_match_texts": float(len(hypotheses))}

    def summarise(self, sums: Mapping[str, float]) -> dict[str, float]:
        """See `TextMetric.summarise`."""
        return {"exact_match": 100 * sums["exact_match_equal"] / max(sums["exact_match_texts"], 1.0)}


class Distinct:
    """How varied answers are (Li et al. 2016, arXiv:1510.03055, section 5.3).

    ``distinct_1`` and ``distinct_2`` are the different words and pairs of neighbours over all texts, each divided by
    the number of words, 0 to 1. The words are those of `words`. An n-gram may stand in two parts of a corpus, so the
    sums of parts do not add up: see `TextMetric.additive`.
    """

    name = "distinct"
    additive = False

    def sums(self, hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        """See `TextMetric.sums`; the references are not read."""
        _check(hypotheses, references)
        single: set[str] = set()
        pairs: set[tuple[str, str]] = set()
        total = 0
        for hypothesis in hypotheses:
            found = words(hypothesis)
            total += len(found)
            single.update(found)
            pairs.update(pairwise(found))
        return {"distinct_1": float(len(single)), "distinct_2": float(len(pairs)), "distinct_words": float(total)}

    def summarise(self, sums: Mapping[str, float]) -> dict[str, float]:
        """``distinct_1`` and ``distinct_2``."""
        return {name: sums[name] / max(sums["distinct_words"], 1.0) for name in ("distinct_1", "distinct_2")}


def words(text: str) -> list[str]:
    """Splits a text in any language: each Chinese or Japanese character, and runs of other letters and digits.

    Args:
        text: what to split.

    Returns:
        The words in lower case; punctuation is left out.
    """
    return _WORD.findall(text.lower())


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses came with {len(references)} references")


_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}]+")

TEXT_METRICS: dict[str, Callable[[], TextMetric]] = {
    "bleu": Bleu,
    "bleu_zh": ChineseBleu,
    "chrf": ChrF,
    "rouge": Rouge,
    "rouge_zh": ChineseRouge,
    "exact_match": ExactMatch,
    "distinct": Distinct,
}
"""The metrics by name."""
