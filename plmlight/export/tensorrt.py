"""What TensorRT asks for beyond a graph: shape profiles, and no operator that it lacks."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from plmlight.export.graph import operators
from plmlight.export.recipe import Range
from plmlight.export.specification import GraphSpec

_NAMES = (
    "Abs Add And ArgMax ArgMin Attention Cast Ceil Clip Concat Constant ConstantOfShape Conv Cos CumSum Div Einsum "
    "Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm Greater GreaterOrEqual Identity "
    "If IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LSTM MatMul Max Mean Min Mod "
    "Mul Neg Not Or Pad Pow PRelu Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax "
    "ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape RMSNormalization Round Scan "
    "ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign Split Sqrt Squeeze "
    "Sub Sum Tan Tanh Tile TopK Transpose Trilu Unsqueeze Where Xor"
)
OPERATORS = frozenset(_NAMES.split())
"""Plain operators of language models that TensorRT 10's ONNX parser is taken to convert: NVIDIA's table
(https://github.com/onnx/onnx-tensorrt/blob/main/docs/operators.md) as of TensorRT 8.4, and what later versions are said
to have added (Gelu, LayerNormalization, IsInf, Trilu, Mod; ``Attention`` since 10.14, ``RMSNormalization`` since
10.15, https://github.com/onnx/onnx-tensorrt/blob/main/docs/Changelog.md). No TensorRT has confirmed it."""

NEWEST_OPSET = 23

_ROWS = {"batch", "encoder_batch"}
"""Axes that the length of the model says nothing about."""


def lint(model: ir.Model) -> list[str]:
    """Looks for what TensorRT's parser would refuse.

    That a graph passes is necessary, not sufficient: types and attributes are only known to the parser itself.

    Args:
        model: the graph.

    Returns:
        One line a violation; none when there is none.
    """
    lines = []
    for domain, version in sorted(model.opset_imports.items()):
        used = sum(node.domain == domain for node in model.graph.all_nodes())
        if domain not in ("", "ai.onnx"):
            if used:
                lines.append(f"operator domain {domain!r} ({used} nodes): TensorRT knows the plain one only")
        elif version > NEWEST_OPSET:
            lines.append(f"opset {version}: TensorRT knows opsets up to {NEWEST_OPSET}")
    lacking = sorted(name for domain, name in operators(model) if domain == "" and name not in OPERATORS)
    return lines + [f"operator {name}: not in TensorRT's list" for name in lacking]


def profiles(
    spec: GraphSpec, sessions: Mapping[str, Mapping[str, Range]], max_length: int
) -> dict[str, dict[str, str]]:
    """The profiles of the sessions that are for a graph.

    Args:
        spec: the graph.
        sessions: by name, the ranges of their axes.
        max_length: of the model.

    Returns:
        `profile` of each session that has just the graph's axes: those with a ``past`` are for decoders, those with a
        ``source`` for encoders and decoders of two graphs.

    Raises:
        ValueError: when there are sessions, but none for this graph.
    """
    free = _free(spec)
    fitting = {name: ranges for name, ranges in sessions.items() if set(ranges) == free}
    if sessions and not fitting:
        raise ValueError(f"profiles: none of {', '.join(sessions)} has just the graph's axes {', '.join(sorted(free))}")
    return {name: profile(spec, ranges, max_length) for name, ranges in fitting.items()}


def _free(spec: GraphSpec) -> set[str]:
    axes = {axis for tensor in spec.inputs for axis in tensor.dynamic().values()}
    return {part for axis in axes for part in spec.sums.get(axis, (axis,))}


def profile(spec: GraphSpec, ranges: Mapping[str, Range], max_length: int) -> dict[str, str]:
    """The shapes that an engine is built for, as options of ONNX Runtime's TensorRT provider.

    Args:
        spec: the graph.
        ranges: of each free dynamic axis.
        max_length: of the model; no length goes beyond it.

    Returns:
        ``trt_profile_min_shapes``, ``..._opt_shapes`` and ``..._max_shapes``, each naming every input that has a
        dynamic axis: TensorRT refuses an engine where one is missing, the cache's tensors included.

    Raises:
        ValueError: for an axis without a range, or a range without an axis.
    """
    free = _free(spec)
    if free != set(ranges):
        different = sorted(free ^ set(ranges))
        raise ValueError(
            f"profiles: axis {different[0]!r} is {'missing' if different[0] in free else 'not in the graph'}"
        )
    options = {}
    for bound in ("min", "opt", "max"):
        sizes: dict[str, int] = {axis: getattr(ranges[axis], bound) for axis in free}
        sizes |= {axis: min(sizes[axis], spec.longest.get(axis, max_length)) for axis in free - _ROWS}
        for parts in spec.sums.values():  # an engine is built at these very shapes, so their sums must hold
            longest = max(parts, key=sizes.__getitem__)
            sizes[longest] -= max(0, sum(sizes[part] for part in parts) - max_length)
        sizes = spec.complete(sizes)
        shapes = [
            f"{tensor.name}:{'x'.join(map(str, tensor.shape(sizes)))}" for tensor in spec.inputs if tensor.dynamic()
        ]
        options[f"trt_profile_{bound}_shapes"] = ",".join(shapes)
    return options
