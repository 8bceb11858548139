"""Where words begin in text that may be Chinese."""

from __future__ import annotations

import importlib.metadata
import logging
import re
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

WordSegmentation = Literal["none", "jieba"]
WordStarts = Callable[[str], list[int]]
"""Text to the places of the characters with which a word begins, in order."""

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"(?P<han>[{_HAN}]+)|[^\W{_HAN}]+|[^\w\s]")


def segmentation(kind: WordSegmentation) -> str | None:
    """What words are found by, with its version.

    Args:
        kind: ``none`` or ``jieba``.

    Returns:
        Such as ``jieba-0.42.1``; None for ``none``.

    Raises:
        ValueError: when the package is missing.
    """
    if kind == "none":
        return None
    try:
        return f"jieba-{importlib.metadata.version('jieba')}"
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(
            "whole_words jieba needs the package jieba: pip install 'plmlight[zh]', or pip install jieba"
        ) from None


def word_starts(kind: WordSegmentation, folder: Path) -> WordStarts | None:
    """Finds words: Chinese ones as jieba does, elsewhere runs of letters and digits and single marks.

    Args:
        kind: ``none`` or ``jieba``.
        folder: where jieba may keep its dictionary in a form that loads faster.

    Returns:
        What finds them, None for ``none``.

    Raises:
        ValueError: when the package is missing.
    """
    if segmentation(kind) is None:
        return None
    chinese = _jieba(folder)

    def find(text: str) -> list[int]:
        found = []
        for match in _WORD.finditer(text):
            place = match.start()
            if match["han"] is None:
                found.append(place)
                continue
            for word in chinese.cut(match["han"]):
                found.append(place)
                place += len(word)
        return found

    return find


@cache
def _jieba(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its source has escapes that Python deprecates
        import jieba
    jieba.setLogLevel(logging.WARNING)
    segmenter = jieba.Tokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    segmenter.tmp_dir = str(folder)  # not the machine's shared one, where others could leave a file for it to load
    segmenter.initialize()
    return segmenter


def tokens_that_begin_words(offsets: Sequence[tuple[int, int]], starts: Sequence[int]) -> list[bool]:
    """Brings words from characters to tokens.

    Args:
        offsets: the first character of each token, and the one after its last.
        starts: where words begin.

    Returns:
        For each token whether a word begins in it; of several tokens that share a character, the first one.
    """
    begins, place, done = [], 0, 0
    for first, end in offsets:
        while place < len(starts) and starts[place] < max(first, done):
            place += 1
        begins.append(place < len(starts) and starts[place] < end)
        done = max(done, end)
    return begins
