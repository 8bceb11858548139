import numpy as np
import onnx_ir as ir
import pytest
import torch

from plmlight.export.causal_lm import causal_lm_graphs
from plmlight.export.graph import trace
from plmlight.export.quantise import blocks, quantise_weights
from plmlight.export.recipe import Quantisation

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


@pytest.mark.parametrize("bits", [4, 8])
def test_every_matrix_is_quantised_and_the_token_table_stays(bits: int) -> None:
    task = small_task(num_layers=1)
    model = trace(causal_lm_graphs(task, torch.float32)["portable"], 23)
    count = quantise_weights(model, Quantisation(bits=bits))
    kinds = [node.op_type for node in model.graph]
    assert count == kinds.count("MatMulNBits") == 4 + 1
    assert "MatMul" not in kinds
    floats = [
        value
        for value in model.graph.initializers.values()
        if value.dtype == ir.DataType.FLOAT and len(value.shape or ()) == 2 and "scales" not in str(value.name)
    ]
    assert sorted(tuple(value.shape or ()) for value in floats) == [(61, 24), (290, 24)]
