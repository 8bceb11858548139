"""Quantisation of products with constant matrices; everything else stays as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from plmlight.export.recipe import Quantisation


def quantise_weights(model: ir.Model, how: Quantisation) -> int:
    """Replaces each product with a constant matrix by ONNX Runtime's product with a quantised one, in loops too.

    A head that is tied to the token table multiplies by its transpose: it gets a quantised copy, and the table itself
    stays. The operator ``LSTM`` holds its matrices itself, and stays.

    Args:
        model: changed in place.
        how: the method and its numbers.

    Returns:
        How many products were replaced.
    """
    count = 0
    for node in list(model.graph.all_nodes()):
        found = _constant_matrix(node)
        if found is not None:
            _replace(model, node, found, how)
            count += 1
    for node in reversed(list(model.graph.all_nodes())):  # transposes that only fed a product
        if node.op_type == "Transpose" and not node.outputs[0].uses() and not node.outputs[0].is_graph_output():
            assert node.graph is not None
            node.graph.remove(node, safe=True)
    for name, value in list(model.graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del model.graph.initializers[name]
    model.graph.opset_imports.setdefault("com.microsoft", 1)
    return count


def _constant_matrix(node: ir.Node) -> NDArray[Any] | None:
    """The matrix [K, N] that a product multiplies by, if it is a constant or the transpose of one."""
    if node.op_type not in ("MatMul", "Gemm") or node.domain not in ("", "ai.onnx"):
        return None
    numbers = {name: attribute.value for name, attribute in node.attributes.items()}
    if numbers.get("transA", 0) or numbers.get("alpha", 1.0) != 1.0 or numbers.get("beta", 1.0) != 1.0:
        return None
    value = node.inputs[1]
    if value is None:
        return None
    producer = value.producer()
    transposed = producer is not None and producer.op_type == "Transpose"
    source = producer.inputs[0] if producer is not None and transposed else value
    if source is None or source.const_value is None or len(source.const_value.shape) != 2:
        return None
    matrix: NDArray[Any] = source.const_value.numpy()
    return matrix.T if transposed != bool(numbers.get("transB", 0)) else matrix


def blocks(matrix: NDArray[Any], how: Quantisation) -> dict[str, NDArray[Any]]:
    """A matrix in blocks, by ONNX Runtime's own quantiser, in the layout of ``MatMulNBits``.

    Args:
        matrix: [K, N], float32.
        how: bits and block size.

    Returns:
        ``quantised`` [N, blocks, bytes of a block], ``scales`` [N, blocks], and ``zeros`` where they are not symmetric.
    """
    # from here, as onnxruntime.quantization sets up the root logger when it is imported
    from onnxruntime.capi._pybind_state import quantize_matmul_4bits, quantize_matmul_8bits

    width, columns = matrix.shape
    count = -(-width // how.block_size)
    # the quantiser reads rows one after the other, whatever the array says about its order
    padded = np.ascontiguousarray(np.pad(matrix, ((0, count * how.block_size - width), (0, 0))))
    packed = np.zeros((columns, count, how.block_size * how.bits // 8), np.uint8)
    scales = np.zeros((columns, count), matrix.dtype)
    zeros = np.zeros((columns, -(-count * how.bits // 8)), np.uint8)
    quantise = {4: quantize_matmul_4bits, 8: quantize_matmul_8bits}[how.bits]
    quantise(packed, padded, scales, zeros, how.block_size, columns, width, how.symmetric)
    return {"quantised": packed, "scales": scales} | ({} if how.symmetric else {"zeros": zeros})


def columns(matrix: NDArray[Any], how: Quantisation) -> dict[str, NDArray[Any]]:
    """A matrix with one scale a column, in the layout of ``DynamicQuantizeMatMul``.

    Args:
        matrix: [K, N], float32.
        how: whether one of the 8 bits is left out.

    Returns:
        ``quantised`` [K, N], int8, and ``scales`` [N].
    """
    largest = 63 if how.reduce_range else 127
    scales = np.abs(matrix).max(0) / largest
    scales[scales == 0] = 1
    return {"quantised": np.round(matrix / scales).astype(np.int8), "scales": scales.astype(np.float32)}


def _replace(model: ir.Model, node: ir.Node, matrix: NDArray[Any], how: Quantisation) -> None:
    dynamic = how.method == "dynamic"
    parts = columns(matrix, how) if dynamic else blocks(matrix, how)
    source = node.inputs[1]
    assert source is not None
    values = []
    for part, array in parts.items():
        value = ir.Value(name=f"{source.name}.{part}.{node.name}", const_value=ir.tensor(array))
        value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.from_numpy(array.dtype))
        model.graph.register_initializer(value)
        values.append(value)
    sizes = {"K": matrix.shape[0], "N": matrix.shape[1]}
    numbers = {"bits": how.bits, "block_size": how.block_size, "accuracy_level": how.accuracy_level}
    product = ir.node(
        "DynamicQuantizeMatMul" if dynamic else "MatMulNBits",
        [node.inputs[0], *values],
        {} if dynamic else sizes | numbers,
        domain="com.microsoft",
        name=f"{node.name}.quantised",
    )
    made = [product]
    if len(node.inputs) > 2 and node.inputs[2] is not None:  # what a Gemm adds
        product.outputs[0].name = f"{node.name}.product"
        made.append(ir.node("Add", [product.outputs[0], node.inputs[2]], name=f"{node.name}.sum"))
    old, new, graph = node.outputs[0], made[-1].outputs[0], node.graph
    assert graph is not None
    new.name, new.shape, new.type = old.name, old.shape, old.type
    graph.insert_before(node, made)
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(node, safe=True)
