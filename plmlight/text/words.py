from __future__ import annotations

import json
import re

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plmlight.text.tokenizers import special_token_ids, vocabulary_size

_BLANKS = {ord("Ġ"): " ", ord("Ċ"): "\n", ord("ĉ"): "\t", ord("č"): "\r", ord("▁"): " "}
"""How byte-level alphabets and SentencePiece write white space."""


def word_marks(tokenizer: Tokenizer) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where words begin and end, as far as a token by itself tells.

    A token begins a word when it is marked so, or when the one before it ends one:

    - WordPiece: all tokens begin one but ``##`` continuations; punctuation and each Chinese character are words.
    - BPE with ``</w>`` (XLM, GPT-1): a piece with that suffix ends one.
    - byte-level BPE, SentencePiece and characters: white space begins one, and belongs to the word after it; so a line
      break and the white space before it are a word of their own. Punctuation belongs to the word it is written to, as
      in fairseq's RoBERTa. Text without spaces is one long word: Chinese needs the data's ``word_starts``.

    Special tokens both begin and end one.

    Args:
        tokenizer: the tokenizer.

    Returns:
        [V], which tokens begin a word wherever they stand; [V], after which tokens one begins.
    """
    model = json.loads(tokenizer.to_str())["model"]
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
    begins, ends = (np.zeros(vocabulary_size(tokenizer), dtype=np.bool_) for _ in range(2))
    for token, id_ in tokenizer.get_vocab(with_added_tokens=True).items():
        if model["type"] == "WordLevel":
            begins[id_] = True
        elif prefix or suffix:
            begins[id_] = bool(prefix) and not token.startswith(prefix)
            ends[id_] = bool(suffix) and token.endswith(suffix)
        else:
            text = re.sub(r"^<0x([0-7][0-9A-F])>$", lambda found: chr(int(found[1], 16)), token.translate(_BLANKS))
            begins[id_] = text[:1].isspace()
            ends[id_] = text[-1:].isspace() and text[-1:] != " "
    special = [id_ for id_, token in tokenizer.get_added_tokens_decoder().items() if token.special]
    special += special_token_ids(tokenizer).values()
    begins[special] = ends[special] = True
    return begins, ends
