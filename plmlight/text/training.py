"""Training tokenizers."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, get_args

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from plmlight.text.nearest import nearest
from plmlight.text.published import add_special, albert_normalizers, wrap, wrap_xlnet

TokenizerKind = Literal[
    "byte-bpe", "bpe", "wordpiece", "unigram", "character", "byte", "word", "roberta", "albert", "xlm", "xlnet", "t5"
]
END = "<|endoftext|>"
WORD = r"\w+(?:['’]\w+)*"
"""What a word is to the tokenizer of that kind."""
FULL_WIDTH = "，！？：；（）～…"
"""Punctuation of Chinese that stays as it is, where all else is normalised by NFKC."""
_ASIDE = [(mark, chr(0x10FF00 + place)) for place, mark in enumerate(FULL_WIDTH)]
SENTINELS = tuple(f"<extra_id_{number}>" for number in range(100))
"""T5's tokens for hidden spans, in the order of the spans."""


def train_tokenizer(
    documents: Iterable[str],
    kind: TokenizerKind = "byte-bpe",
    vocab_size: int = 8192,
    lowercase: bool = False,
    min_frequency: int = 2,
    special_tokens: Sequence[str] = (),
) -> Tokenizer:
    """Trains a tokenizer; the same documents give the same tokenizer.

    - ``byte-bpe``: GPT-2's byte-level BPE (Radford et al. 2019), loses nothing. `<|endoftext|>` is id 0.
    - ``bpe``: BPE over characters (Sennrich et al. 2016, arXiv:1508.07909), spaces as "▁" as in SentencePiece.
      `<|endoftext|>` is id 0, `<unk>` 1.
    - ``wordpiece``: BERT's (Devlin et al. 2019, arXiv:1810.04805): `[PAD] [UNK] [CLS] [SEP] [MASK]` are ids 0 to 4.
    - ``unigram``: the unigram language model (Kudo 2018, arXiv:1804.10959) of T5 and XLNet, which keeps line ends as
      tokens; `<pad> </s> <unk>`: 0 to 2. In ``albert``, ``xlnet`` and ``t5`` all white space is one space, as in the
      published ones. All four normalise by NFKC, but unlike those keep the punctuation of Chinese (`FULL_WIDTH`).
    - ``character``: each character is a token, the most frequent if there are too many. `<|endoftext|>` 0, `<unk>` 1.
    - ``byte``: the 256 bytes, and `<|endoftext|>` as id 0.
    - ``word``: each word (letters, digits and ``_``, with apostrophes within) is a token, the most frequent first; what
      stands between words is dropped. `<unk>` is id 0.
    - ``roberta``: ``byte-bpe`` for a masked language model (Liu et al. 2019, arXiv:1907.11692):
      `<s> <pad> </s> <unk> <mask>` are ids 0 to 4, and texts stand as `<s> A </s> </s> B </s>`.
    - ``albert``: ``unigram`` for a masked language model (Lan et al. 2020, arXiv:1909.11942), with ALBERT's normaliser:
      `<pad> <unk> [CLS] [SEP] [MASK]` are ids 0 to 4, and texts stand as `[CLS] A [SEP] B [SEP]`.
    - ``xlm``: ``bpe`` with XLM's tokens (Conneau and Lample 2019, arXiv:1901.07291), of which `<special1>` is the mask:
      `<s> </s> <pad> <unk> <special0> <special1>` are ids 0 to 5, and texts stand as `<s> A </s> B </s>`.
    - ``xlnet``: ``unigram`` for a permutation language model (Yang et al. 2019, arXiv:1906.08237), with XLNet's
      normaliser: `<unk> <s> </s> <cls> <sep> <pad> <mask> <eod> <eop>` are ids 0 to 8, and texts stand as
      `A <sep> B <sep> <cls>`.
    - ``t5``: ``unigram`` for text to text (Raffel et al. 2020, arXiv:1910.10683): `<pad> </s> <unk>` are ids 0 to 2,
      the last hundred the sentinels `<extra_id_99>` to `<extra_id_0>`, and texts stand as `A </s> B </s>`.

    Args:
        documents: the text; gone through more than once, so a one-shot iterator is first drawn into memory.
        kind: one of the above.
        vocab_size: the number of tokens at most, special ones included; ``byte`` always has 257.
        lowercase: lower the case of all text first; wordpiece then strips accents too, albert always does.
        min_frequency: pairs seen less often are not merged (byte-bpe, bpe, wordpiece, roberta, xlm), words
            not kept (word).
        special_tokens: more tokens that text is never cut into, such as the marks of speakers; they come last.

    Returns:
        The tokenizer.

    Raises:
        ValueError: for an unknown kind, a vocabulary too small for its alphabet, or no text at all.
    """
    if kind not in _TRAIN:
        raise ValueError(f"tokenizer kind {kind!r} is unknown{nearest(kind, get_args(TokenizerKind))}")
    least = len(special_tokens) + {"byte-bpe": 257, "byte": 257, "roberta": 261, "t5": 108, "word": 2, "xlnet": 13}.get(
        kind, 8
    )
    if kind != "byte" and vocab_size < least:
        raise ValueError(f"vocab_size {vocab_size} is too small for a {kind} tokenizer: at least {least}")
    documents = list(documents) if isinstance(documents, Iterator) else documents
    if not any(map(str.strip, documents)):
        raise ValueError("there is no text to train a tokenizer on")
    tokenizer = _TRAIN[kind](documents, vocab_size - len(special_tokens), lowercase, min_frequency)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special_tokens])
    if (size := tokenizer.get_vocab_size()) > vocab_size and kind != "byte":
        raise ValueError(f"vocab_size {vocab_size} is too small for this text: its alphabet alone takes {size}")
    return tokenizer


def _normalizer(*parts: Any, lowercase: bool) -> Any:
    steps = [*parts, *([normalizers.Lowercase()] if lowercase else [])]
    return normalizers.Sequence(steps) if steps else None


def _compatible(*parts: Any, lowercase: bool = False) -> Any:
    """NFKC after other steps, of all but the punctuation of Chinese, which it would take for that of English.

    Those are put aside as characters that no text has, and then back: NFKC leaves the planes of private use alone.
    """
    there = [normalizers.Replace(mark, aside) for mark, aside in _ASIDE]
    back = [normalizers.Replace(aside, mark) for mark, aside in _ASIDE]
    return _normalizer(*there, *parts, normalizers.NFKC(), *back, lowercase=lowercase)


def _byte_bpe(
    documents: Iterable[str], vocab_size: int, lowercase: bool, min_frequency: int, special: Sequence[str] = (END,)
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = _normalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        show_progress=False,
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def _bpe(
    documents: Iterable[str],
    vocab_size: int,
    lowercase: bool,
    min_frequency: int,
    special: Sequence[str] = (END, "<unk>"),
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = _normalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        show_progress=False,
        special_tokens=list(special),
        limit_alphabet=vocab_size - len(special),
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def _wordpiece(documents: Iterable[str], vocab_size: int, lowercase: bool, min_frequency: int) -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

    def trained(size: int, fixed: list[str]) -> Tokenizer:
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=size, min_frequency=min_frequency, show_progress=False, special_tokens=special + fixed
        )
        tokenizer.train_from_iterator(documents, trainer)
        return tokenizer

    # The trainer numbers the pieces "##x" in the order of a randomly seeded hash map and breaks ties by number: a first
    # pass without merges finds these pieces, a second gets them in a fixed order.
    alphabet = sorted(token for token in trained(1, []).get_vocab() if len(token) == 3 and token.startswith("##"))
    found = trained(vocab_size, alphabet)
    tokenizer = Tokenizer(models.WordPiece(found.get_vocab(), unk_token="[UNK]", continuing_subword_prefix="##"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = found.normalizer, found.pre_tokenizer
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(special)
    wrap(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def _unigram(documents: Iterable[str], vocab_size: int, lowercase: bool, min_frequency: int) -> Tokenizer:
    normalizer = _compatible(lowercase=lowercase)
    tokenizer = _unigram_model(documents, vocab_size, normalizer, ["<pad>", "</s>", "<unk>"], by_word=False)
    wrap(tokenizer, None, "</s>")
    return tokenizer


def _unigram_model(
    documents: Iterable[str],
    vocab_size: int,
    normalizer: Any,
    special: list[str],
    last: Sequence[str] = (),
    *,
    spaces: bool = False,
    by_word: bool = True,
) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    space = pre_tokenizers.Metaspace()
    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), space]) if by_word else space
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size - len(last), show_progress=False, special_tokens=special, unk_token="<unk>"
    )
    tokenizer.train_from_iterator(documents, trainer)
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    settled = _settled(pieces, len(special)) + [(token, 0.0) for token in last]
    tokenizer.model = models.Unigram(settled, unk_id=special.index("<unk>"))
    add_special(tokenizer, [*special, *last], spaces=spaces)
    return tokenizer


def _settled(pieces: list[list[Any]], num_special: int) -> list[tuple[str, float]]:
    """Takes the chance out of a trained unigram model.

    Its sums run in the order of a randomly seeded hash map, which touches the last digits; and the characters that only
    complete the alphabet get scores 0.0001 apart in that order. Scores are rounded, those characters sorted.
    """
    special = [(piece, float(score)) for piece, score in pieces[:num_special]]
    rest = sorted(((round(score, 5), piece) for piece, score in pieces[num_special:]), reverse=True)
    fillers: list[str] = []
    lowest = rest[-1][0] if rest else 0.0
    while rest and len(rest[-1][1]) == 1 and rest[-1][0] - lowest < 1.5e-4 * len(fillers) + 1e-5:
        fillers.append(rest.pop()[1])
    settled = [(piece, score) for score, piece in sorted(rest, key=lambda pair: (-pair[0], pair[1]))]
    return special + settled + [(piece, lowest) for piece in sorted(fillers)]


def _character(documents: Iterable[str], vocab_size: int, lowercase: bool, min_frequency: int) -> Tokenizer:
    counts = Counter(itertools.chain.from_iterable(_lowered(documents, lowercase)))
    kept = sorted(sorted(counts, key=lambda character: (-counts[character], character))[: vocab_size - 2])
    vocabulary = {token: id_ for id_, token in enumerate([END, "<unk>", *kept])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.normalizer = _normalizer(lowercase=lowercase)
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([END, "<unk>"])
    return tokenizer


def _lowered(documents: Iterable[str], lowercase: bool) -> Iterator[str]:
    return (document.lower() for document in documents) if lowercase else iter(documents)


def _byte(documents: Iterable[str], vocab_size: int, lowercase: bool, min_frequency: int) -> Tokenizer:
    vocabulary = {token: id_ for id_, token in enumerate([END, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.normalizer = _normalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END])
    return tokenizer


def _word(documents: Iterable[str], vocab_size: int, lowercase: bool, min_frequency: int) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = _normalizer(normalizers.NFC(), lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, show_progress=False, special_tokens=["<unk>"]
    )
    tokenizer.train_from_iterator(documents, trainer)
    if tokenizer.get_vocab_size() < 2:
        raise ValueError(f"no word of the text occurs at least {min_frequency} times: the vocabulary is empty")
    return tokenizer


def _roberta(documents: Iterable[str], vocab_size: int, lowercase: bool, min_frequency: int) -> Tokenizer:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = _byte_bpe(documents, vocab_size, lowercase, min_frequency, special)
    add_special(tokenizer, spaces=True)
    wrap(tokenizer, "<s>", "</s>", double=True)
    return tokenizer


def _albert(documents: Iterable[str], vocab_size: int, lowercase: bool, min_frequency: int) -> Tokenizer:
    normalizer = _compatible(*albert_normalizers(lowercase, keep_accents=False))
    special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = _unigram_model(documents, vocab_size, normalizer, special)
    wrap(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def _xlm(documents: Iterable[str], vocab_size: int, lowercase: bool, min_frequency: int) -> Tokenizer:
    special = ["<s>", "</s>", "<pad>", "<unk>", "<special0>", "<special1>"]
    tokenizer = _bpe(documents, vocab_size, lowercase, min_frequency, special)
    wrap(tokenizer, "<s>", "</s>")
    return tokenizer


def _xlnet(documents: Iterable[str], vocab_size: int, lowercase: bool, min_frequency: int) -> Tokenizer:
    normalizer = _compatible(*albert_normalizers(lowercase, keep_accents=False))
    special = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]
    tokenizer = _unigram_model(documents, vocab_size, normalizer, special, spaces=True)
    wrap_xlnet(tokenizer)
    return tokenizer


def _t5(documents: Iterable[str], vocab_size: int, lowercase: bool, min_frequency: int) -> Tokenizer:
    normalizer = _compatible(lowercase=lowercase)
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer = _unigram_model(documents, vocab_size, normalizer, special, SENTINELS[::-1])
    wrap(tokenizer, None, "</s>")
    return tokenizer


_TRAIN: dict[str, Callable[[Iterable[str], int, bool, int], Tokenizer]] = {
    "byte-bpe": _byte_bpe,
    "bpe": _bpe,
    "wordpiece": _wordpiece,
    "unigram": _unigram,
    "character": _character,
    "byte": _byte,
    "word": _word,
    "roberta": _roberta,
    "albert": _albert,
    "xlm": _xlm,
    "xlnet": _xlnet,
    "t5": _t5,
}
