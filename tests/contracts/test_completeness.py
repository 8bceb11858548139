"""Nothing public is left without a config, a parity test, an export test and the paper it comes from."""

import ast
import re
from pathlib import Path

import pytest
import yaml

import plmlight.networks

ROOT = Path(__file__).parents[2]
NETWORKS = sorted(plmlight.networks.__all__)
PAPER = r"arXiv:\d{4}\.\d{4,5}|et al\. \d{4}"


def functions(file: Path) -> list[str]:
    return [node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)]


def test_the_networks_are_all_found() -> None:
    files = {path.stem for path in (ROOT / "plmlight" / "networks").glob("*.py")} - {"__init__"}
    assert files == {getattr(plmlight.networks, name).__module__.rpartition(".")[2] for name in NETWORKS}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_names_its_paper(name: str) -> None:
    assert re.search(PAPER, getattr(plmlight.networks, name).__doc__ or "")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_a_config(name: str) -> None:
    contents = [yaml.safe_load(path.read_text()) for path in (ROOT / "configs" / "network").glob("*.yaml")]
    assert any(content["class_path"] == name for content in contents)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_a_parity_test(name: str) -> None:
    module = getattr(plmlight.networks, name).__module__.rpartition(".")[2]
    file = ROOT / "tests" / "networks" / f"test_{module}_parity.py"
    assert [function for function in functions(file) if function.startswith("test_")]
    assert re.search(r"\btransformers\b|\btorch\.nn\.[A-Z]", file.read_text()), "compared with no reference"


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_an_export_test(name: str) -> None:
    files = (ROOT / "tests" / "export").rglob("*.py")
    assert [path for path in files if re.search(rf"\b{name}\(", path.read_text())]


def test_every_command_is_in_the_readme() -> None:
    from plmlight.cli import COMMANDS

    readme = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b", readme)] == []
