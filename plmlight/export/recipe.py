"""A deployment recipe: what to export for which machine, and what the result must hold."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from plmlight.text import nearest

T = TypeVar("T")
GraphName = Literal["in_place", "portable"]


@dataclass(frozen=True)
class Quantisation:
    """How products with constant matrices are quantised.

    Attributes:
        method: ``blocks`` keeps a scale for each block of a column (``com.microsoft::MatMulNBits``), ``dynamic`` one a
            column, and one for all activations of a product (``com.microsoft::DynamicQuantizeMatMul``): faster, above
            all for many tokens at once, and less exact.
        bits: 8 or 4; dynamic has 8.
        block_size: how many weights of a column share a scale; a power of two from 16. Blocks only.
        symmetric: no zero points. Blocks only.
        accuracy_level: of the activations inside the product: 4 is 8-bit integers, 1 is float32. Blocks only.
        reduce_range: use 7 of the 8 bits, without which a processor that lacks VNNI adds up wrongly. Dynamic only.
    """

    method: Literal["blocks", "dynamic"] = "blocks"
    bits: int = 8
    block_size: int = 32
    symmetric: bool = True
    accuracy_level: int = 4
    reduce_range: bool = True

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise ValueError(f"bits {self.bits}: expected 4 or 8")
        if self.block_size < 16 or self.block_size & (self.block_size - 1):
            raise ValueError(f"block_size {self.block_size}: expected a power of two, 16 or more")
        if self.method == "dynamic" and self.bits != 8:
            raise ValueError(f"bits {self.bits}: method dynamic has 8")
        if self.accuracy_level not in range(5):
            raise ValueError(f"accuracy_level {self.accuracy_level}: expected 0 to 4")


@dataclass(frozen=True)
class Limits:
    """What the verdict judges by; what is left out is not judged.

    Attributes:
        logit_error: the most that any logit, or any number of another output, may differ, on shapes not used for
            tracing.
        relative_logit_error: the same, as the root mean square difference over the spread of torch's.
        relative_hidden_error: the same of hidden states and embeddings; ``relative_logit_error`` by default.
        greedy_agreement: the share of greedy answers that equal torch's token for token, or of masks that are filled
            with the same token, or of decisions about test requests (labels, tags) that are torch's.
        top1_agreement: the share of positions at which the likeliest token is torch's, near ties excused: along texts
            sampled from a decoder, at tokens that are hidden from a masked language model, and of the decisions of a
            task with labels.
        loss_increase: how much the cross entropy of those tokens may grow, in nats a token.
        cosine_mean: of the angle between a text's embedding and torch's, over some texts.
        cosine_min: the least of them.
    """

    logit_error: float | None = None
    relative_logit_error: float | None = None
    relative_hidden_error: float | None = None
    greedy_agreement: float | None = None
    top1_agreement: float | None = None
    loss_increase: float | None = None
    cosine_mean: float | None = None
    cosine_min: float | None = None

    def __post_init__(self) -> None:
        if all(value is None for value in dataclasses.astuple(self)):
            raise ValueError("limits: at least one is needed, or any export would pass")
        if self.logit_error is None and self.relative_logit_error is None:
            raise ValueError("limits: logit_error or relative_logit_error is needed: the tests of shapes judge by it")


@dataclass(frozen=True)
class Range:
    """The sizes of a dynamic axis that an engine is built for; each is cut to the model's ``max_length``.

    Attributes:
        min: the smallest.
        opt: the one it is tuned for.
        max: the largest.
    """

    min: int
    opt: int
    max: int

    def __post_init__(self) -> None:
        if not 0 <= self.min <= self.opt <= self.max:
            raise ValueError(f"min {self.min}, opt {self.opt}, max {self.max}: expected 0 <= min <= opt <= max")


@dataclass(frozen=True)
class Recipe:
    """A deployment recipe.

    Attributes:
        name: of the recipe, as the manifest says it.
        provider: what the bundle is for: cpu, cuda or tensorrt.
        graphs: which graphs to write, of those that the task has; the first is the one that is used by default.
        dtype: of weights, activations, cache and logits.
        opset: of the plain operators; the ``Attention`` operator needs 23.
        quantisation: of the weights; null for none.
        limits: what the verdict judges by.
        profiles: for TensorRT: a session's name (prefill, decode, encode) to the range of each dynamic axis; a session
            is for the graphs that have just its axes.
        session_options: configuration entries of ONNX Runtime's session.
        provider_options: of the execution provider.
    """

    name: str
    limits: Limits
    provider: Literal["cpu", "cuda", "tensorrt"] = "cpu"
    graphs: list[GraphName] = field(default_factory=lambda: ["in_place", "portable"])
    dtype: Literal["float32", "float16"] = "float32"
    opset: int = 23
    quantisation: Quantisation | None = None
    profiles: dict[str, dict[str, Range]] = field(default_factory=dict)
    session_options: dict[str, str] = field(default_factory=dict)
    provider_options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.graphs or len(set(self.graphs)) < len(self.graphs):
            raise ValueError(f"graphs {self.graphs}: expected at least one, none twice")
        for name in self.graphs:
            if name not in typing.get_args(GraphName):
                raise ValueError(f"graphs: there is no {name!r}{nearest(name, typing.get_args(GraphName))}")
        if not 18 <= self.opset <= 23:
            raise ValueError(f"opset {self.opset}: expected 18 to 23")
        if (self.provider == "tensorrt") != bool(self.profiles):
            raise ValueError(f"profiles are for tensorrt, and needed there; the provider is {self.provider}")
        if self.quantisation is not None and (self.provider == "tensorrt" or self.dtype != "float32"):
            raise ValueError(
                "quantisation needs dtype float32 and another provider than tensorrt, which lacks MatMulNBits"
            )


def load_recipe(path: str | Path | None = None) -> Recipe:
    """Reads a recipe.

    Args:
        path: a YAML file; the packaged cpu-fp32 by default.

    Returns:
        The recipe.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for a file that is no recipe; the message names the file, the key and what was expected.
    """
    where = "packaged recipe cpu-fp32" if path is None else str(path)
    packaged = resources.files("plmlight.export") / "recipes" / "cpu-fp32.yaml"
    if path is not None and Path(path).is_dir():
        raise ValueError(f"{path}: is a folder, expected a recipe's YAML file")
    try:
        text = packaged.read_text("utf-8") if path is None else Path(path).read_text("utf-8")
        content = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not a text file (byte {error.start})") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: not YAML: {' '.join(str(error).split())}") from None
    return parse(Recipe, content, where, "")


def parse(kind: type[T], content: object, where: str, key: str) -> T:
    """Makes a dataclass from what a YAML file says.

    Args:
        kind: the dataclass.
        content: what stands at ``key``.
        where: the file, for messages.
        key: the dotted key, empty at the top.

    Returns:
        The object.

    Raises:
        ValueError: for an unknown or missing key, or a value of another type or out of range.
    """
    label = f"{where}: {key}" if key else where
    if not isinstance(content, Mapping):
        raise ValueError(f"{label}: expected keys and values, got {content!r}")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in content:
        if name not in fields:
            raise ValueError(f"{label}: unknown key {name!r}{nearest(str(name), fields)}")
    for name, each in fields.items():
        needed = each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
        if needed and name not in content:
            raise ValueError(f"{label}: key {name!r} is missing")
    values = {
        name: _value(hints[name], value, where, f"{key}.{name}" if key else name) for name, value in content.items()
    }
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None


def _value(hint: Any, value: Any, where: str, key: str) -> Any:
    """Checks one value against a type hint, and makes the dataclasses in it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        (only,) = (each for each in inner if each is not type(None))
        return None if value is None else _value(only, value, where, key)
    if dataclasses.is_dataclass(hint):
        return parse(hint, value, where, key)  # type: ignore[arg-type]
    if origin is list and isinstance(value, list):
        return [_value(inner[0], each, where, f"{key}[{index}]") for index, each in enumerate(value)]
    if origin is dict and isinstance(value, Mapping):
        return {str(name): _value(inner[1], each, where, f"{key}.{name}") for name, each in value.items()}
    if origin is Literal:
        if value not in inner:
            raise ValueError(f"{where}: {key} {value!r} is not known{nearest(str(value), map(str, inner))}")
        return value
    return _scalar(origin or hint, value, where, key)


def _scalar(kind: type, value: Any, where: str, key: str) -> Any:
    """A number or text; whole numbers may stand for others, and any scalar for a text, as an option's value is one."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        return float(value)
    if kind is str and (number or isinstance(value, bool)):
        return str(int(value)) if isinstance(value, bool) else str(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where}: {key}: expected {kind.__name__}, got {value!r}")
    return value
