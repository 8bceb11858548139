"""Encoder-decoders: two graphs that make one model, over one weight file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from tokenizers import Tokenizer

import plmlight.export.bundle as bundle_module
from plmlight import runtime
from plmlight.decoding import DecodingOptions, SequenceGenerator
from plmlight.export import Limits, Range, Recipe, Verdict, export_bundle, load_recipe
from plmlight.export.bundle import weights_hash
from plmlight.export.graph import trace
from plmlight.export.sequence import sequence_graphs
from plmlight.export.specification import GraphSpec
from plmlight.export.tasks import exporter
from plmlight.export.tensorrt import profiles
from plmlight.networks import BERT, GPT, T5, EncoderDecoderPair, LSTMSeq2Seq, Transformer
from plmlight.tasks import Seq2Seq, TorchSequenceModel
from plmlight.text import TextForm, frame, train_tokenizer
from tests.runtime.sequences import byte_pairs, small_sequence

ROOT = Path(__file__).parents[2]
PORTABLE = Recipe("portable", Limits(logit_error=1e-4, greedy_agreement=1.0), graphs=["portable"])
SIZES: dict[str, Any] = {"vocab_size": 290, "d_model": 24, "num_heads": 3, "max_length": 61}


def other_tokenizer() -> Tokenizer:
    return train_tokenizer(["die Tür zum Garten war offen\n"] * 20, "byte-bpe", 270)


def transformer() -> Seq2Seq:
    """Two vocabularies, and layers of which there are more on one side."""
    network = Transformer(**SIZES, num_layers=1, num_decoder_layers=2, target_vocab_size=280, norm_first=True)
    return small_sequence(network, TextForm(), other_tokenizer(), head_bias=True, decoding={"num_beams": 2})


def t5() -> Seq2Seq:
    return small_sequence(T5(**SIZES, num_layers=1, gated=True, activation="gelu_tanh"))


def lstm() -> Seq2Seq:
    network = LSTMSeq2Seq(vocab_size=290, d_model=24, num_layers=1, num_decoder_layers=2, max_length=61)
    return small_sequence(network, TextForm())


def pair() -> Seq2Seq:
    """An encoder and a decoder of other widths, vocabularies and lengths."""
    encoder = BERT(vocab_size=290, d_model=16, num_layers=1, num_heads=2, max_length=61)
    decoder = GPT(vocab_size=280, d_model=24, num_layers=1, num_heads=3, max_length=47, memory_dim=16)
    return small_sequence(EncoderDecoderPair(encoder, decoder), TextForm(), other_tokenizer())


NETWORKS = {"Transformer": transformer, "T5": t5, "LSTMSeq2Seq": lstm, "EncoderDecoderPair": pair}
Bundle = tuple[Path, Verdict, Seq2Seq]


@pytest.fixture(scope="module", autouse=True)
def traced_once() -> Iterator[None]:
    """A graph of the same weights is traced once for all tests: that is nearly all of an export's time."""
    done: dict[tuple[str, str, int], bytes] = {}

    def traced(spec: GraphSpec, opset: int) -> ir.Model:
        key = weights_hash(spec.module), spec.file, opset
        if key not in done:
            done[key] = ir.to_proto(trace(spec, opset)).SerializeToString()
        return ir.from_proto(onnx.load_model_from_string(done[key]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle_module, "trace", traced)
        yield


@pytest.fixture(scope="module", params=NETWORKS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    task = NETWORKS[request.param]()
    folder = tmp_path_factory.mktemp("sequence") / request.param
    return folder, export_bundle(task, None, folder), task


def manifest(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


def test_float32_bundle_passes_all_checks(bundle: Bundle) -> None:
    _, verdict, _ = bundle
    assert verdict.passed, verdict.summary()
    names = {check.name for check in verdict.checks}
    assert {"encoder error", "decoder error", "greedy agreement", "beam agreement"} <= names


def test_every_shape_of_the_contract_was_tested(bundle: Bundle) -> None:
    _, verdict, _ = bundle
    found = [m for m in verdict.measurements if m["graph"] == "portable decoder"]
    shapes = {(m["batch"], m["source"], m["length"], m["past"]) for m in found if not m["padded"]}
    assert shapes == {(b, s, t, p) for b in (1, 2, 5) for s in (1, 7, 33) for t in (1, 7) for p in (0, 1, 17)}
    assert any(m["padded"] for m in found)
    sources = {(m["batch"], m["source"]) for m in verdict.measurements if m["graph"] == "portable encoder"}
    assert sources == {(b, s) for b in (1, 2, 5) for s in (1, 7, 33)}


def test_graphs_are_named_as_the_manifest_says(bundle: Bundle) -> None:
    folder, _, task = bundle
    described = manifest(folder)["graphs"]["portable"]
    assert described["files"] == ["encoder.onnx", "decoder.onnx", "model.onnx.data"]
    for each in (described, described["encoder"]):
        graph = onnx.load(folder / each["file"], load_external_data=False).graph
        assert [value.name for value in graph.input] == [tensor["name"] for tensor in each["inputs"]]
        assert [value.name for value in graph.output] == [tensor["name"] for tensor in each["outputs"]]
    inputs = {tensor["name"] for tensor in described["inputs"]}
    outputs = {tensor["name"] for tensor in described["outputs"]}
    given = {tensor["name"] for tensor in described["encoder"]["outputs"]}
    assert {"logits", "last_hidden_state"} <= outputs
    for name in task.network.cache_names():
        assert any(name in each for each in inputs)
        if ".encoder." in name:
            assert f"present.{name}" in given
            assert f"present.{name}" not in outputs


def test_manifest_says_how_to_write(bundle: Bundle) -> None:
    folder, _, task = bundle
    content = manifest(folder)
    assert content["task"] == "Seq2Seq"
    assert TextForm.from_json(content["text_form"]) == task.text_form
    assert content["decoder_start_token_id"] == task.network.decoder_start_token_id
    assert content["decoding"]["eos_token_id"] == frame(task.target_tokenizer or byte_pairs()).closing[0]
    assert content["decoding"].get("num_beams", 1) == task.decoding_options().num_beams
    assert ("target_tokenizer" in content) == (task.target_tokenizer is not None)


def test_tied_tables_are_stored_once(bundle: Bundle) -> None:
    folder, _, task = bundle
    matrices = sum(p.nbytes for p in task.parameters() if p.dim() == 2)
    size = (folder / "model.onnx.data").stat().st_size
    padding = 4096 * 3 * len(list(task.parameters()))
    assert matrices < size < 1.2 * matrices + padding


def test_bundle_writes_as_its_task_does(bundle: Bundle) -> None:
    """In batches of several lengths, greedily, with beams, and where sources leave the batch."""
    folder, _, task = bundle
    assert task.tokenizer is not None
    model = runtime.load(folder)
    own = SequenceGenerator(
        TorchSequenceModel(task), task.tokenizer, task.target_tokenizer, task.decoding_options(), task.text_form
    )
    texts = ["the door", "she went into the garden and opened it", "a", "to summarise", "and the door"]
    for options in (
        DecodingOptions(max_new_tokens=9),
        DecodingOptions(max_new_tokens=7, num_beams=3, num_return_sequences=2, length_penalty=0.6),
        DecodingOptions(max_new_tokens=7, num_beams=2, coverage_penalty=0.4),
        DecodingOptions(max_new_tokens=6, temperature=1.0, num_return_sequences=2, seed=3),
        DecodingOptions(max_new_tokens=6, penalty_alpha=0.6, top_k=4),
    ):
        expected = own.generate(texts, options, batch_size=3)
        found = model.generate(texts, options, batch_size=3)
        for mine, its in zip(found, expected, strict=True):
            assert [answer.token_ids for answer in mine] == [answer.token_ids for answer in its]


def test_golden_requests_are_replayed(bundle: Bundle) -> None:
    results = list(runtime.replay(runtime.load(bundle[0])))
    assert len(results) == 4
    assert [result.difference for result in results] == [""] * 4


def test_a_changed_byte_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    folder, verdict, _ = bundle
    for name in [*verdict.files]:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "verdict.json").write_bytes((folder / "verdict.json").read_bytes())
    runtime.load(tmp_path)
    for name in ("encoder.onnx", "decoder.onnx", "model.onnx.data", "tokenizer.json"):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: changed since the verdict"):
            runtime.load(tmp_path)
        (tmp_path / name).write_bytes((folder / name).read_bytes())


def test_changed_weight_fails_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = bundle_module.prove

    def tampered(task: Any, export: Any, graphs: Any, recipe: Any, folder: Path, progress: Any) -> Verdict:
        weights = np.fromfile(folder / "model.onnx.data", np.float32)
        weights += 0.05
        weights.tofile(folder / "model.onnx.data")
        return real(task, export, graphs, recipe, folder, progress)

    monkeypatch.setattr(bundle_module, "prove", tampered)
    verdict = export_bundle(t5(), PORTABLE, tmp_path / "bundle")
    failed = {check.name for check in verdict.checks if not check.passed}
    assert {"encoder error", "decoder error", "files changed since written"} <= failed
    with pytest.raises(ValueError, match="failed its verdict"):
        runtime.load(tmp_path / "bundle")


@pytest.mark.parametrize("name", ["cpu-int8", "cpu-int8-dynamic", "cuda-fp16", "tensorrt-fp16"])
def test_recipe_exports_within_its_limits(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(ROOT / "export" / f"{name}.yaml")
    # quantisation shows most in what has no training: T5's logits are too coarse for int8-dynamic
    task = transformer() if name == "cpu-int8-dynamic" else t5()
    verdict = export_bundle(task, recipe, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    content = manifest(tmp_path / "bundle")
    assert content["graphs"]["portable"]["dtype"] == recipe.dtype
    assert set(content["profiles"]) == ({"begin", "go_on"} if name == "tensorrt-fp16" else set())
    assert set(content["encoder_profiles"]) == ({"read"} if name == "tensorrt-fp16" else set())
    judged = {check.name for check in verdict.checks}
    assert {"relative encoder error", "relative hidden error", "relative logit error", "top-1 agreement"} <= judged


def test_profiles_stay_within_the_lengths_of_source_and_target() -> None:
    spec = sequence_graphs(transformer(), torch.float32)["portable"]
    ranges = {axis: Range(1, 9, 999) for axis in ("batch", "encoder_batch", "source", "sequence", "past")}
    (options,) = profiles(spec, {"go_on": ranges}, 20).values()
    shapes = dict(item.split(":") for item in options["trt_profile_max_shapes"].split(","))
    assert shapes["encoder_attention_mask"] == "999x61"
    own, crossed = shapes["past_key_values.0.decoder.key"], shapes["past_key_values.0.encoder.key"]
    assert crossed == "999x3x61x8"
    assert int(own.split("x")[2]) + int(shapes["input_ids"].split("x")[1]) == 20


def test_target_tokenizer_larger_than_its_vocabulary_is_an_error() -> None:
    network = Transformer(**SIZES, num_layers=1, target_vocab_size=50)
    with pytest.raises(ValueError, match="the target's tokenizer has ids up to 269, but the network only 50"):
        exporter(small_sequence(network, TextForm(), other_tokenizer()), byte_pairs())


def test_in_place_alone_is_no_graph_of_it(tmp_path: Path) -> None:
    recipe = Recipe("wrong", Limits(logit_error=1e-4), graphs=["in_place"])
    with pytest.raises(ValueError, match="this model has no 'in_place'"):
        export_bundle(small_sequence(), recipe, tmp_path / "bundle")
