"""``doctor``: what would really run here, and what to do about what would not."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from plmlight.cli.arguments import parse, parser

PACKAGES = (
    "plmlight", "torch", "lightning", "numpy", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "tokenizers",
    "safetensors", "transformers", "torchvision",
)  # fmt: skip

FEATURES = {
    # what it is called here: the kernel's names for it
    "avx2": ("avx2",),
    "avx512": ("avx512f",),
    "vnni": ("avx512_vnni", "avx_vnni"),
    "bf16": ("avx512_bf16", "bf16"),
    "amx": ("amx_tile",),
    "neon": ("asimd",),
    "i8mm": ("i8mm",),
}

IDENTITY = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x11"
)
"""An ONNX model, opset 17, of one Identity node: float x[1] -> float y[1]."""


def main(command: str, argv: list[str]) -> int:
    """Examines the machine and the installation.

    Args:
        command: the command's name.
        argv: the words after it.

    Returns:
        0, or 1 when something installed is broken. A provider that this machine has no device for is not.
    """
    arguments = parser(command, "Say what would really run here: providers, CPU features, threads, versions, fixes.")
    arguments.add_argument("--json", action="store_true", help="one JSON object instead of text")
    values = parse(arguments, argv)
    report = examine()
    if values.json:
        print(json.dumps(report, indent=2))
    else:
        print(render(report))
    return 1 if report["problems"] else 0


def examine() -> dict[str, Any]:
    """Everything that is known about this machine.

    Returns:
        ``versions``, ``cpu``, ``threads``, ``providers`` and ``problems``, ready for JSON.
    """
    versions = installed()
    return {
        "versions": {"python": platform.python_version(), **versions},
        "cpu": cpu(),
        "threads": threads(),
        "providers": providers(),
        "problems": [
            {"problem": problem, "fix": fix}
            for problem, fix in [
                *onnxruntime_problems(versions),
                *torch_problems(versions),
                *thread_problems(),
            ]
        ],
    }


def installed() -> dict[str, str]:
    """The versions of the packages that matter, of those that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """The processor's name, and those of the instruction sets that speed up inference that it has.

    Args:
        cpuinfo: the kernel's description of the processor; where there is none, no feature is known.
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    values = [(key.strip(), value) for key, _, value in (line.partition(":") for line in lines)]
    flags = {flag for key, value in values if key in ("flags", "Features") for flag in value.split()}
    name = next((value.strip() for key, value in values if key == "model name"), platform.machine())
    return {"name": name, "features": [name for name, marks in FEATURES.items() if flags.intersection(marks)]}


def threads() -> dict[str, Any]:
    """The processors of this machine, and those that this process may use."""
    from plmlight.runtime.threads import allowed_threads, cpu_quota, logical_cpus, physical_cores

    return {
        "machine": os.cpu_count(),
        "affinity": len(logical_cpus()),
        "physical_cores": physical_cores(),
        "cgroup_quota": cpu_quota(),
        "allowed": allowed_threads(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
    }


def providers() -> dict[str, dict[str, Any]]:
    """For each execution provider whether a session got it, and otherwise why not and what to do."""
    from plmlight.runtime.providers import FIXES, PROVIDERS, missing
    from plmlight.runtime.sessions import open_session

    report: dict[str, dict[str, Any]] = {}
    for name in PROVIDERS:
        try:
            session = open_session(IDENTITY, name)
            report[name] = {"obtained": True, "session": session.get_providers()}
        except ValueError as error:
            report[name] = {"obtained": False, "missing": missing(name) or [str(error)], "fix": FIXES.get(name, "")}
    return report


def onnxruntime_problems(versions: dict[str, str]) -> list[tuple[str, str]]:
    """Broken installations of ONNX Runtime, each with its fix.

    Args:
        versions: what `installed` returned.
    """
    both = {name for name in ("onnxruntime", "onnxruntime-gpu") if name in versions}
    if len(both) == 2:
        return [
            (
                "onnxruntime and onnxruntime-gpu are both installed: they share a folder, and one has overwritten "
                "files of the other",
                "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu (or onnxruntime without "
                "a GPU)",
            )
        ]
    import onnxruntime

    wheel = versions[both.pop()] if both else "no package"
    if onnxruntime.__version__ != wheel:
        return [
            (
                f"the onnxruntime that is imported is {onnxruntime.__version__}, but {wheel} is installed: its folder "
                "was overwritten",
                "pip uninstall -y onnxruntime onnxruntime-gpu, then install one of them",
            )
        ]
    return []


def torch_problems(versions: dict[str, str]) -> list[tuple[str, str]]:
    """What does not fit to the installed torch, each with its fix.

    Args:
        versions: what `installed` returned.
    """
    problems: list[tuple[str, str]] = []
    if "torch" not in versions:
        return problems
    if error := import_error("torch"):
        return [(f"torch can not be imported: {error}", "pip install --force-reinstall torch")]
    if "torchvision" in versions and (error := import_error("torchvision")):
        problems.append(
            (
                f"torchvision {versions['torchvision']} does not fit torch {versions['torch']}, which also breaks "
                f"torchmetrics: {error}",
                "pip uninstall -y torchvision (plmlight does not use it)",
            )
        )
    import onnxruntime
    import torch

    here, there = torch.version.cuda, getattr(onnxruntime, "cuda_version", "") or None
    if here and there and here.split(".")[0] != there.split(".")[0]:
        problems.append(
            (
                f"torch is built for CUDA {here} and onnxruntime for CUDA {there}: whichever is imported first loads "
                "its libraries",
                f"install a torch for CUDA {there.split('.')[0]}, or use them in separate environments",
            )
        )
    return problems


def thread_problems() -> list[tuple[str, str]]:
    """A thread count in the environment that is more than this process may use."""
    from plmlight.runtime import allowed_threads

    asked, allowed = os.environ.get("OMP_NUM_THREADS", ""), allowed_threads()
    if asked.isdecimal() and int(asked) > allowed:
        return [(f"OMP_NUM_THREADS is {asked}, but only {allowed} may run here", f"export OMP_NUM_THREADS={allowed}")]
    return []


def import_error(name: str) -> str:
    """Why a package can not be imported, found out in another process, which it may bring down.

    Args:
        name: the package.

    Returns:
        The last line of what it says; empty when it can be imported.
    """
    done = subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


def render(report: dict[str, Any]) -> str:
    """The report as text for people.

    Args:
        report: what `examine` returned.
    """
    quota = report["threads"]["cgroup_quota"]
    lines = ["providers"]
    for name, state in report["providers"].items():
        if state["obtained"]:
            lines.append(f"  {name:<10} obtained")
        else:
            lines += [f"  {name:<10} not obtained: {', '.join(state['missing'])}", f"  {'':<10} fix: {state['fix']}"]
    lines += [
        "cpu",
        f"  {report['cpu']['name']}: {' '.join(report['cpu']['features']) or 'no feature known'}",
        "threads",
        f"  {report['threads']['allowed']} allowed: {report['threads']['physical_cores']} cores in the affinity of "
        f"{report['threads']['affinity']} of {report['threads']['machine']} processors, "
        f"{'no cgroup quota' if quota is None else f'a cgroup quota of {quota:g}'}",
        "versions",
        *(f"  {name:<16} {version}" for name, version in report["versions"].items()),
        "problems" if report["problems"] else "no problems",
    ]
    for item in report["problems"]:
        lines += [f"  {item['problem']}", f"    fix: {item['fix']}"]
    return "\n".join(lines)
