"""Bundles of causal language models: from texts to texts."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

from plmlight.decoding import DecodingOptions, LanguageModel, TextGenerator
from plmlight.runtime.bundle import Bundle, read_bundle, verify
from plmlight.runtime.concatenated import ConcatenatedCache
from plmlight.runtime.in_place import InPlaceCache
from plmlight.runtime.providers import PROVIDERS, missing, refusal
from plmlight.runtime.sessions import open_session
from plmlight.text import load_tokenizer, nearest


class GenerationModel(TextGenerator):
    """A bundle that is ready to generate; see `TextGenerator` for its methods.

    Attributes:
        bundle: the files it came from.
        graph: the name of the graph that runs.
        provider: what it runs on: ``"cpu"``, ``"cuda"`` or ``"tensorrt"``.
        session: the ONNX Runtime session.
    """

    def __init__(self, bundle: Bundle, provider: str, threads: int | None, graph: str | None) -> None:
        manifest = bundle.manifest
        self.bundle = bundle
        self.graph, description = bundle.graph(graph)
        own = manifest.get("provider", "cpu")
        self.provider = _settle(provider, own)
        self.session = open_session(
            bundle.folder / description["file"],
            self.provider,
            threads,
            manifest.get("provider_options") if self.provider == own else None,
            manifest.get("session_options"),
        )
        special = manifest.get("special_tokens", {})
        backends: dict[str, type[InPlaceCache] | type[ConcatenatedCache]] = {
            "in_place": InPlaceCache,
            "concatenated": ConcatenatedCache,
        }
        if description["cache"] not in backends:
            raise ValueError(
                f"{bundle.folder / 'manifest.json'}: graph {self.graph!r} has an unknown cache "
                f"{description['cache']!r}{nearest(description['cache'], backends)}"
            )
        model: LanguageModel = backends[description["cache"]](
            self.session, manifest["max_length"], special.get("pad", 0)
        )
        super().__init__(
            model,
            load_tokenizer(bundle.folder / manifest["tokenizer"]["file"]),
            _defaults(bundle, special.get("eos")),
            special.get("bos", special.get("eos")),
        )


def load(
    bundle: str | Path, provider: str = "auto", threads: int | None = None, graph: str | None = None
) -> GenerationModel:
    """Opens a bundle after comparing its bytes with its verdict.

    Args:
        bundle: the folder that ``export`` wrote.
        provider: ``"cpu"``, ``"cuda"`` or ``"tensorrt"``; ``"auto"`` takes the one that the bundle was made for, and
            the CPU with a warning where that can not run.
        threads: threads that share one operator; those this process is allowed by default.
        graph: ``"portable"`` or ``"in_place"``; the bundle's default by default.

    Returns:
        The model.

    Raises:
        ValueError: when this is no bundle, its verdict failed, a byte differs, or the provider is not obtained.
    """
    read = read_bundle(bundle)
    verify(read)
    return _open(read, provider, threads, graph)


def open_bundle(
    bundle: str | Path, provider: str = "auto", threads: int | None = None, graph: str | None = None
) -> GenerationModel:
    """Opens a bundle that has no verdict yet: for whoever is to give it one. The arguments are those of `load`."""
    return _open(read_bundle(bundle), provider, threads, graph)


def _open(bundle: Bundle, provider: str, threads: int | None, graph: str | None) -> GenerationModel:
    task = bundle.manifest["task"]
    if task != "CausalLM":
        raise ValueError(f"{bundle.folder}: a bundle of the task {task!r} can not generate; expected 'CausalLM'")
    return GenerationModel(bundle, provider, threads, graph)


def _defaults(bundle: Bundle, eos: int | None) -> DecodingOptions:
    given: dict[str, Any] = {"eos_token_id": eos, **bundle.manifest.get("decoding", {})}
    known = [field.name for field in dataclasses.fields(DecodingOptions)]
    unknown = sorted(given.keys() - set(known))
    if unknown:
        where = bundle.folder / "manifest.json"
        raise ValueError(f"{where}: decoding has an unknown option {unknown[0]!r}{nearest(unknown[0], known)}")
    return DecodingOptions(**given)


def _settle(asked: str, own: str) -> str:
    if asked != "auto":
        if asked not in PROVIDERS:
            raise ValueError(f"there is no provider {asked!r}{nearest(asked, ['auto', *PROVIDERS])}")
        return asked
    if lacks := missing(own):
        warnings.warn(f"running on the CPU: {refusal(own, lacks)}", stacklevel=4)
        return "cpu"
    return own
