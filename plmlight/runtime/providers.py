"""Execution providers by their short names, and what keeps one from running here.

`onnxruntime.get_available_providers` lists what the wheel was built with, not what works, and a session that does not
get its provider runs on the CPU without an exception. So: look for the libraries first, then ask the session.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
from pathlib import Path

import onnxruntime

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

FIXES = {
    "cuda": "install the NVIDIA driver, and CUDA and cuDNN with: pip install 'onnxruntime-gpu[cuda,cudnn]'",
    "tensorrt": "install the NVIDIA driver, CUDA, cuDNN, and TensorRT 10 with: pip install tensorrt-cu13",
}

_LIBRARIES = {
    "cuda": ("libcuda.so.1", "libonnxruntime_providers_cuda.so"),
    "tensorrt": ("libcuda.so.1", "libnvinfer.so.10", "libonnxruntime_providers_tensorrt.so"),
}


def missing(provider: str) -> list[str]:
    """What a provider needs and this machine lacks.

    Args:
        provider: a key of `PROVIDERS`.

    Returns:
        One text for each lack; none when nothing is known to be missing.
    """
    if PROVIDERS[provider] not in onnxruntime.get_available_providers():
        return [f"the installed onnxruntime {onnxruntime.__version__} is built without {PROVIDERS[provider]}"]
    if provider == "cpu":
        return []
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find; that is said below
        onnxruntime.preload_dlls()
    folder = Path(onnxruntime.__file__).parent / "capi"
    lacks: list[str] = []
    for name in _LIBRARIES[provider]:
        own = folder / name
        try:
            if own.exists():
                ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
            ctypes.CDLL(str(own) if own.exists() else name)
        except OSError as error:
            lacks.append(str(error).partition(":")[0])  # the loader names the library first
    return list(dict.fromkeys(lacks))


def refusal(provider: str, lacks: list[str]) -> str:
    """One line that says why a provider can not run, and what to do.

    Args:
        provider: a key of `PROVIDERS`.
        lacks: what is missing, maybe nothing that is known.
    """
    what = f"not found: {', '.join(lacks)}" if lacks else "onnxruntime fell back to the CPU and does not say why"
    return f"provider {provider!r} was asked for and can not run here; {what}; {FIXES.get(provider, '')}"
