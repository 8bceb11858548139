"""Every command and every Python block of the README, run in order as a reader would type them."""

import multiprocessing
import os
import re
import shlex
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
def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command is first called as a reader would; later calls of it are forked where torch is imported already."""
    for folder in ("configs", "export", "serve_examples"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    servers = multiprocessing.get_context("forkserver")
    servers.set_forkserver_preload(["torch", "lightning.pytorch.cli"])
    ran, called = 0, set()
    for kind, text in blocks():
        named = re.match(r"# (\w+\.py)\n", text)
        if kind == "python" and named:
            (tmp_path / named[1]).write_text(text, encoding="utf-8")
            continue
        for line in [text] if kind == "python" else lines(text):
            plain = re.fullmatch(r"python -m plmlight ([a-z-]+)( [^|<>;&]*)?", line) if kind == "bash" else None
            if plain and plain[1] in called:
                log = tmp_path / "output.txt"
                process = servers.Process(target=typed, args=(shlex.split(line)[3:], str(tmp_path), str(log)))
                process.start()
                process.join()
                status, output = process.exitcode, log.read_text(encoding="utf-8")
            else:
                command = [sys.executable, "-c", line] if kind == "python" else ["bash", "-c", line]
                done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
                status, output = done.returncode, done.stdout + done.stderr
                called |= {plain[1]} if plain else set()
            assert status == 0, f"{line}\n{output[-6000:]}"
            ran += 1
    assert ran >= 15
    assert (tmp_path / "bundles/quickstart/verdict.json").exists()


def typed(words: list[str], folder: str, log: str) -> None:
    """Runs a command in a folder, in a process of its own, and writes what it says into a file."""
    os.chdir(folder)
    with open(log, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["plmlight", *words]
    from plmlight.cli import main

    sys.exit(main(words))


def lines(text: str) -> list[str]:
    """The commands of a block, without the installation (that is .ci/run's) and without this very test run."""
    stripped = (re.sub(r"^.*pip install [^&]*&& ", "", line) for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("pytest")]
