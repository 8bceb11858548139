"""Words that belong together become one (Mikolov et al. 2013, arXiv:1310.4546, section 4)."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from plmlight.text.training import WORD

Pairs = frozenset[tuple[str, str]]
_WORD = re.compile(WORD)


@dataclass(frozen=True)
class Phrases:
    """Pairs of words that are joined with ``_``.

    Args:
        passes: the pairs of each pass; those of a later one may hold words that an earlier one joined.
        lowercase: lower the case of all text first.
    """

    passes: tuple[Pairs, ...]
    lowercase: bool = False

    def join(self, text: str) -> str:
        """Joins a text's phrases.

        Args:
            text: any.

        Returns:
            Its words with single spaces between them; of overlapping pairs the first is joined.
        """
        words = words_of(text, self.lowercase)
        for pairs in self.passes:
            words = _joined(words, pairs)
        return " ".join(words)


def words_of(text: str, lowercase: bool) -> list[str]:
    """The words of a text, as the tokenizer of kind ``word`` finds them.

    Args:
        text: any.
        lowercase: lower its case.
    """
    text = unicodedata.normalize("NFC", text)
    return _WORD.findall(text.lower() if lowercase else text)


def find_phrases(
    documents: Iterable[str], passes: int, min_count: int = 5, threshold: float = 100.0, lowercase: bool = False
) -> Phrases:
    """Finds pairs of words that stand together more often than by chance.

    The score of a pair is ``(count(a b) - min_count) / (count(a) count(b))`` times the number of words (1310.4546,
    equation 6, with the factor of the authors' program).

    Args:
        documents: gone through once a pass.
        passes: how often: a pass joins what the one before left or made.
        min_count: the discount, and how often words and pairs must occur.
        threshold: the least score.
        lowercase: lower the case of all text first.

    Returns:
        The phrases.
    """
    found = Phrases((), lowercase)
    for _ in range(passes):
        words: Counter[str] = Counter()
        pairs: Counter[tuple[str, str]] = Counter()
        for document in documents:
            text = found.join(document).split(" ")
            words.update(text)
            pairs.update(pairwise(text))
        total = words.total()
        kept = frozenset(
            (first, second)
            for (first, second), count in pairs.items()
            if min(words[first], words[second]) >= min_count
            and (count - min_count) * total > threshold * words[first] * words[second]
        )
        found = Phrases((*found.passes, kept), lowercase)
    return found


def _joined(words: Sequence[str], pairs: Pairs) -> list[str]:
    found: list[str] = []
    place = 0
    while place < len(words):
        both = place + 1 < len(words) and (words[place], words[place + 1]) in pairs
        found.append(f"{words[place]}_{words[place + 1]}" if both else words[place])
        place += 2 if both else 1
    return found
