import subprocess
import sys
import time


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_is_light() -> None:
    heavy = "{'torch', 'lightning', 'numpy', 'onnxruntime', 'tokenizers', 'jsonargparse'}"
    assert run(f"import sys, plmlight; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_runtime_needs_no_torch() -> None:
    heavy = "{'torch', 'lightning', 'transformers', 'jsonargparse'}"
    assert run(f"import sys, plmlight.runtime; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_every_public_name_resolves() -> None:
    assert run("import plmlight; print(all(getattr(plmlight, n) for n in plmlight.__all__))") == "True"


def test_the_bare_help_is_fast() -> None:
    """In under a second; the best of three, since others share this machine."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        shown = subprocess.run([sys.executable, "-m", "plmlight", "--help"], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert "usage: python -m plmlight COMMAND" in shown.stdout
    assert min(seconds) < 1.0


def test_an_unknown_command_names_the_nearest() -> None:
    done = subprocess.run([sys.executable, "-m", "plmlight", "exprot"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "plmlight: there is no command 'exprot'; did you mean 'export'?\n"
