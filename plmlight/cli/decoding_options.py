"""The options of decoding, of each command that lets a model write."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence

import docstring_parser

from plmlight.cli.arguments import OneLineErrors
from plmlight.decoding import DecodingOptions

DECODING = tuple(field.name for field in dataclasses.fields(DecodingOptions))
"""Their names."""
_COUNTS = "; of masked language models: how many tokens a mask gets (usual: 5); of word vectors: words (usual: 10)"


def add_decoding_options(options: OneLineErrors, names: Sequence[str] = DECODING) -> None:
    """Gives a parser a flag for each field of `DecodingOptions`, with the help that its docstring has for it.

    Args:
        options: the parser. A flag that is not given has the value None: the model's own default holds.
        names: of the fields.
    """
    add = options.add_argument_group("how a model writes").add_argument
    parsed = docstring_parser.parse(DecodingOptions.__doc__ or "")
    help_of = {item.arg_name: " ".join((item.description or "").split()) for item in parsed.params}
    types = typing.get_type_hints(DecodingOptions)
    for field in (each for each in dataclasses.fields(DecodingOptions) if each.name in names):
        usual = f" (usual: {field.default})" if field.default not in (None, ()) else ""
        more = _COUNTS if field.name == "top_k" else ""
        text = f"{help_of[field.name].rstrip('.')}{usual}{more}".replace("%", "%%")
        flag = f"--{field.name}"
        own = {"stop": str, "eos_token_id": int, "suppress_tokens": int}
        kind = own.get(field.name, types[field.name])
        if field.name == "stop":
            add(flag, action="append", type=kind, help=f"{text}; repeatable")
        elif field.name in ("eos_token_id", "suppress_tokens"):
            add(flag, nargs="+", type=kind, help=text)
        elif kind is bool:
            add(flag, action="store_true", default=None, help=text)
        else:
            alone = [member for member in typing.get_args(kind) if member is not type(None)]
            add(flag, type=alone[0] if len(alone) == 1 else kind, default=None, help=text)
