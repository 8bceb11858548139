"""Tokenizers as published models bring them where there is no tokenizer.json.

What cuts text is decided by ``tokenizer_config.json`` and ``config.json`` beside the files, and by the vocabulary where
these say nothing. Ids equal those of the reference implementation reading the same files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from plmlight.text.marian import SOURCE, build_marian
from plmlight.text.sentencepiece import CONTROL, UNKNOWN, USER_DEFINED, SentencePiece, read_sentencepiece

SENTENCEPIECE_NAMES = ("spiece.model", "sentencepiece.bpe.model", "sentencepiece.model")
"""Names of SentencePiece models in folders; any other ``.model`` will do where it is the only one."""

SPECIAL_NAMES: dict[str, tuple[str, ...]] = {
    "pad": ("[PAD]", "<pad>"),
    "bos": ("<|startoftext|>", "<s>", "[BOS]", "<|endoftext|>"),
    "eos": ("<|endoftext|>", "</s>", "[EOS]"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<cls>"),
    "sep": ("[SEP]", "<sep>"),
    "mask": ("[MASK]", "<mask>", "<special1>"),
}
"""Which token plays which role, the first that a vocabulary has, in the words of GPT-2, BERT, T5, XLNet, XLM."""


def find_vocabulary(path: Path) -> Path | None:
    """The file that a tokenizer is built from.

    Args:
        path: a folder, or such a file itself.

    Returns:
        ``source.spm`` (Marian), ``vocab.json``, ``vocab.txt`` or a SentencePiece model; None where there is none.
    """
    if path.is_file():
        return path
    if (path / SOURCE).exists():
        return path / SOURCE
    named = [path / "vocab.json"] if (path / "merges.txt").exists() else []
    named += [path / "vocab.txt", *(path / name for name in SENTENCEPIECE_NAMES)]
    found = [file for file in named if file.exists()]
    others = list(path.glob("*.model"))
    return found[0] if found else others[0] if len(others) == 1 else None


def build_tokenizer(file: Path) -> Tokenizer:
    """Builds the tokenizer of a vocabulary.

    Args:
        file: what `find_vocabulary` found.

    Returns:
        The tokenizer.

    Raises:
        ValueError: when the file is damaged, of a kind that is not known, or lacks a token that is needed.
    """
    config = _json(file.parent / "config.json") | _json(file.parent / "tokenizer_config.json")
    if file.suffix == ".json":
        tokenizer = _from_merges(file)
    elif file.suffix == ".spm":
        tokenizer = build_marian(file, _normalizers(read_sentencepiece(file), None, config))
    elif file.suffix == ".model":
        tokenizer = _from_sentencepiece(file, config)
    else:
        tokenizer = _from_wordpiece(file, config)
    return tokenizer


def _from_wordpiece(file: Path, config: dict[str, Any]) -> Tokenizer:
    """BERT's WordPiece. A token that stands on several lines has the id of the first."""
    try:
        lines = file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: byte {error.start} is not UTF-8") from None
    vocabulary: dict[str, int] = {}
    for id_, token in enumerate(lines):
        vocabulary.setdefault(token, id_)
    for needed in ("[UNK]", "[CLS]", "[SEP]"):
        if needed not in vocabulary:
            raise ValueError(f"{file}: no vocabulary of BERT's kind: there is no line {needed}")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", continuing_subword_prefix="##"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        strip_accents=config.get("strip_accents"),
        lowercase=config.get("do_lower_case", not _cased(lines)),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    add_special(tokenizer)
    wrap(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def _cased(tokens: list[str]) -> bool:
    """Whether capital letters are more than strays: the Chinese vocabulary, which lowers case, has six with one."""
    words = [token for token in tokens if re.search("[A-Za-z]", token) and not re.fullmatch(r"\[.*\]", token)]
    return 20 * sum(token != token.lower() for token in words) > len(words)


def _from_merges(file: Path) -> Tokenizer:
    """The BPE of GPT-2 or RoBERTa (the one with a mask), or of GPT-1 or XLM (pieces that end in ``</w>``).

    RoBERTa's mask takes the space before it along, as in its published tokenizer.json.
    """
    folder = file.parent
    try:
        vocabulary, merges = models.BPE.read_file(str(file), str(folder / "merges.txt"))
        known = set(vocabulary)
        suffix = "</w>" if any(token.endswith("</w>") for token in known) else ""
        options = {"end_of_word_suffix": suffix, "unk_token": "<unk>"} if suffix else {}
        tokenizer = Tokenizer(models.BPE(vocabulary, merges, **options))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"{folder}: vocab.json and merges.txt do not make a BPE ({error})") from None
    if suffix:
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.BPEDecoder(suffix=suffix)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    added = _json(folder / "added_tokens.json")
    add_special(tokenizer, sorted(added, key=added.__getitem__), spaces=not suffix)
    if {"<s>", "</s>", "<mask>"} <= known:
        wrap(tokenizer, "<s>", "</s>", double=True)
    elif {"<s>", "</s>", "<special1>"} <= known:
        wrap(tokenizer, "<s>", "</s>")
    return tokenizer


def _from_sentencepiece(file: Path, config: dict[str, Any]) -> Tokenizer:
    """The unigram model of T5, ALBERT, XLM-R, XLNet, or of nobody in particular."""
    model = read_sentencepiece(file)
    if model.kind != "unigram":
        raise ValueError(f"{file}: a SentencePiece model of the kind {model.kind}; only unigram ones are read")
    if UNKNOWN not in model.types:
        raise ValueError(f"{file}: has no piece for what is unknown")
    family, pieces = _family(file, model, config), model.pieces
    extra: list[str] = []
    if family == "xlm-roberta":  # fairseq's four tokens take the place of SentencePiece's three
        pieces = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")] + pieces[3:] + [("<mask>", 0.0)]
        unknown = 3
    else:
        unknown = model.types.index(UNKNOWN)
    if family == "t5":
        extra = [f"<extra_id_{number}>" for number in reversed(range(config.get("extra_ids", 100)))]
        pieces = pieces + [(token, 0.0) for token in extra]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unknown, byte_fallback=model.byte_fallback))
    tokenizer.normalizer = normalizers.Sequence(_normalizers(model, family, config))
    scheme = "always" if model.add_dummy_prefix else "never"
    space: Any = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    by_word = family is not None or (model.add_dummy_prefix and model.remove_extra_whitespaces)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), space]) if by_word else space
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    if family != "xlm-roberta":
        control = [piece for (piece, _), kind in zip(model.pieces, model.types, strict=True) if kind == CONTROL]
        user = [piece for (piece, _), kind in zip(model.pieces, model.types, strict=True) if kind == USER_DEFINED]
        if family == "xlnet":  # it ends a paragraph, and is special in the reference too
            control, user = [*control, "<eop>"], [piece for piece in user if piece != "<eop>"]
        add_special(tokenizer, control + extra, spaces=family == "xlnet")
        tokenizer.add_tokens([AddedToken(piece, normalized=False, special=False) for piece in user])
    else:
        add_special(tokenizer)
    if family == "t5":
        wrap(tokenizer, None, "</s>")
    elif family == "xlnet":
        wrap_xlnet(tokenizer)
    elif family is not None:
        wrap(tokenizer, *_ENDS[family], double=family == "xlm-roberta")
    return tokenizer


_ENDS = {"albert": ("[CLS]", "[SEP]"), "xlm-roberta": ("<s>", "</s>")}


def _family(file: Path, model: SentencePiece, config: dict[str, Any]) -> str | None:
    said = f"{config.get('tokenizer_class', '')} {config.get('model_type', '')}".lower().replace("-", "")
    families = {"xlmroberta": "xlm-roberta", "albert": "albert", "t5": "t5", "xlnet": "xlnet"}
    for word, family in families.items():
        if word in said:
            return family
    names = [piece for piece, _ in model.pieces]
    if {"[CLS]", "[SEP]"} <= set(names):
        return "albert"
    if {"<cls>", "<sep>", "<eod>", "<eop>"} <= set(names):
        return "xlnet"
    if names[:3] == ["<pad>", "</s>", "<unk>"]:
        return "t5"
    return "xlm-roberta" if file.name == "sentencepiece.bpe.model" else None


def _normalizers(model: SentencePiece, family: str | None, config: dict[str, Any]) -> list[Any]:
    steps: list[Any] = []
    if family == "albert":
        steps = albert_normalizers(config.get("do_lower_case", True), config.get("keep_accents", False))
    elif family == "xlnet":
        steps = albert_normalizers(config.get("do_lower_case", False), config.get("keep_accents", False))
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if family is None and model.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    return steps


def albert_normalizers(lowercase: bool, keep_accents: bool) -> list[Any]:
    """ALBERT's and XLNet's normaliser: one kind of quotes, no accents, lower case.

    Args:
        lowercase: whether case is lowered.
        keep_accents: whether accents stay.

    Returns:
        The steps.
    """
    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not keep_accents:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    return [*steps, normalizers.Lowercase()] if lowercase else steps


def wrap(tokenizer: Tokenizer, first: str | None, last: str, *, double: bool = False) -> None:
    """Lets a tokenizer put its special tokens around a text, and around two.

    Args:
        tokenizer: changed.
        first: what a text begins with, None for nothing.
        last: what each text ends with.
        double: RoBERTa's way: twice ``last`` between two texts, and one segment; else the second text is segment 1,
            unless there is no ``first`` (T5).

    Raises:
        ValueError: when the vocabulary lacks one of the two.
    """
    names = [name for name in (first, last) if name is not None]
    for name in names:
        if tokenizer.token_to_id(name) is None:
            raise ValueError(f"the vocabulary has no token {name}")
    begin = [f"{first}:0"] if first else []
    segment = 0 if double or first is None else 1
    between = [f"{last}:0"] * (2 if double else 1)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[*begin, "$A:0", f"{last}:0"],
        pair=[*begin, "$A:0", *between, f"$B:{segment}", f"{last}:{segment}"],
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in names],
    )


def wrap_xlnet(tokenizer: Tokenizer) -> None:
    """Lets a tokenizer put XLNet's special tokens after a text, and after two: `A <sep> B <sep> <cls>`.

    Args:
        tokenizer: changed. The last token is a segment of its own, as in XLNet's pretraining.

    Raises:
        ValueError: when the vocabulary lacks one of the two.
    """
    ids = {name: tokenizer.token_to_id(name) for name in ("<sep>", "<cls>")}
    for name, id_ in ids.items():
        if id_ is None:
            raise ValueError(f"the vocabulary has no token {name}")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A:0", "<sep>:0", "<cls>:2"],
        pair=["$A:0", "<sep>:0", "$B:1", "<sep>:1", "<cls>:2"],
        special_tokens=list(ids.items()),
    )


def add_special(tokenizer: Tokenizer, more: Iterable[str] = (), *, spaces: bool = False) -> None:
    """Makes the vocabulary's tokens with a role special, in the order of their ids, and then some more.

    Args:
        tokenizer: changed.
        more: added where the vocabulary lacks them.
        spaces: whether a space is part of the token after it: then the mask takes the space before it along.
    """
    known = tokenizer.get_vocab(with_added_tokens=False)
    roles = {name for names in SPECIAL_NAMES.values() for name in names if name in known}
    names = dict.fromkeys([*sorted(roles, key=known.__getitem__), *more])
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False, lstrip=spaces and name == "<mask>") for name in names]
    )


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a JSON object was expected")
    return content
