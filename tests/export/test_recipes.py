import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

import plmlight
from plmlight.export import Limits, Quantisation, Range, Recipe, export_bundle, load_recipe

from .conftest import small_task

ROOT = Path(plmlight.__file__).parent.parent
RECIPES = sorted((ROOT / "export").glob("*.yaml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_the_named_recipes_are_there() -> None:
    assert {path.stem for path in RECIPES} >= {"cpu-fp32", "cpu-int8", "cuda-fp16", "tensorrt-fp16"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_loads_and_is_named_as_its_file(path: Path) -> None:
    assert load_recipe(path).name == path.stem


def test_packaged_recipe_is_the_one_in_the_folder() -> None:
    assert load_recipe() == load_recipe(ROOT / "export" / "cpu-fp32.yaml")


@pytest.mark.parametrize("path", [path for path in RECIPES if path.stem != "cpu-fp32"], ids=lambda path: path.stem)
def test_recipe_exports_within_its_limits(path: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    verdict = export_bundle(small_task(tokenizer), path, tmp_path / "bundle")
    recipe = load_recipe(path)
    assert verdict.passed, verdict.summary()
    assert (recipe.provider == "cpu") == ("not on" not in verdict.computed_on)
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert {graph["dtype"] for graph in manifest["graphs"].values()} == {recipe.dtype}
    assert set(manifest["profiles"]) == {
        name for name, axes in recipe.profiles.items() if "past" in axes and "source" not in axes
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nlimit: {logit_error: 1}", "unknown key 'limit'; did you mean 'limits'"),
        ("name: a\nlimits: {logit_eror: 1}", "limits: unknown key 'logit_eror'; did you mean 'logit_error'"),
        ("name: a", "key 'limits' is missing"),
        ("name: a\nlimits: {}", "at least one is needed"),
        ("name: a\nlimits: {top1_agreement: 1}", "logit_error or relative_logit_error is needed"),
        ("name: a\nlimits: {logit_error: small}", "limits.logit_error: expected float, got 'small'"),
        ("name: a\nlimits: {logit_error: 1}\nprovider: cdua", "provider 'cdua' is not known; did you mean 'cuda'"),
        ("name: a\nlimits: {logit_error: 1}\nopset: 9", "opset 9: expected 18 to 23"),
        ("name: a\nlimits: {logit_error: 1}\nopset: true", "opset: expected int, got True"),
        ("name: a\nlimits: {logit_error: 1}\ngraphs: []", "expected at least one"),
        ("name: a\nlimits: {logit_error: 1}\ngraphs: [inplace]", "'inplace' is not known; did you mean 'in_place'"),
        ("name: a\nlimits: {logit_error: 1}\nquantisation: {bits: 3}", "quantisation: bits 3: expected 4 or 8"),
        ("name: a\nlimits: {logit_error: 1}\nprovider: tensorrt", "profiles are for tensorrt"),
        ("- a", "expected keys and values"),
        ("a: [", "not YAML"),
    ],
)
def test_mistake_is_one_line_that_names_the_file(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        load_recipe(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_recipe(tmp_path / "no.yaml")


def test_option_values_become_text(tmp_path: Path) -> None:
    path = write(tmp_path, "name: a\nlimits: {logit_error: 1}\nprovider_options: {device_id: 0, fast: true}")
    assert load_recipe(path).provider_options == {"device_id": "0", "fast": "1"}


@pytest.mark.parametrize("arguments", [(2, 1, 3), (-1, 0, 1), (1, 5, 4)])
def test_range_out_of_order_is_an_error(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="min <= opt <= max"):
        Range(*arguments)


def test_quantisation_with_float16_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs dtype float32"):
        Recipe("a", Limits(logit_error=1.0), dtype="float16", quantisation=Quantisation())
