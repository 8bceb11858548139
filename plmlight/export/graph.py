"""From a module to an ONNX graph, and the one file in which the graphs of a bundle keep their weights."""

from __future__ import annotations

import copy
import hashlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from plmlight.export.specification import GraphSpec
from plmlight.nn import merge_low_rank, remember_prompts

M = TypeVar("M", bound=nn.Module)

INLINE_BYTES = 1024
"""Tensors up to this size stay in the graph: shapes and axes, which ONNX Runtime wants to see while it loads."""

ALIGNMENT = 4096
"""Of each tensor in the weight file, so that it can be mapped into memory."""


def trace(spec: GraphSpec, opset: int) -> ir.Model:
    """Turns a graph's module into ONNX.

    Args:
        spec: the graph.
        opset: of the plain operators.

    Returns:
        The model; its weights are still the module's own memory. Input and output names and the dynamic axes are the
        specification's.

    Raises:
        ValueError: when the network cannot be traced, or a dynamic axis came out fixed, so that the graph would only
            serve one shape.
    """
    module = sharing(spec.module)
    remember_prompts(module)
    merge_low_rank(module)  # the graph has the weights alone, and what it is compared with has the adapter
    examples = tuple(tensor.example(spec.complete(spec.sizes)) for tensor in spec.inputs)
    named = _named(spec)
    axes = [tensor.dynamic() for tensor in spec.inputs]
    shapes = [*axes[:named], tuple(axes[named:])] if named < len(axes) else axes
    try:
        with frozen(module), _quiet():
            program = torch.onnx.export(
                module,
                examples,
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=shapes,
                input_names=[tensor.name for tensor in spec.inputs],
                output_names=[tensor.name for tensor in spec.outputs],
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise ValueError(f"graph {spec.name}: torch.onnx cannot trace this network: {reason}") from error
    assert program is not None
    model: ir.Model = program.model
    _check_axes(spec, model)
    return model


def _named(spec: GraphSpec) -> int:
    """How many inputs the module names one by one; the others are its ``*rest``."""
    code = type(spec.module).forward.__code__
    return code.co_argcount - 1 if code.co_flags & 0x04 else len(spec.inputs)


def _check_axes(spec: GraphSpec, model: ir.Model) -> None:
    for tensor, value in zip(spec.inputs, model.graph.inputs, strict=True):
        assert value.shape is not None
        fixed = [axis for index, axis in tensor.dynamic().items() if isinstance(value.shape[index], int)]
        if fixed:
            raise ValueError(
                f"graph {spec.name}: axis {fixed[0]!r} of {tensor.name} was traced as the constant "
                f"{spec.complete(spec.sizes)[fixed[0]]}: the network's forward depends on it in Python"
            )


def sharing(module: M) -> M:
    """A copy of a module's structure around the same parameters and buffers."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def converted(module: M, dtype: torch.dtype) -> M:
    """A copy of a module in a type; tied weights stay tied.

    Args:
        module: it is not changed.
        dtype: of the copy's parameters and buffers.

    Returns:
        A copy that shares the weights if they are of the type already.
    """
    numbers = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point()]
    if all(tensor.dtype == dtype for tensor in numbers):
        return sharing(module)
    return copy.deepcopy(module).to(dtype)  # not of shared weights: it would change them for all who have them


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, without gradients, and everything as it was afterwards.

    A wrapper left in training mode would be traced with dropout, and a learned attention bias that wants a gradient
    breaks the exporter.
    """
    modes = {part: part.training for part in module.modules()}
    gradients = {parameter: parameter.requires_grad for parameter in module.parameters()}
    module.eval().requires_grad_(False)
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        for parameter, needed in gradients.items():
            parameter.requires_grad_(needed)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's remarks about packages that it does not need off the terminal."""
    loggers = [logging.getLogger("torch.onnx"), logging.getLogger("onnxscript")]
    levels = [logger.level for logger in loggers]
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(redirect_stdout(io.StringIO()))
        stack.enter_context(redirect_stderr(io.StringIO()))
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


class WeightFile:
    """One file of external data that several graphs refer to; equal tensors are written once.

    Use as a context manager; a graph saved through it does not depend on the module's memory any more. External data
    has no 2 GB limit.

    Args:
        path: the file to write, in the graphs' folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[bytes, tuple[int, int]] = {}
        self._handle: IO[bytes] | None = None

    def __enter__(self) -> WeightFile:
        self._handle = self.path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._handle is not None
        self._handle.close()

    def save(self, model: ir.Model, file: str) -> None:
        """Writes a graph beside the weight file, and its weights into it.

        Args:
            model: its large initialisers are replaced by references into the file.
            file: the graph's name.
        """
        for value in model.graph.initializers.values():
            tensor = value.const_value
            assert tensor is not None
            if tensor.nbytes > INLINE_BYTES:
                value.const_value = self._place(tensor)
        _strip(model)
        ir.save(model, self.path.parent / file)

    def _place(self, tensor: Any) -> ir.ExternalTensor:
        content = np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8)
        # the type is part of the key: equal bytes may be other numbers, but never another layout
        key = hashlib.sha256(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        key.update(content.data)
        if key.digest() not in self._places:
            assert self._handle is not None
            offset = -(-self._handle.tell() // ALIGNMENT) * ALIGNMENT
            self._handle.write(b"\0" * (offset - self._handle.tell()))
            self._handle.write(content.data)
            self._places[key.digest()] = offset, content.nbytes
        offset, length = self._places[key.digest()]
        return ir.ExternalTensor(
            self.path.name,
            offset,
            length,
            tensor.dtype,
            shape=tensor.shape,
            name=tensor.name,
            base_dir=self.path.parent,
        )


def _strip(model: ir.Model) -> None:
    """Drops what the exporter notes about the source code: it names this machine's folders, and is most of the file."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


def operators(model: ir.Model) -> set[tuple[str, str]]:
    """The (domain, operator) pairs of a graph; the plain domain is empty."""
    return {(node.domain if node.domain != "ai.onnx" else "", node.op_type) for node in model.graph.all_nodes()}
