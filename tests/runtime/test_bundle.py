import json
import shutil
from pathlib import Path

import pytest

from plmlight import runtime
from tests.runtime.bundles import make_bundle, seal


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def rewrite(folder: Path, **changes: object) -> None:
    """Changes the manifest and seals the bundle again."""
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    seal(folder)


def test_a_sound_bundle_is_verified(bundle: Path) -> None:
    runtime.verify(runtime.read_bundle(bundle))  # raises otherwise
    assert runtime.load(bundle, provider="cpu", threads=1).bundle.folder == bundle


@pytest.mark.parametrize(
    "name", ["model.onnx", "model_in_place.onnx", "tokenizer.json", "manifest.json", "golden.jsonl"]
)
def test_a_changed_byte_is_named(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    place = content.rindex(b"e")  # somewhere that leaves JSON valid
    content[place] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: changed since the verdict: its SHA-256 differs"):
        runtime.load(copy)


def test_a_truncated_file_is_named(copy: Path) -> None:
    content = (copy / "model.onnx").read_bytes()
    (copy / "model.onnx").write_bytes(content[:-5])
    with pytest.raises(ValueError, match=rf"model.onnx: changed since the verdict: {len(content) - 5} bytes instead"):
        runtime.load(copy)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "golden.jsonl").unlink()
    with pytest.raises(ValueError, match=r"golden.jsonl: missing, but the verdict was given with it"):
        runtime.load(copy)


def test_a_file_that_the_verdict_does_not_know_is_named(copy: Path) -> None:
    verdict = json.loads((copy / "verdict.json").read_text())
    del verdict["files"]["model.onnx"]
    (copy / "verdict.json").write_text(json.dumps(verdict))
    with pytest.raises(ValueError, match=r"model.onnx: the verdict does not speak of this file"):
        runtime.load(copy)


def test_a_failed_verdict_is_refused_with_its_reason(copy: Path) -> None:
    seal(copy, passed=False, checks=[{"name": "logits", "passed": False}, {"name": "greedy", "passed": True}])
    with pytest.raises(ValueError, match=r"the bundle failed its verdict \(logits\)"):
        runtime.load(copy)


def test_a_bundle_without_verdict_is_refused(copy: Path) -> None:
    (copy / "verdict.json").unlink()
    with pytest.raises(ValueError, match=r"verdict.json: missing, so the bundle was never proven"):
        runtime.load(copy)
    assert runtime.open_bundle(copy).generate(["a"])  # which is what whoever proves it needs


def test_an_unknown_format_is_refused(copy: Path) -> None:
    rewrite(copy, format=99)
    with pytest.raises(ValueError, match=r"manifest.json: format 99 is not known here, which reads 2"):
        runtime.load(copy)


def test_a_manifest_without_a_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"manifest.json: the key 'max_length' is missing"):
        runtime.load(make_bundle(tmp_path / "short", max_length=None))


def test_a_file_outside_the_bundle_is_refused(copy: Path) -> None:
    rewrite(copy, tokenizer={"file": "../tokenizer.json"})
    with pytest.raises(ValueError, match=r"'../tokenizer.json' is not a plain file name"):
        runtime.load(copy)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such folder"):
        runtime.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no manifest.json here, so it is not a bundle"):
        runtime.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest.json: not valid JSON"):
        runtime.load(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(ValueError, match=r"manifest.json: a JSON object was expected"):
        runtime.load(tmp_path)


def test_an_unknown_graph_names_the_nearest(bundle: Path) -> None:
    with pytest.raises(ValueError, match="the bundle has no graph 'in_plac'; did you mean 'in_place'"):
        runtime.load(bundle, graph="in_plac")


def test_a_graph_that_is_no_graph_is_one_line(copy: Path) -> None:
    (copy / "model.onnx").write_bytes(b"not a graph")
    seal(copy)
    with pytest.raises(ValueError, match=r"model.onnx: onnxruntime can not open it: [^\n]*$"):
        runtime.load(copy, graph="portable")


def test_a_bundle_of_another_task_is_refused(copy: Path) -> None:
    rewrite(copy, task="SentenceEmbedding")
    with pytest.raises(ValueError, match="copy: the graph has no output 'sentence_embedding', only logits"):
        runtime.load(copy)
    rewrite(copy, task="CasualLM")
    with pytest.raises(ValueError, match="a bundle of the task 'CasualLM' is not known here; did you mean 'CausalLM'"):
        runtime.load(copy)


def test_an_unknown_decoding_default_names_the_nearest(copy: Path) -> None:
    rewrite(copy, decoding={"max_tokens": 5})
    with pytest.raises(ValueError, match="unknown option 'max_tokens'; did you mean 'max_new_tokens'"):
        runtime.load(copy)
