"""What an exported graph is: a module and the ordered, named tensors that go in and come out.

A task is exported by saying this about it (`GraphSpec`), not by a branch in the exporter: tracing, quantising,
profiles, the manifest and the verdict read nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

CacheKind = Literal["concatenated", "in_place", "none"]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph.

    Attributes:
        name: in the graph.
        axes: one a dimension: a name for one that varies between calls, a number for one that never does.
        dtype: of its elements.
    """

    name: str
    axes: tuple[str | int, ...]
    dtype: torch.dtype = torch.int64

    def dynamic(self) -> dict[int, str]:
        """The dimensions that vary, by number."""
        return {index: axis for index, axis in enumerate(self.axes) if isinstance(axis, str)}

    def shape(self, sizes: Mapping[str, int]) -> list[int]:
        """The shape where the named axes have these sizes."""
        return [sizes[axis] if isinstance(axis, str) else axis for axis in self.axes]

    def example(self, sizes: Mapping[str, int]) -> Tensor:
        """A tensor to trace with: ones, as every mask sees them and every vocabulary has them."""
        return torch.ones(self.shape(sizes), dtype=self.dtype)

    def described(self) -> dict[str, object]:
        """The tensor as the manifest lists it."""
        return {"name": self.name, "dtype": dtype_name(self.dtype), "shape": list(self.axes)}


@dataclass(frozen=True)
class GraphSpec:
    """One graph of a bundle.

    Attributes:
        name: ``portable``, ``in_place``, ...: its key in the manifest; ``encoder`` of one that belongs to another.
        file: its file's name.
        module: takes the inputs' tensors in their order and returns the outputs' as a tuple in theirs.
        inputs: in order.
        outputs: in order.
        sizes: of the named axes while tracing, sums left out; none 0 or 1, which the tracer would take for constants.
        cache: how it keeps what it has read: it returns a longer one, or writes into a buffer, or has none.
        sums: axes that are the sum of others: ``total`` of ``past`` and ``sequence``.
        encoder: the graph that reads what this one goes on from: the two make one model, under this one's name.
        longest: the most of an axis; that of the model's length where it is not named.
    """

    name: str
    file: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    sizes: Mapping[str, int]
    cache: CacheKind = "none"
    sums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    encoder: GraphSpec | None = None
    longest: Mapping[str, int] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[GraphSpec, ...]:
        """The graphs that make the model, in the order in which they run."""
        return (self,) if self.encoder is None else (self.encoder, self)

    def described(self, opset: int, dtype: str) -> dict[str, object]:
        """The graph as the manifest lists it, without the files of weights."""
        described: dict[str, object] = {
            "file": self.file,
            "opset": opset,
            "cache": self.cache,
            "dtype": dtype,
            "inputs": [tensor.described() for tensor in self.inputs],
            "outputs": [tensor.described() for tensor in self.outputs],
        }
        return described if self.encoder is None else described | {"encoder": self.encoder.described(opset, dtype)}

    def complete(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Sizes of all named axes from those of the free ones."""
        return {**sizes, **{axis: sum(sizes[part] for part in parts) for axis, parts in self.sums.items()}}


def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")
