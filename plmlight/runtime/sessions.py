"""Opening ONNX Runtime sessions: strict about the provider, sober about threads."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path

import onnxruntime

from plmlight.runtime.providers import PROVIDERS, missing, refusal
from plmlight.runtime.threads import allowed_threads
from plmlight.text import nearest

_LEVELS = {
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "disable": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


def open_session(
    model: Path | bytes,
    provider: str = "cpu",
    threads: int | None = None,
    provider_options: Mapping[str, object] | None = None,
    session_options: Mapping[str, str] | None = None,
) -> onnxruntime.InferenceSession:
    """Opens a graph on exactly the provider that is named.

    Args:
        model: an ONNX file, or its bytes.
        provider: ``"cpu"``, ``"cuda"`` or ``"tensorrt"``; operators that it lacks run on the CPU.
        threads: threads that share one operator; those this process is allowed by default.
        provider_options: for that provider.
        session_options: ONNX Runtime's configuration entries, and ``graph_optimization_level`` (``"all"``,
            ``"extended"``, ``"basic"`` or ``"disable"``).

    Returns:
        The session.

    Raises:
        ValueError: when the provider is unknown or not obtained, naming what is missing, or when ONNX Runtime can not
            read the graph.
    """
    if provider not in PROVIDERS:
        raise ValueError(f"there is no provider {provider!r}{nearest(provider, PROVIDERS)}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    if lacks := missing(provider):
        raise ValueError(refusal(provider, lacks))
    chosen = [(PROVIDERS[provider], {key: str(value) for key, value in (provider_options or {}).items()})]
    if provider != "cpu":
        chosen.append((PROVIDERS["cpu"], {}))
    name = model if isinstance(model, Path) else "the graph"
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints a failed provider instead of raising
            session = onnxruntime.InferenceSession(
                str(model) if isinstance(model, Path) else model,
                _options(threads, dict(session_options or {})),
                providers=chosen,
            )
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
        raise ValueError(f"{name}: onnxruntime can not open it: {' '.join(str(error).split())}") from error
    if PROVIDERS[provider] not in session.get_providers():
        raise ValueError(refusal(provider, []))
    return session


def _options(threads: int | None, entries: dict[str, str]) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    level = entries.pop("graph_optimization_level", "all")
    if level not in _LEVELS:
        raise ValueError(f"there is no graph_optimization_level {level!r}{nearest(level, _LEVELS)}")
    options.graph_optimization_level = _LEVELS[level]
    allowed = allowed_threads()
    options.intra_op_num_threads = threads or allowed
    options.inter_op_num_threads = 1
    # A thread that spins for work is quick, unless it keeps another from the processor it waits for.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0" if (threads or 1) > allowed else "1")
    for key, value in entries.items():
        options.add_session_config_entry(key, str(value))
    return options
