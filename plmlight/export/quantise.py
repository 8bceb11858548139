"""Weight-only quantisation: matrices in blocks of small integers, everything else as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from plmlight.export.recipe import Quantisation


def quantise_weights(model: ir.Model, how: Quantisation) -> int:
    """Replaces each product with a constant matrix by ONNX Runtime's ``com.microsoft::MatMulNBits``.

    A matrix is cut into blocks of ``how.block_size`` along its input width; each has a scale. A head that is tied to the
    token table multiplies by its transpose: it gets a quantised copy, and the table itself stays.

    Args:
        model: changed in place.
        how: bits, block size and the precision of the activations.

    Returns:
        How many products were replaced.
    """
    count = 0
    for node in list(model.graph):
        found = _constant_matrix(node) if node.op_type == "MatMul" and node.domain in ("", "ai.onnx") else None
        if found is not None:
            _replace(model, node, found, how)
            count += 1
    for node in reversed(list(model.graph)):  # transposes that only fed a product
        if node.op_type == "Transpose" and not node.outputs[0].uses() and not node.outputs[0].is_graph_output():
            model.graph.remove(node, safe=True)
    for name, value in list(model.graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del model.graph.initializers[name]
    model.graph.opset_imports.setdefault("com.microsoft", 1)
    return count


def _constant_matrix(node: ir.Node) -> NDArray[Any] | None:
    """The matrix [K, N] that a product multiplies by, if it is a constant or the transpose of one."""
    value = node.inputs[1]
    if value is None:
        return None
    producer = value.producer()
    if producer is not None and producer.op_type == "Transpose":
        source = producer.inputs[0]
        if source is None or source.const_value is None or len(source.const_value.shape) != 2:
            return None
        return source.const_value.numpy().T
    if value.const_value is None or len(value.const_value.shape) != 2:
        return None
    return value.const_value.numpy()


def _replace(model: ir.Model, node: ir.Node, matrix: NDArray[Any], how: Quantisation) -> None:
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, DefaultWeightOnlyQuantizer

    config = DefaultWeightOnlyQuantConfig(block_size=how.block_size, is_symmetric=how.symmetric, bits=how.bits)
    packed, scales, zeros = DefaultWeightOnlyQuantizer(config).qbits_block_quant(np.ascontiguousarray(matrix))
    parts = {"quantised": packed, "scales": scales} | ({} if how.symmetric else {"zeros": zeros})
    source = node.inputs[1]
    assert source is not None
    values = []
    for part, array in parts.items():
        value = ir.Value(name=f"{source.name}.{part}.{node.name}", const_value=ir.tensor(array))
        value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.from_numpy(array.dtype))
        model.graph.register_initializer(value)
        values.append(value)
    product = ir.node(
        "MatMulNBits",
        [node.inputs[0], *values],
        {
            "K": matrix.shape[0],
            "N": matrix.shape[1],
            "bits": how.bits,
            "block_size": how.block_size,
            "accuracy_level": how.accuracy_level,
        },
        domain="com.microsoft",
        name=f"{node.name}.quantised",
    )
    old, new = node.outputs[0], product.outputs[0]
    new.name, new.shape, new.type = old.name, old.shape, old.type
    model.graph.insert_before(node, product)
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    model.graph.remove(node, safe=True)
