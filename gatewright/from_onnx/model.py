"""An ONNX file as it is read: its one image, its nodes, its constants; whatever people can mend is refused here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.helper
import onnx.numpy_helper
from google.protobuf.message import DecodeError

from gatewright.contract.errors import GatewrightError

LARGEST_OPSET = onnx.defs.onnx_opset_version()
SMALLEST_OPSET = 7
"""Before it, broadcasting and batch norms were other operations."""

MOST_PIXELS = 1 << 15
"""Of an edge of an image, a map or a window: a file of a few bytes may ask for any."""

STANDARD = ("", "ai.onnx")
"""The names of ONNX's own domain."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Node:
    """An operation: the names of what it reads ("" where it leaves an operand out) and writes, and its attributes."""

    op: str
    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    attributes: dict[str, Any]
    proto: onnx.NodeProto

    @property
    def where(self) -> str:
        """The node in the words of a message."""
        return f"node {self.name or self.writes[0]} ({self.op})"


@dataclass(frozen=True)
class Model:
    """What an ONNX file computes: ``inputs`` maps names to shapes, ``constants`` names to arrays.

    ``opsets`` are the versions of the operations by domain.
    """

    inputs: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: dict[str, Array]
    opsets: dict[str, int]
    proto: onnx.ModelProto = field(repr=False)
    decisions: frozenset[str] = frozenset()
    """The inputs that are 0 or 1; the others are real numbers."""

    @property
    def opset(self) -> int:
        """The version of ONNX's own operations."""
        return self.opsets[""]


@dataclass(frozen=True)
class Unit:
    """The value of one unit of quantised weights: ``scale`` [filters] along ``axis``, or of one number."""

    scale: Array
    axis: int


def load_onnx(path: Path) -> onnx.ModelProto:
    """Read a file, and check that it is what ONNX says that it must be.

    Raises
    ------
    GatewrightError
        The file cannot be read, is damaged, or breaks ONNX's rules.
    """
    try:
        proto = onnx.load(path)
        onnx.checker.check_model(proto)
    except OSError as error:
        raise GatewrightError(f"{path} cannot be read ({error.strerror or error})") from error
    except (DecodeError, onnx.checker.ValidationError, ValueError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:240] or type(error).__name__
        raise GatewrightError(
            f"{path} is no ONNX file, or is damaged ({reason}); export it or fetch it again"
        ) from error
    return proto


def read_model(
    proto: onnx.ModelProto,
    size: tuple[int, int] | None = None,
    outputs: Sequence[str] = (),
    batch: int | None = 1,
) -> Model:
    """The model with fixed shapes, and of its nodes those that its outputs need.

    Parameters
    ----------
    proto
        The file's content.
    size
        Height and width of the images where the file leaves them open.
    outputs
        Tensors to return in place of the file's outputs.
    batch
        Images at a time, whatever the file says; None for as many as it says.

    Raises
    ------
    GatewrightError
        Unsupported versions or domains, functions, shapes that stay open, or an output that is not there.
    """
    opsets = {"" if entry.domain in STANDARD else entry.domain: entry.version for entry in proto.opset_import}
    version = opsets.get("", LARGEST_OPSET)
    if not SMALLEST_OPSET <= version <= LARGEST_OPSET:
        raise GatewrightError(
            f"the file's opset is {version}; supported are {SMALLEST_OPSET} to {LARGEST_OPSET}: export it again with "
            f"one of these, or convert it with onnx.version_converter.convert_version(model, 17)"
        )
    if proto.functions:
        raise GatewrightError(
            f"the file defines functions of its own ({proto.functions[0].name}); put them in place with "
            "onnx.inliner.inline_local_functions(model)"
        )
    graph = proto.graph
    constants = {tensor.name: _array(tensor) for tensor in graph.initializer}
    if graph.sparse_initializer:
        raise GatewrightError("the file has sparse initialisers; write its weights as dense ones")
    inputs = {entry.name: _shape(entry, size, batch) for entry in graph.input if entry.name not in constants}
    decisions = {entry.name for entry in graph.input if entry.type.tensor_type.elem_type == onnx.TensorProto.BOOL}
    nodes = tuple(_node(node) for node in graph.node)
    known = {name for node in nodes for name in node.writes} | constants.keys() | inputs.keys()
    wanted = tuple(outputs) or tuple(entry.name for entry in graph.output)
    for name in wanted:
        if name not in known:
            near = [each for node in nodes[-4:] for each in node.writes]
            raise GatewrightError(f"the file has no tensor {name}; its last ones are {', '.join(near)}")
    needed = tuple(_needed(nodes, wanted))
    read = {name for node in needed for name in node.reads} | set(wanted)
    inputs = {name: shape for name, shape in inputs.items() if name in read}
    return Model(inputs, wanted, needed, constants, {"": version, **opsets}, proto, frozenset(decisions))


def _array(tensor: onnx.TensorProto) -> Array:
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise GatewrightError(
            f"its constant {tensor.name}, of type {tensor.data_type}, cannot be read ({reason}); export it again"
        ) from error


REAL = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.BOOL,
}


def _shape(entry: onnx.ValueInfoProto, size: tuple[int, int] | None, batch: int | None) -> tuple[int, ...]:
    """The shape of an input: of ``batch`` images, rows and columns by ``size`` where they are open."""
    kind = entry.type.tensor_type.elem_type
    pixels = kind == onnx.TensorProto.UINT8 and len(entry.type.tensor_type.shape.dim) == 4
    if not entry.type.HasField("tensor_type") or not (kind in REAL or pixels):
        what = dict(zip(onnx.TensorProto.DataType.values(), onnx.TensorProto.DataType.keys(), strict=True)).get(
            kind, ""
        )
        what = what.lower() if kind and what else "no tensor of a known type"
        raise GatewrightError(f"input {entry.name} is {what}; a network takes an image of real numbers, or of uint8")
    if any(edge.HasField("dim_value") and edge.dim_value == 0 for edge in entry.type.tensor_type.shape.dim):
        raise GatewrightError(f"input {entry.name} is empty: a dimension of it is 0; export the file for one image")
    edges = [edge.dim_value if edge.dim_value > 0 else None for edge in entry.type.tensor_type.shape.dim]
    names = [edge.dim_param or "?" for edge in entry.type.tensor_type.shape.dim]
    if any(edge is not None and edge > MOST_PIXELS for edge in edges):
        raise GatewrightError(
            f"input {entry.name} is {edges}; at most {MOST_PIXELS:,} rows, columns or channels are supported"
        )
    if len(edges) != 4:
        return tuple(1 if edge is None else edge for edge in edges)
    edges[0] = batch or edges[0] or 1
    channels_last = edges[3] in (1, 3, 4) and edges[1] not in (1, 3, 4)
    rows = 1 if channels_last else 2
    for place, given in zip((rows, rows + 1), size or (), strict=False):
        if edges[place] not in (None, given):
            raise GatewrightError(
                f"input {entry.name} has images of {edges[rows]}x{edges[rows + 1]}, and --size says "
                f"{'x'.join(map(str, size or ()))}; leave --size away"
            )
        edges[place] = given
    if None in edges[rows : rows + 2]:
        shape = ", ".join(name if edge is None else str(edge) for edge, name in zip(edges, names, strict=True))
        raise GatewrightError(
            f"input {entry.name} is [{shape}], with rows and columns left open; the machine's shapes are fixed: say "
            "them, for example --size 224x224"
        )
    if None in edges:
        raise GatewrightError(
            f"input {entry.name} does not say how many channels it has; export it with the shape of one image"
        )
    return tuple(edge for edge in edges if edge is not None)


def _node(proto: onnx.NodeProto) -> Node:
    attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in proto.attribute}
    values = {name: value.decode() if isinstance(value, bytes) else value for name, value in attributes.items()}
    domain = "" if proto.domain in STANDARD else f"{proto.domain}."
    return Node(f"{domain}{proto.op_type}", proto.name, tuple(proto.input), tuple(proto.output), values, proto)


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> Iterator[Node]:
    """The nodes that the outputs need, in the file's order."""
    names = set(outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        if names & {*node.writes} - {""}:
            names |= {*node.reads}
            kept.append(node)
    return reversed(kept)


def float32(array: Array) -> Array:
    """An array of real numbers in float32, whatever width it has; other arrays as they are."""
    real = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    return array.astype(np.float32) if real else array
