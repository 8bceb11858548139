import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plmlight import runtime
from plmlight.decoding import DecodingOptions, TextGenerator
from plmlight.runtime.providers import missing
from plmlight.runtime.sessions import open_session
from tests.runtime.bundles import EOS, Reference, byte_tokenizer, make_bundle, seal

HEAVY = ["torch", "lightning", "jsonargparse", "transformers", "onnx", "rich", "pyarrow", "huggingface_hub.hf_api"]


def test_the_runtime_loads_nothing_heavy(bundle: Path) -> None:
    """Not when it is imported, and not when it generates."""
    program = f"""
import sys
from plmlight import runtime
model = runtime.load({str(bundle)!r})
assert model.generate(["a"], num_beams=2)
assert "".join(piece.text for piece in model.stream("a", temperature=1.0, top_p=0.9, stop=["z"]))
loaded = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(f"loaded: {{loaded}}" if loaded else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_defaults_come_from_the_manifest(bundle: Path) -> None:
    model = runtime.load(bundle)
    assert model.options == DecodingOptions(max_new_tokens=12, eos_token_id=EOS)
    assert (model.graph, model.provider) == ("in_place", "cpu")


@pytest.mark.parametrize("graph", ["portable", "in_place"])
def test_texts_get_the_references_answers(bundle: Path, graph: str) -> None:
    texts = ["def main", "中文", "", "x = [1, 2"]
    reference = TextGenerator(Reference(), byte_tokenizer(), DecodingOptions(max_new_tokens=12, eos_token_id=EOS), EOS)
    assert runtime.load(bundle, graph=graph).generate(texts, batch_size=3) == reference.generate(texts)


def test_the_stream_is_the_answer(bundle: Path) -> None:
    model = runtime.load(bundle)
    assert "".join(piece.text for piece in model.stream("import")) == model.generate(["import"])[0][0].text


def test_threads_are_set(bundle: Path) -> None:
    options = runtime.load(bundle, threads=1).session.get_session_options()
    assert options.intra_op_num_threads == 1
    assert runtime.load(bundle).session.get_session_options().intra_op_num_threads == runtime.allowed_threads()
    with pytest.raises(ValueError, match="threads must be at least 1, not 0"):
        runtime.load(bundle, threads=0)


def test_session_options_of_the_manifest_are_used(tmp_path: Path) -> None:
    wanted = {"graph_optimization_level": "basic", "session.set_denormal_as_zero": "1"}
    options = runtime.load(make_bundle(tmp_path / "set", session_options=wanted)).session.get_session_options()
    assert options.get_session_config_entry("session.set_denormal_as_zero") == "1"
    with pytest.raises(ValueError, match="no graph_optimization_level 'bsic'; did you mean 'basic'"):
        runtime.load(make_bundle(tmp_path / "wrong", session_options={"graph_optimization_level": "bsic"}))


def test_an_unknown_provider_names_the_nearest(bundle: Path) -> None:
    with pytest.raises(ValueError, match="there is no provider 'cudaa'; did you mean 'cuda'"):
        runtime.load(bundle, provider="cudaa")


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_can_not_run_is_an_error_that_names_what_is_missing(bundle: Path, provider: str) -> None:
    lacks = missing(provider)
    if not lacks:
        pytest.skip(f"{provider} can run here")
    with pytest.raises(ValueError, match=rf"provider '{provider}' was asked for .*{lacks[0]}.*pip install") as caught:
        runtime.load(bundle, provider=provider)
    assert "\n" not in str(caught.value)


def test_a_session_that_silently_became_cpu_is_an_error(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all libraries are found and the device is not, only the session knows."""
    if not missing("cuda"):
        pytest.skip("cuda can run here")
    monkeypatch.setattr("plmlight.runtime.sessions.missing", lambda provider: [])
    with pytest.raises(ValueError, match="provider 'cuda' was asked for and can not run here; onnxruntime fell back"):
        runtime.load(bundle, provider="cuda")


def test_auto_falls_back_to_the_cpu_and_says_so(tmp_path: Path) -> None:
    if not missing("cuda"):
        pytest.skip("cuda can run here")
    folder = make_bundle(tmp_path / "cuda", provider="cuda")
    with pytest.warns(UserWarning, match="running on the CPU: provider 'cuda'"):
        assert runtime.load(folder).provider == "cpu"


def test_golden_requests_are_replayed(bundle: Path) -> None:
    results = list(runtime.replay(runtime.load(bundle)))
    assert [result.difference for result in results] == ["", ""]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("token_ids", [1, 2, 3], r"token 0 differs: \[\d+\] instead of \[1\]"),
        ("text", "other", "the record says 'other'"),
        ("prompt_ids", [5], r"the tokenizer gives .*, the record says \[5\]"),
    ],
)
def test_a_golden_answer_that_differs_is_said(
    bundle: Path, tmp_path: Path, key: str, value: object, message: str
) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "copy"))
    path = folder / "golden.jsonl"
    first, second = path.read_text().splitlines()
    path.write_text(json.dumps({**json.loads(first), key: value}) + "\n" + second + "\n")
    seal(folder)
    wrong, right = runtime.replay(runtime.load(folder))
    assert right.difference == ""
    with pytest.raises(ValueError, match=message):
        raise ValueError(wrong.difference)


def test_a_golden_answer_may_hold_any_character(bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "copy"))
    path = folder / "golden.jsonl"
    records = [{**json.loads(line), "note": "\x85\u2028"} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    seal(folder)
    assert [result.difference for result in runtime.replay(runtime.load(folder))] == [""] * len(records)


@pytest.mark.parametrize(("content", "message"), [("{}\n", "golden.jsonl:1: not a golden request"), ("", "no request")])
def test_golden_requests_that_can_not_be_read(bundle: Path, tmp_path: Path, content: str, message: str) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "copy"))
    (folder / "golden.jsonl").write_text(content)
    seal(folder)
    with pytest.raises(ValueError, match=message):
        list(runtime.replay(runtime.load(folder)))


def test_each_shape_profile_has_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As TensorRT wants it: one engine reads prompts, another goes on."""
    profiles = {"prefill": {"trt_profile_max_shapes": "a"}, "decode": {"trt_profile_max_shapes": "b"}}
    folder = make_bundle(tmp_path / "profiled", profiles=profiles, default_graph="portable")
    opened: list[str | None] = []

    def without_profiles(model: Any, provider: Any, threads: Any, options: Any, session_options: Any) -> Any:
        opened.append(options.get("trt_profile_max_shapes"))
        return open_session(model, provider, threads, None, session_options)

    monkeypatch.setattr("plmlight.runtime.bundle_model.open_session", without_profiles)
    model = runtime.load(folder)
    assert opened == ["a", "b"]
    assert [runtime.load(folder, graph="in_place").sessions.keys(), opened[2:]] == [{""}, [None]]
    calls = {name: CountsCalls(session) for name, session in model.sessions.items()}
    model.model._session, model.model._decode = calls["prefill"], calls["decode"]
    answer = model.generate(["ab"], max_new_tokens=5)[0][0]
    assert (calls["prefill"].count, calls["decode"].count) == (1, 4)
    plain = runtime.load(make_bundle(tmp_path / "plain"))
    assert answer.token_ids == plain.generate(["ab"], max_new_tokens=5)[0][0].token_ids


class CountsCalls:
    def __init__(self, session: Any) -> None:
        self.session, self.count = session, 0

    def io_binding(self) -> Any:
        return self.session.io_binding()

    def run_with_iobinding(self, binding: Any) -> None:
        self.count += 1
        self.session.run_with_iobinding(binding)
