"""Tokenizers as files, and what the rest of the house asks about one."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plmlight.text.files import replace_file
from plmlight.text.marian import TARGET, has_target
from plmlight.text.published import SPECIAL_NAMES, build_tokenizer, find_vocabulary

TARGET_TOKENIZER = "target_tokenizer.json"
"""The tokenizer of what is written, where it is another than that of what is read."""


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Opens a tokenizer, with padding and truncation switched off.

    Args:
        path: a folder or one of its files:

            - ``tokenizer.json``;
            - ``vocab.txt``: BERT's WordPiece, lower-cased as ``tokenizer_config.json`` says, and where that is missing
              if the vocabulary has no capital letter;
            - ``spiece.model`` or another SentencePiece unigram ``.model``: T5's, ALBERT's, XLM-R's or a plain one;
            - ``source.spm`` with ``vocab.json``: Marian's, of the source; see `load_target_tokenizer`;
            - ``vocab.json`` with ``merges.txt``: the byte-level BPE of GPT-2, or of RoBERTa if it has ``<mask>``; with
              pieces that end in ``</w>`` the lower-cased BPE of GPT-1 or XLM.

    Returns:
        The tokenizer.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is not a tokenizer, or the folder has none.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such tokenizer file or folder")
    file = path / "tokenizer.json" if path.is_dir() else path
    if file.exists() and file.suffix == ".json" and file.name != "vocab.json":
        try:
            tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises bare Exception
            raise ValueError(f"{file}: not a tokenizer.json ({error})") from None
    elif (vocabulary := find_vocabulary(path)) is not None:
        tokenizer = build_tokenizer(vocabulary)
    else:
        raise ValueError(
            f"{path}: has neither tokenizer.json nor vocab.txt, a SentencePiece .model, or vocab.json with merges.txt"
        )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def load_target_tokenizer(folder: str | Path) -> Tokenizer | None:
    """Opens the tokenizer of what a translation model writes.

    Args:
        folder: holds ``target_tokenizer.json``, or Marian's ``target.spm``.

    Returns:
        The tokenizer; None where what is read and what is written are cut alike.

    Raises:
        ValueError: when the file is not a tokenizer.
    """
    folder = Path(folder)
    if (folder / TARGET_TOKENIZER).exists():
        return load_tokenizer(folder / TARGET_TOKENIZER)
    return load_tokenizer(folder / TARGET) if has_target(folder) else None


def save_tokenizer(tokenizer: Tokenizer, folder: str | Path, target: Tokenizer | None = None) -> None:
    """Writes a tokenizer so that this house, ``tokenizers`` and ``transformers.AutoTokenizer`` open it.

    A target's tokenizer is what `load_target_tokenizer` opens. transformers knows one tokenizer for both: it reads
    sources, and, where both share a vocabulary, what the model writes.

    Args:
        tokenizer: the tokenizer.
        folder: gets ``tokenizer.json`` and ``tokenizer_config.json``, and for a BPE of GPT-2's or GPT-1's kind also
            ``vocab.json`` and ``merges.txt``, for WordPiece ``vocab.txt``, which `load_tokenizer` reads back to the
            same tokens.
        target: the tokenizer of what is written, where it is another: ``target_tokenizer.json``.
    """
    folder = Path(folder)
    if target is not None:
        _write(folder / TARGET_TOKENIZER, target.to_str(pretty=True))
    text = tokenizer.to_str(pretty=True)
    pipeline = json.loads(text)
    model, before = pipeline["model"], pipeline["pre_tokenizer"] or {}
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    normalizer = pipeline["normalizer"] or {}
    if model["type"] == "WordPiece" and normalizer.get("type") == "BertNormalizer":
        config |= {
            "do_lower_case": normalizer["lowercase"],
            "strip_accents": normalizer["strip_accents"],
            "tokenize_chinese_chars": normalizer["handle_chinese_chars"],
        }
        lines = {id_: token for token, id_ in model["vocab"].items()}
        _write(folder / "vocab.txt", "".join(f"{lines.get(id_, '')}\n" for id_ in range(max(lines) + 1)))
    if pipeline["post_processor"] is not None and 1 in tokenizer.encode("a", "b").type_ids:
        # by default transformers leaves out which of two segments a token is part of
        config["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    if cls_stands_last(tokenizer):
        config["padding_side"] = "left"  # what transformers' classifiers take is the last column
    config |= {f"{role}_token": tokenizer.id_to_token(id_) for role, id_ in special_token_ids(tokenizer).items()}
    _write(folder / "tokenizer.json", text)
    _write(folder / "tokenizer_config.json", json.dumps(config, indent=2))
    if model["type"] == "BPE" and (before.get("use_regex") or model.get("end_of_word_suffix")):
        merges = (merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"])
        _write(folder / "vocab.json", json.dumps(model["vocab"], ensure_ascii=False))
        _write(folder / "merges.txt", "\n".join(["#version: 0.2", *merges, ""]))


def _write(path: Path, text: str) -> None:
    with replace_file(path, "w") as handle:
        handle.write(text)


def tokenizer_hash(tokenizer: Tokenizer) -> str:
    """The SHA-256 of all that decides how a tokenizer cuts text, in hexadecimal.

    Args:
        tokenizer: the tokenizer.

    Returns:
        64 characters, equal for a tokenizer and its saved and loaded copy.
    """
    return hashlib.sha256(tokenizer.to_str().encode()).hexdigest()


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """The number of rows that an embedding needs: one more than the largest id.

    Args:
        tokenizer: the tokenizer.

    Returns:
        V.
    """
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1


def special_token_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """The ids of the tokens that play a role, found by the names that the published models gave them.

    Args:
        tokenizer: the tokenizer.

    Returns:
        Ids by ``pad bos eos unk cls sep mask``; a role that nothing plays is absent, but ``pad`` falls back to ``eos``,
        and where there is a mask, ``cls`` and ``sep`` fall back to ``bos`` and ``eos`` (RoBERTa, XLM).
    """
    found = {}
    for role, names in SPECIAL_NAMES.items():
        ids = [id_ for name in names if (id_ := tokenizer.token_to_id(name)) is not None]
        if ids:
            found[role] = ids[0]
    if "pad" not in found and "eos" in found:
        found["pad"] = found["eos"]
    if "mask" in found and "cls" not in found and "sep" not in found and {"bos", "eos"} <= found.keys():
        found |= {"cls": found["bos"], "sep": found["eos"]}
    return found


def cls_stands_last(tokenizer: Tokenizer) -> bool:
    """Whether the token that stands for a whole text comes at its end (XLNet), not at its beginning.

    Args:
        tokenizer: the tokenizer.

    Returns:
        What its template says; False where it puts no such token.
    """
    ids, cls = tokenizer.encode("").ids, special_token_ids(tokenizer).get("cls")
    return cls is not None and ids[-1:] == [cls] and ids[0] != cls


def document_separator(tokenizer: Tokenizer) -> int | None:
    """The token that ends a document: end of text, else BERT's separator, else none.

    Args:
        tokenizer: the tokenizer.

    Returns:
        Its id, or None.
    """
    ids = special_token_ids(tokenizer)
    return ids.get("eos", ids.get("sep"))


def token_byte_lengths(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """How many bytes of UTF-8 text each token stands for: the denominator of bits per byte.

    Args:
        tokenizer: the tokenizer.

    Returns:
        [V], int64; 0 for special tokens. White space that a tokenizer drops (BERT's, GPT-1's) counts for nothing.
    """
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    special = {id_ for id_, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    special |= set(special_token_ids(tokenizer).values())
    pipeline = json.loads(tokenizer.to_str())
    byte_level = '"ByteLevel"' in json.dumps([pipeline["pre_tokenizer"], pipeline["decoder"]])
    prefix = pipeline["model"].get("continuing_subword_prefix") or ""
    suffix = pipeline["model"].get("end_of_word_suffix") or ""
    metaspace = '"Metaspace"' in json.dumps([pipeline["pre_tokenizer"], pipeline["decoder"]])

    def measure(token: str) -> int:
        if byte_level:
            return len(token)  # its alphabet writes one character for each byte
        if re.fullmatch(r"<0x[0-9A-F]{2}>", token):
            return 1
        token = token.removeprefix(prefix).removesuffix(suffix)
        return len((token.replace("▁", " ") if metaspace else token).encode())

    lengths = np.zeros(vocabulary_size(tokenizer), dtype=np.int64)
    for token, id_ in vocabulary.items():
        lengths[id_] = 0 if id_ in special else measure(token)
    return lengths
