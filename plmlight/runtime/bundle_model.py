"""What the models of all tasks share: a bundle, and the session of one of its graphs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from onnxruntime import InferenceSession
from tokenizers import Tokenizer

from plmlight.runtime.bundle import Bundle
from plmlight.runtime.providers import PROVIDERS, missing, refusal
from plmlight.runtime.sessions import open_session
from plmlight.text import load_tokenizer, nearest


class BundleModel:
    """A bundle of which one graph is ready to run; what it can do says the class of its task.

    Args:
        bundle: the bundle.
        provider: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"tensorrt"``.
        threads: threads that share one operator; those this process is allowed by default.
        graph: the graph's name; the bundle's default by default.

    Attributes:
        bundle: the files it came from.
        graph: the name of the graph that runs.
        description: what the manifest says about it.
        provider: what it runs on: ``"cpu"``, ``"cuda"`` or ``"tensorrt"``.
        session: the ONNX Runtime session; the first one, where there are several.
        encoder: the session of the graph that reads what this one goes on from, where it is another.
        sessions: by the name of their shape profile (prefill, decode, encode), which TensorRT builds an engine for;
            elsewhere a single one without a name.
    """

    def __init__(self, bundle: Bundle, provider: str, threads: int | None, graph: str | None) -> None:
        manifest = bundle.manifest
        self.bundle = bundle
        self.description: Mapping[str, Any]
        self.graph, self.description = bundle.graph(graph)
        own = manifest.get("provider", "cpu")
        self.provider = _settle(provider, own)
        options: Mapping[str, Any] = manifest.get("provider_options", {}) if self.provider == own else {}
        shaped = self.provider == own and self.graph == manifest["default_graph"]  # what the profiles were made for

        def sessions(file: str, key: str) -> dict[str, InferenceSession]:
            profiles: Mapping[str, Any] = manifest.get(key, {}) if shaped else {}
            return {
                name: open_session(
                    bundle.folder / file,
                    self.provider,
                    threads,
                    {**options, **shapes},
                    manifest.get("session_options"),
                )
                for name, shapes in (profiles or {"": {}}).items()
            }

        self.sessions = sessions(self.description["file"], "profiles")
        self.session = next(iter(self.sessions.values()))
        encoder = self.description.get("encoder")
        self.encoder = next(iter(sessions(encoder["file"], "encoder_profiles").values())) if encoder else None

    def read_tokenizer(self, key: str = "tokenizer") -> Tokenizer:
        """A tokenizer of the bundle, by its key in the manifest."""
        return load_tokenizer(self.bundle.folder / self.bundle.manifest[key]["file"])


def _settle(asked: str, own: str) -> str:
    if asked != "auto":
        if asked not in PROVIDERS:
            raise ValueError(f"there is no provider {asked!r}{nearest(asked, ['auto', *PROVIDERS])}")
        return asked
    if lacks := missing(own):
        warnings.warn(f"running on the CPU: {refusal(own, lacks)}", stacklevel=6)
        return "cpu"
    return own
