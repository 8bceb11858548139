"""Bundles of causal language models: from texts to texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from plmlight.decoding import DecodingOptions, LanguageModel, TextGenerator
from plmlight.runtime.bundle import Bundle
from plmlight.runtime.bundle_model import BundleModel
from plmlight.runtime.concatenated import ConcatenatedCache
from plmlight.runtime.in_place import InPlaceCache
from plmlight.text import TextForm, nearest


class GenerationModel(BundleModel, TextGenerator):
    """A bundle that is ready to generate; see `TextGenerator` for its methods.

    Args:
        bundle: of a ``CausalLM``.
        provider: see `BundleModel`, as for what follows.
        threads: the same.
        graph: the same.
    """

    def __init__(self, bundle: Bundle, provider: str, threads: int | None, graph: str | None) -> None:
        BundleModel.__init__(self, bundle, provider, threads, graph)
        special = bundle.manifest.get("special_tokens", {})
        backends: dict[str, Callable[..., LanguageModel]] = {
            "in_place": InPlaceCache,
            "concatenated": partial(ConcatenatedCache, decode=self.sessions.get("decode")),
        }
        cache = self.description["cache"]
        if cache not in backends:
            raise ValueError(
                f"{bundle.folder / 'manifest.json'}: graph {self.graph!r} has an unknown cache "
                f"{cache!r}{nearest(cache, backends)}"
            )
        try:
            form = TextForm.from_json(bundle.manifest["text_form"]) if "text_form" in bundle.manifest else None
        except ValueError as error:
            raise ValueError(f"{bundle.folder / 'manifest.json'}: {error}") from None
        model = backends[cache](self.session, bundle.manifest["max_length"], special.get("pad", 0))
        TextGenerator.__init__(
            self,
            model,
            self.read_tokenizer(),
            decoding_defaults(bundle, special.get("eos")),
            special.get("bos", special.get("eos")),
            form,
        )


def decoding_defaults(bundle: Bundle, eos: int | None) -> DecodingOptions:
    """How a bundle decodes where a call says nothing.

    Args:
        bundle: the bundle.
        eos: the token that ends an answer, where the bundle's options name none.

    Raises:
        ValueError: for an option that is not known.
    """
    given: dict[str, Any] = {"eos_token_id": eos, **bundle.manifest.get("decoding", {})}
    known = [field.name for field in dataclasses.fields(DecodingOptions)]
    unknown = sorted(given.keys() - set(known))
    if unknown:
        where = bundle.folder / "manifest.json"
        raise ValueError(f"{where}: decoding has an unknown option {unknown[0]!r}{nearest(unknown[0], known)}")
    return DecodingOptions(**given)
