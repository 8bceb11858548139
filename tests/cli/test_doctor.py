import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from plmlight import cli
from plmlight.cli import doctor
from plmlight.runtime import PROVIDERS, allowed_threads

VERSIONS = {"torch": "2.13.0", "torchvision": "0.1", "onnxruntime-gpu": "1.31.1"}


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Import errors by package, in place of trying, which takes long."""
    errors: dict[str, str] = {}
    monkeypatch.setattr(doctor, "import_error", lambda name: errors.get(name, ""))
    return errors


def test_the_report_is_json(importable: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"versions", "cpu", "threads", "providers", "problems"}
    assert status == (1 if report["problems"] else 0)
    assert report["threads"]["allowed"] == allowed_threads()
    assert report["versions"]["numpy"]


def test_each_provider_was_really_tried(importable: dict[str, str]) -> None:
    report = doctor.providers()
    assert set(report) == set(PROVIDERS)
    assert report["cpu"] == {"obtained": True, "session": ["CPUExecutionProvider"]}
    for state in report.values():
        assert state["obtained"] or (state["missing"] and state["fix"])


def test_the_report_is_readable(importable: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["doctor"])
    printed = capsys.readouterr().out
    for heading in ("providers\n", "cpu\n", "threads\n", "versions\n", "problems"):
        assert heading in printed


@pytest.mark.parametrize(
    ("line", "features"),
    [
        ("flags\t\t: fpu avx2 fma", ["avx2"]),
        ("flags : avx2 avx512f avx512_vnni avx512_bf16 amx_tile", ["avx2", "avx512", "vnni", "bf16", "amx"]),
        ("flags : avx2 avx_vnni", ["avx2", "vnni"]),
        ("Features : fp asimd bf16 i8mm", ["bf16", "neon", "i8mm"]),
        ("flags : sse2", []),
    ],
)
def test_cpu_features_have_plain_names(tmp_path: Path, line: str, features: list[str]) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nmodel name : A CPU\n{line}\n")
    found = doctor.cpu(tmp_path / "cpuinfo")
    assert found["features"] == features
    assert found["name"] == "A CPU"
    assert doctor.cpu(tmp_path / "none")["features"] == []


def test_both_onnxruntimes_are_a_problem() -> None:
    ((problem, fix),) = doctor.onnxruntime_problems({"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"})
    assert "both installed" in problem
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in fix


def test_an_overwritten_onnxruntime_is_a_problem() -> None:
    import onnxruntime

    assert doctor.onnxruntime_problems({"onnxruntime-gpu": onnxruntime.__version__}) == []
    ((problem, _),) = doctor.onnxruntime_problems({"onnxruntime-gpu": "1.0.0"})
    assert "its folder was overwritten" in problem


def test_a_broken_torchvision_is_a_problem(importable: dict[str, str]) -> None:
    assert doctor.torch_problems(VERSIONS) == []
    importable["torchvision"] = "RuntimeError: operator torchvision::nms does not exist"
    ((problem, fix),) = doctor.torch_problems(VERSIONS)
    assert "nms does not exist" in problem
    assert fix.startswith("pip uninstall -y torchvision")


def test_a_broken_torch_is_a_problem(importable: dict[str, str]) -> None:
    importable["torch"] = "ImportError: libc10.so"
    ((problem, _),) = doctor.torch_problems(VERSIONS)
    assert problem == "torch can not be imported: ImportError: libc10.so"


def test_cuda_of_two_versions_is_a_problem(importable: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.version.cuda", "12.8")
    monkeypatch.setattr("onnxruntime.cuda_version", "13.0")
    ((problem, fix),) = doctor.torch_problems(VERSIONS)
    assert "CUDA 12.8 and onnxruntime for CUDA 13.0" in problem
    assert "CUDA 13" in fix


def test_too_many_threads_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1000")
    ((problem, fix),) = doctor.thread_problems()
    assert problem.startswith("OMP_NUM_THREADS is 1000")
    assert fix == f"export OMP_NUM_THREADS={allowed_threads()}"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert doctor.thread_problems() == []


def test_problems_and_fixes_are_printed(
    importable: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "thread_problems", lambda: [("it is broken", "mend it")])
    assert cli.main(["doctor"]) == 1
    assert "it is broken\n    fix: mend it" in capsys.readouterr().out


def test_a_failed_import_is_told_by_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.import_error("json") == ""
    assert doctor.import_error("no_such_package") == "ModuleNotFoundError: No module named 'no_such_package'"
    done: Any = subprocess.CompletedProcess([], -11, "", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert doctor.import_error("json") == "exit status -11"
