"""Every command and every Python block of the README, run in order as a reader would type them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INSTALL = "python3 -m venv .venv && . .venv/bin/activate && pip install -c constraints.txt -e "


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


def test_there_are_two_commands_that_install() -> None:
    """One runs the main job and one the tests; .ci/run takes the second from here and types it in a fresh clone."""
    commands = [
        line for kind, text in blocks() if kind == "bash" for line in text.splitlines() if "pip install" in line
    ]
    assert len(commands) == 2
    assert all(command.startswith(INSTALL) for command in commands)
    assert commands[1].endswith(" && pytest -n 2")


def test_the_chinese_readme_has_the_same_commands() -> None:
    chinese = BLOCK.findall((ROOT / "README.zh-CN.md").read_text(encoding="utf-8"))
    assert len(chinese) == 3
    assert set(chinese) <= set(blocks())


@pytest.mark.slow
def test_every_block_runs(tmp_path: Path) -> None:
    for folder in ("configs", "export", "serve_examples"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment["OMP_NUM_THREADS"] = "1"  # other tests run beside this one
    ran = 0
    for kind, text in blocks():
        named = re.match(r"# (\w+\.py)\n", text)
        if kind == "python" and named:
            (tmp_path / named[1]).write_text(text, encoding="utf-8")
            continue
        commands = (
            [[sys.executable, "-c", text]] if kind == "python" else [["bash", "-c", line] for line in lines(text)]
        )
        for command in commands:
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            ran += 1
    assert ran >= 15
    assert (tmp_path / "bundles/quickstart/verdict.json").exists()


def lines(text: str) -> list[str]:
    """The commands of a block, without the installation (that is .ci/run's) and without this very test run."""
    stripped = (re.sub(r"^.*pip install [^&]*&& ", "", line) for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("pytest")]
