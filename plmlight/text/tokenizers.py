"""Tokenizers as files, and what the rest of the house asks about one."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from plmlight.text.files import replace_file

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


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Opens a tokenizer, with padding and truncation switched off.

    Args:
        path: a ``tokenizer.json``, or a folder that has one, or a folder with ``vocab.json`` and ``merges.txt``:
            GPT-2's byte-level BPE, or GPT-1's lower-cased BPE when its pieces end in ``</w>``.

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
    if file.exists():
        try:
            tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises bare Exception
            raise ValueError(f"{file}: not a tokenizer.json ({error})") from None
    elif (path / "vocab.json").exists() and (path / "merges.txt").exists():
        tokenizer = _from_merges(path)
    else:
        raise ValueError(f"{path}: has neither tokenizer.json nor vocab.json with merges.txt")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _from_merges(folder: Path) -> Tokenizer:
    """Builds what ``transformers`` builds from the two files of GPT-2 or of GPT-1 (there is no third kind)."""
    try:
        vocabulary, merges = models.BPE.read_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
        known = set(vocabulary)
        suffix = "</w>" if any(token.endswith("</w>") for token in known) else ""
        options = {"end_of_word_suffix": suffix, "unk_token": "<unk>"} if suffix else {}
        tokenizer = Tokenizer(models.BPE(vocabulary, merges, **options))
        added = json.loads(_text_or(folder / "added_tokens.json", "{}"))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"{folder}: vocab.json and merges.txt do not make a BPE ({error})") from None
    if suffix:
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.BPEDecoder(suffix=suffix)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    names = {name for names in SPECIAL_NAMES.values() for name in names if name in known}
    special = sorted(names, key=vocabulary.__getitem__) + sorted(added, key=added.__getitem__)
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    return tokenizer


def _text_or(path: Path, default: str) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else default


def save_tokenizer(tokenizer: Tokenizer, folder: str | Path) -> None:
    """Writes a tokenizer so that this house, ``tokenizers`` and ``transformers.AutoTokenizer`` open it.

    Args:
        tokenizer: the tokenizer.
        folder: gets ``tokenizer.json`` and ``tokenizer_config.json``, and for a BPE of GPT-2's or GPT-1's kind also
            ``vocab.json`` and ``merges.txt``, which `load_tokenizer` reads back to the same tokens.
    """
    folder = Path(folder)
    text = tokenizer.to_str(pretty=True)
    pipeline = json.loads(text)
    model, before = pipeline["model"], pipeline["pre_tokenizer"] or {}
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
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
        Ids by ``pad bos eos unk cls sep mask``; a role that nothing plays is absent, but ``pad`` falls back to ``eos``.
    """
    found = {}
    for role, names in SPECIAL_NAMES.items():
        ids = [id_ for name in names if (id_ := tokenizer.token_to_id(name)) is not None]
        if ids:
            found[role] = ids[0]
    if "pad" not in found and "eos" in found:
        found["pad"] = found["eos"]
    return found


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
