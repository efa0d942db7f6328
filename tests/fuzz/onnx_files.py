"""Damaged ONNX files: refused with a sentence, or networks that onnx.reference computes alike."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from gatewright.contract.errors import GatewrightError
from gatewright.from_onnx.convert import convert
from gatewright.from_onnx.operators import HANDLERS
from gatewright.onnx_import import import_onnx
from tests.fuzz.damage import Random, cut, flip_bits, other_value, pick

node = onnx.helper.make_node

OTHERS = ["Sigmoid", "Shape", "If", "Loop", "Softmax", "NoSuchOperation", "ConstantOfShape", "Expand"]


@cache
def _files() -> tuple[bytes, ...]:
    """A float file with its channels last, and a quantised one with its channels first; drawn weights."""
    rng = np.random.default_rng(4)

    def drawn(*shape: int) -> np.ndarray[Any, Any]:
        return rng.standard_normal(shape).astype(np.float32)

    last = [
        node("Sub", ["x", "mean"], ["centred"]),
        node("Pad", ["centred", "pads"], ["padded"]),
        node("Transpose", ["padded"], ["image"], perm=[0, 3, 1, 2]),
        node("Conv", ["image", "w"], ["conv"], strides=[1, 1], dilations=[1, 1], group=1),
        node("BatchNormalization", ["conv", "scale", "shift", "shift", "scale"], ["norm"], epsilon=1e-5),
        node("Relu", ["norm"], ["relu"]),
        node("MaxPool", ["relu"], ["pool"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        node("Transpose", ["pool"], ["last"], perm=[0, 2, 3, 1]),
        node("Concat", ["last", "last"], ["both"], axis=3),
        node("Slice", ["both", "from", "to", "axes"], ["some"]),
        node(
            "Resize",
            ["some", "", "scales"],
            ["wide"],
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        node("ReduceMean", ["wide"], ["average"], axes=[1, 2], keepdims=0),
        node("Shape", ["average"], ["shape"]),
        node("Reshape", ["average", "shape"], ["vector"]),
        node("Gemm", ["vector", "matrix", "bias"], ["y"], transB=1, alpha=1.0),
    ]
    first = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("DequantizeLinear", ["stored", "each", "none"], ["filters"], axis=0),
        node("Conv", ["d", "filters"], ["conv"], pads=[1, 1, 1, 1]),
        node("Clip", ["conv", "low", "high"], ["relu"]),
        node("QuantizeLinear", ["relu", "s", "z"], ["rq"]),
        node("DequantizeLinear", ["rq", "s", "z"], ["rd"]),
        node("Add", ["rd", "rd"], ["sum"]),
        node("AveragePool", ["sum"], ["pool"], kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", ["pool"], ["average"]),
        node("Flatten", ["average"], ["vector"]),
        node("MatMul", ["vector", "matrix"], ["product"]),
        node("Greater", ["product", "low"], ["gate"]),
        node("Where", ["gate", "product", "low"], ["chosen"]),
        node("Softmax", ["chosen"], ["y"]),
    ]
    of_last = {
        "mean": drawn(3),
        "pads": np.array([0, 1, 1, 0, 0, 1, 1, 0], np.int64),
        "w": drawn(4, 3, 3, 3),
        "scale": np.abs(drawn(4)) + 1,
        "shift": drawn(4),
        "from": np.array([1], np.int64),
        "to": np.array([5], np.int64),
        "axes": np.array([-1], np.int64),
        "scales": np.array([1, 2, 2, 1], np.float32),
        "matrix": drawn(5, 4),
        "bias": drawn(5),
    }
    of_first = {
        "s": np.array(0.02, np.float32),
        "z": np.array(0, np.int8),
        "stored": rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "each": np.full(4, 0.01, np.float32),
        "none": np.zeros(4, np.int8),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
        "matrix": drawn(4, 5),
    }
    made = []
    for nodes, constants, shape in ((last, of_last, [1, 8, 8, 3]), (first, of_first, [1, 3, 8, 8])):
        graph = onnx.helper.make_graph(
            nodes,
            "net",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", "C"])],
            [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
        opset = onnx.helper.make_opsetid("", 17)
        made.append(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString())
    return tuple(made)


def run_onnx(rng: Random, folder: Path) -> str:
    """Damage a file, and take it as ``gatewright import`` does; one in eight to the program, too."""
    data, kind = pick(rng, list(_files())), int(rng.integers(8))
    path = folder / "net.onnx"
    path.write_bytes(pick(rng, [flip_bits, cut])(rng, data) if kind == 0 else _edited(rng, data))
    try:
        bgr = bool(rng.integers(8) == 0)
        made = convert(path, bgr=bgr)
        if rng.integers(8) == 0:
            import_onnx(path, folder / "net.pt2", bgr=bgr)
    except GatewrightError as error:
        assert "\n" not in str(error) and str(error).startswith(str(path)), error
        return "refused"
    assert len(made.shape) == 3 and made.network.steps
    return "accepted"


def _edited(rng: Random, data: bytes) -> bytes:
    model = onnx.ModelProto.FromString(data)
    for _ in range(pick(rng, [1, 1, 2])):
        pick(rng, [_node, _node, _wire, _wire, _attribute, _attribute, _attribute, _constant, _constant, _input])(
            rng, model
        )
    return model.SerializeToString()


def _node(rng: Random, model: onnx.ModelProto) -> None:
    """A node that is missing, twice there, elsewhere, or another operation; or another version of all."""
    nodes = model.graph.node
    at, other = (int(rng.integers(len(nodes))) for _ in range(2))
    match int(rng.integers(6)):
        case 0:
            del nodes[at]
        case 1:
            nodes.append(nodes[at])
        case 2:
            kept = [onnx.NodeProto.FromString(each.SerializeToString()) for each in nodes]
            kept[at], kept[other] = kept[other], kept[at]
            del nodes[:]
            nodes.extend(kept)
        case 3:
            model.opset_import[0].version = pick(rng, [-1, 0, 1, 7, 10, 12, 13, 18, 21, 1000])
        case _:
            nodes[at].op_type = pick(rng, [*sorted(HANDLERS), *OTHERS])


def _wire(rng: Random, model: onnx.ModelProto) -> None:
    """An operand or a result that is another one, missing, or one more."""
    nodes = model.graph.node
    chosen = pick(rng, list(nodes))
    names = [name for each in nodes for name in (*each.input, *each.output)]
    side = chosen.input if chosen.input and rng.integers(4) else chosen.output
    at = int(rng.integers(len(side)))
    match int(rng.integers(5)):
        case 0:
            del side[at]
        case 1:
            side.append(pick(rng, names))
        case 2:
            side[at] = pick(rng, ["", "nothing"])
        case _:
            side[at] = pick(rng, names)


def _attribute(rng: Random, model: onnx.ModelProto) -> None:
    """An attribute with another value, another type or another name; or none."""
    having = [each for each in model.graph.node if each.attribute]
    if not having:
        return
    chosen = pick(rng, having)
    at = int(rng.integers(len(chosen.attribute)))
    name, value = chosen.attribute[at].name, onnx.helper.get_attribute_value(chosen.attribute[at])
    del chosen.attribute[at]
    if rng.integers(8) == 0:
        return
    if isinstance(value, list) and value:
        place = int(rng.integers(len(value)))
        value = [*value[:place], other_value(rng, value[place]), *value[place + int(rng.integers(2)) :]]
    else:
        value = other_value(rng, value)
    try:
        chosen.attribute.append(onnx.helper.make_attribute(name, value))
    except (ValueError, TypeError, OverflowError):
        return  # no such attribute can be written


def _constant(rng: Random, model: onnx.ModelProto) -> None:
    """A constant of another shape, another type, or other numbers."""
    entry = pick(rng, list(model.graph.initializer))
    try:
        array = onnx.numpy_helper.to_array(entry).copy()
    except (ValueError, TypeError, KeyError):
        return  # damaged already
    match int(rng.integers(6)):
        case 0:
            entry.dims.append(pick(rng, [0, 1, 2, 1 << 40, -1]))
        case 1:
            entry.data_type = pick(rng, [0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 14, 16, 99])
        case 2:
            entry.raw_data = entry.raw_data[: int(rng.integers(len(entry.raw_data)))]
        case 3:
            array = array.reshape(pick(rng, [(-1,), (*array.shape, 1), (1, *array.shape), array.shape[::-1]]))
            entry.CopyFrom(onnx.numpy_helper.from_array(array, entry.name))
        case _:
            strange = pick(rng, [0, 1, -1, 3, 127, 1e30, -1e30, np.nan, np.inf, 1 << 31, 1 << 62, -(1 << 62)])
            with np.errstate(all="ignore"):
                array.reshape(-1)[int(rng.integers(array.size))] = np.array(strange).astype(array.dtype)
            entry.CopyFrom(onnx.numpy_helper.from_array(array, entry.name))


def _input(rng: Random, model: onnx.ModelProto) -> None:
    """Another shape or type of the image."""
    kind = model.graph.input[0].type.tensor_type
    if rng.integers(4) == 0:
        kind.elem_type = pick(rng, [0, 2, 3, 7, 8, 9, 10, 11, 99])
        return
    edges = kind.shape.dim
    at = int(rng.integers(len(edges)))
    match int(rng.integers(4)):
        case 0:
            del edges[at]
        case 1:
            edges[at].dim_param = "N"
        case _:
            edges[at].dim_value = pick(rng, [0, 1, 2, 3, 7, 9, 64, 1 << 20, 1 << 31, 1 << 62, -1])
