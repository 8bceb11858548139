"""Marian's tokenizers as they are published: SentencePiece cuts, and a vocabulary of its own gives the ids.

Source and target have a model each (``source.spm``, ``target.spm``) and share ``vocab.json``, or the target has
``target_vocab.json`` (Tiedemann and Thottingal 2020, "OPUS-MT: Building open translation services for the World").
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from plmlight.text.sentencepiece import SentencePiece, read_sentencepiece

SOURCE, TARGET = "source.spm", "target.spm"
VOCABULARY, TARGET_VOCABULARY = "vocab.json", "target_vocab.json"
_FOREIGN = -1e6
"""The score of a token that the model at hand does not know, for each of its characters: the last resort."""


def has_target(folder: Path) -> bool:
    """Whether the target of a folder is cut, or numbered, in another way than the source."""
    if not (folder / TARGET).exists():
        return False
    apart = (folder / TARGET_VOCABULARY).exists()
    return apart or (folder / TARGET).read_bytes() != (folder / SOURCE).read_bytes()


def build_marian(file: Path, steps: list[Any]) -> Tokenizer:
    """Builds the tokenizer of one side.

    A character that the side's model does not know is looked up in the vocabulary, which may have it from the other
    side, as the reference does; it does so for a run of such characters as a whole, this for its parts too.

    Args:
        file: ``source.spm`` or ``target.spm``, beside its vocabulary.
        steps: the normaliser of the model.

    Returns:
        The tokenizer.

    Raises:
        ValueError: when there is no vocabulary, or it does not fit.
    """
    model = read_sentencepiece(file)
    if model.kind != "unigram":
        raise ValueError(f"{file}: a SentencePiece model of the kind {model.kind}; only unigram ones are read")
    own = file.parent / TARGET_VOCABULARY
    listed = own if file.name == TARGET and own.exists() else file.parent / VOCABULARY
    tokens = _tokens(listed)
    tokenizer = Tokenizer(models.Unigram(_pieces(model, tokens), unk_id=tokens.index("<unk>"), byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(steps)
    space: Any = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), space])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    languages = [token for token in tokens if re.fullmatch(">>.+<<", token)]
    special = [*(token for token in ("</s>", "<unk>", "<pad>") if token in tokens), *languages]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A:0 </s>:0", pair="$A:0 $B:0 </s>:0", special_tokens=[("</s>", tokens.index("</s>"))]
    )
    return tokenizer


def _pieces(model: SentencePiece, tokens: list[str]) -> list[tuple[str, float]]:
    """Tokens in the order of their ids, with the model's scores."""
    ordinary = {piece: score for (piece, score), kind in zip(model.pieces, model.types, strict=True) if kind in (1, 4)}
    # Of two ways to write something with unknown tokens alone, the fewer tokens win.
    return [(token, ordinary.get(token, _FOREIGN * len(token) + len(token) ** 2)) for token in tokens]


def _tokens(file: Path) -> list[str]:
    try:
        ids = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{file}: there is no such file, but {SOURCE} needs a vocabulary beside it") from None
    except ValueError as error:
        raise ValueError(f"{file}: not valid JSON ({error})") from None
    if not isinstance(ids, dict) or sorted(ids.values(), key=str) != sorted(range(len(ids)), key=str):
        raise ValueError(f"{file}: expected each id from 0 on once, as {{token: id}}")
    for needed in ("</s>", "<unk>"):
        if needed not in ids:
            raise ValueError(f"{file}: no vocabulary of Marian's kind: there is no token {needed}")
    return sorted(ids, key=ids.__getitem__)
