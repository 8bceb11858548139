import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch

from plmlight.export.causal_lm import causal_lm_graphs
from plmlight.export.graph import trace
from plmlight.export.quantise import blocks, columns, quantise_weights
from plmlight.export.recipe import Quantisation
from plmlight.export.sequence import sequence_graphs
from plmlight.networks import LSTMSeq2Seq
from plmlight.tasks import Seq2Seq

from .conftest import small_task


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_blocks_stand_for_the_matrix(transposed: bool, symmetric: bool) -> None:
    matrix = np.random.default_rng(0).standard_normal((40, 7)).astype(np.float32)
    given = np.ascontiguousarray(matrix.T).T if transposed else matrix
    parts = blocks(given, Quantisation(block_size=16, symmetric=symmetric))
    zeros = parts["zeros"].astype(np.float32)[..., None] if not symmetric else 128.0
    found = (parts["quantised"].astype(np.float32) - zeros) * parts["scales"][..., None]  # [N, blocks, 16]
    assert np.abs(found.reshape(7, 48)[:, :40].T - matrix).max() < 0.02


@pytest.mark.parametrize(("reduce_range", "error"), [(True, 0.03), (False, 0.015)])
def test_columns_stand_for_the_matrix(reduce_range: bool, error: float) -> None:
    matrix = np.random.default_rng(0).standard_normal((40, 7)).astype(np.float32)
    matrix[:, 3] = 0
    parts = columns(matrix, Quantisation(method="dynamic", reduce_range=reduce_range))
    assert np.abs(parts["quantised"]).max() == (63 if reduce_range else 127)
    assert np.abs(parts["quantised"] * parts["scales"] - matrix).max() < error


@pytest.mark.parametrize("how", [Quantisation(bits=4), Quantisation(bits=8), Quantisation(method="dynamic")])
def test_every_matrix_is_quantised_and_the_token_table_stays(how: Quantisation) -> None:
    task = small_task(num_layers=1)
    model = trace(causal_lm_graphs(task, torch.float32)["portable"], 23)
    count = quantise_weights(model, how)
    kinds = [node.op_type for node in model.graph]
    assert count == kinds.count("DynamicQuantizeMatMul" if how.method == "dynamic" else "MatMulNBits") == 4 + 1
    assert "MatMul" not in kinds
    floats = [
        value
        for value in model.graph.initializers.values()
        if value.dtype == ir.DataType.FLOAT and len(value.shape or ()) == 2 and "scales" not in str(value.name)
    ]
    assert sorted(tuple(value.shape or ()) for value in floats) == [(61, 24), (290, 24)]


def test_matrices_in_a_loop_are_quantised() -> None:
    task = Seq2Seq(LSTMSeq2Seq(vocab_size=37, d_model=16, num_layers=1, attention="additive"))
    model = trace(sequence_graphs(task, torch.float32)["portable"], 23)
    count = quantise_weights(model, Quantisation(block_size=16))
    outside = {id(node) for node in model.graph}
    found = [node for node in model.graph.all_nodes() if node.op_type == "MatMulNBits"]
    # two of the cell, two of the attention's scores, and what comes out; outside the head
    assert [id(node) in outside for node in found].count(False) == 5
    assert len(found) == count == 6
    assert "Gemm" not in {node.op_type for node in model.graph.all_nodes()}


@pytest.mark.parametrize("how", [Quantisation(block_size=16), Quantisation(method="dynamic")])
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
def test_a_product_with_a_sum_stays_one(how: Quantisation, transposed: int, bias: bool) -> None:
    rng = np.random.default_rng(0)
    x, matrix, added = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 32), (32, 7), (7,)))
    weights = {"w": np.ascontiguousarray(matrix.T) if transposed else matrix, **({"b": added} if bias else {})}
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gemm", ["x", *weights], ["y"], name="gemm", transB=transposed)],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 32])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 7])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    model = ir.serde.deserialize_model(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10))
    assert quantise_weights(model, how) == 1
    session = onnxruntime.InferenceSession(ir.serde.serialize_model(model).SerializeToString())
    (found,) = session.run(None, {"x": x})
    expected = x @ matrix + (added if bias else 0)
    assert np.abs(found - expected).max() < 0.04 * np.abs(expected).max()
