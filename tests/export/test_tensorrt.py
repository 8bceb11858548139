from pathlib import Path

import onnx_ir as ir
import pytest
import torch

from plmlight.export import Verdict
from plmlight.export.causal_lm import causal_lm_graphs
from plmlight.export.encoder import encoder_graphs
from plmlight.export.graph import operators, trace
from plmlight.export.recipe import Range
from plmlight.export.specification import GraphSpec
from plmlight.export.tensorrt import lint, profile, profiles
from plmlight.tasks import CausalLM
from tests.runtime.encoders import small_encoder

from .conftest import small_task


@pytest.fixture(scope="module")
def specs() -> dict[str, GraphSpec]:
    return causal_lm_graphs(small_task(), torch.float32)


def shapes(option: str) -> dict[str, list[int]]:
    pairs = (each.split(":") for each in option.split(","))
    return {name: [int(size) for size in shape.split("x")] for name, shape in pairs}


def test_portable_graph_has_no_violation(bundle: tuple[Path, Verdict, CausalLM]) -> None:
    model = ir.load(bundle[0] / "model.onnx")
    assert ("", "Attention") in operators(model)
    assert lint(model) == []


def test_opset_20_does_without_the_attention_operator() -> None:
    model = trace(causal_lm_graphs(small_task(num_layers=1), torch.float32)["portable"], 20)
    assert model.opset_imports[""] == 20
    assert ("", "Attention") not in operators(model)
    assert lint(model) == []


def test_contrib_operators_are_a_violation(bundle: tuple[Path, Verdict, CausalLM]) -> None:
    assert any("com.microsoft" in line for line in lint(ir.load(bundle[0] / "model_in_place.onnx")))


@pytest.mark.parametrize(
    ("operator", "opset", "message"), [("MatMulInteger", 21, "MatMulInteger"), ("Relu", 25, "opset 25")]
)
def test_operator_or_opset_that_tensorrt_lacks_is_a_violation(operator: str, opset: int, message: str) -> None:
    value = ir.Value(name="x")
    node = ir.node(operator, [value])
    graph = ir.Graph([value], node.outputs, nodes=[node], opset_imports={"": opset})
    assert any(message in line for line in lint(ir.Model(graph, ir_version=10)))


def test_profile_names_every_dynamic_input_cache_included(specs: dict[str, GraphSpec]) -> None:
    ranges = {"batch": Range(1, 2, 8), "sequence": Range(1, 1, 1), "past": Range(1, 20, 1023)}
    options = profile(specs["portable"], ranges, 61)
    expected = {"input_ids", "attention_mask"} | {
        f"past_key_values.{layer}.{kind}" for layer in (0, 1) for kind in ("key", "value")
    }
    assert all(set(shapes(option)) == expected for option in options.values())
    assert shapes(options["trt_profile_opt_shapes"])["past_key_values.1.value"] == [2, 3, 20, 8]


def test_profile_stays_within_max_length_and_adds_up(specs: dict[str, GraphSpec]) -> None:
    ranges = {"batch": Range(1, 1, 4), "sequence": Range(1, 1, 1), "past": Range(1, 256, 1023)}
    for option in profile(specs["portable"], ranges, 61).values():
        found = shapes(option)
        total = found["input_ids"][1] + found["past_key_values.0.key"][2]
        assert found["attention_mask"][1] == total <= 61


@pytest.mark.parametrize("axes", [["batch", "sequence"], ["batch", "sequence", "past", "total"]])
def test_axis_without_range_or_range_without_axis_is_an_error(specs: dict[str, GraphSpec], axes: list[str]) -> None:
    with pytest.raises(ValueError, match="profiles: axis"):
        profile(specs["portable"], {axis: Range(1, 1, 1) for axis in axes}, 61)


def test_a_session_is_for_the_graphs_that_have_just_its_axes(specs: dict[str, GraphSpec]) -> None:
    both = {"batch": Range(1, 1, 4), "sequence": Range(1, 8, 16)}
    sessions = {"encode": both, "decode": both | {"past": Range(1, 2, 8)}}
    assert list(profiles(specs["portable"], sessions, 61)) == ["decode"]
    assert list(profiles(encoder_graphs(small_encoder(), torch.float32)["portable"], sessions, 61)) == ["encode"]
    with pytest.raises(ValueError, match="none of encode has just the graph's axes batch, past, sequence"):
        profiles(specs["portable"], {"encode": both}, 61)
