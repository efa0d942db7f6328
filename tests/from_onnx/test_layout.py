"""Files whose maps have their channels last give what onnxruntime computes of them; pads go into max pools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnxruntime
import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.from_onnx.convert import Converted, convert
from tests.from_onnx.files import write

node = onnx.helper.make_node
Nodes = list[onnx.NodeProto]
TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]

CONSTANTS: dict[str, Any] = {
    "zero": np.array(0, np.float32),
    "low": np.array(-np.inf, np.float32),
    "pads": np.array([0, 1, 1, 0, 0, 1, 1, 0], np.int64),
    "behind": np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64),
    "flat": np.array([1, -1], np.int64),
    "rows of pixels": np.array([1, 64, 4], np.int64),
    "pixel": np.array([1, 1, 1, 4], np.int64),
    "scales": np.array([1, 2, 2, 1], np.float32),
    "sizes": np.array([1, 16, 16, 4], np.int64),
    "one": np.array(1, np.int64),
    "some": np.array([1], np.int64),
    "from": np.array([1, 2], np.int64),
    "to": np.array([3, 8], np.int64),
    "axes": np.array([-1, 1], np.int64),
    "middle": np.array([1, 2], np.int64),
}


def constants() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    drawn = {
        "w": (4, 3, 3, 3),
        "v": (4, 4, 1, 1),
        "mean": (3,),
        "bias": (1, 1, 1, 4),
        "matrix": (4, 4),
        "large": (256, 5),
        "turned": (5, 256),
        "offset": (5,),
    }
    return {**CONSTANTS, **{name: rng.standard_normal(shape).astype(np.float32) for name, shape in drawn.items()}}


def stem(result: str) -> Nodes:
    """A convolution in the way of TensorFlow, from ``x`` [1, 8, 8, 3] to [1, 8, 8, 4]: its nodes."""
    return [
        node("Sub", ["x", "mean"], ["centred"]),
        node("Pad", ["centred", "pads"], ["padded"]),
        node("Transpose", ["padded"], ["image"], perm=TO_FIRST),
        node("Conv", ["image", "w"], ["conv"]),
        node("Transpose", ["conv"], ["last"], perm=TO_LAST),
        node("Add", ["last", "bias"], [result]),
    ]


def conv(source: str, result: str) -> Nodes:
    return [
        node("Transpose", [source], [f"{source} first"], perm=TO_FIRST),
        node("Conv", [f"{source} first", "v"], [f"{result} first"]),
        node("Transpose", [f"{result} first"], [result], perm=TO_LAST),
    ]


def alike(tmp_path: Path, nodes: Nodes, more: dict[str, Any] | None = None, **options: Any) -> Converted:
    """The network of a file, which gives what onnxruntime computes; a map's channels come first."""
    path = write(tmp_path / "net.onnx", nodes, {**constants(), **(more or {})}, **{"shape": (1, 8, 8, 3), **options})
    made = convert(path)
    image = np.random.default_rng(2).standard_normal(options.get("shape", (1, 8, 8, 3))).astype(np.float32)
    session = onnxruntime.InferenceSession(path)
    expected = session.run(None, {"x": image})[0].astype(np.float32)
    given = image.transpose(TO_FIRST) if image.shape[3] == 3 else image
    with torch.no_grad():
        result = made.network(torch.from_numpy(np.ascontiguousarray(given))).float().numpy()
    if any("program returns them first" in note for note in made.notes):
        result = result.transpose(TO_LAST)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)
    return made


ALIKE: dict[str, Nodes] = {
    "a map": [*stem("a"), node("Relu", ["a"], ["y"])],
    "residual": [*stem("a"), *conv("a", "b"), node("Add", ["b", "a"], ["c"]), node("Relu", ["c"], ["y"])],
    "another order between": [
        *stem("a"),
        node("Transpose", ["a"], ["t"], perm=[0, 2, 1, 3]),
        node("Mul", ["t", "bias"], ["m"]),
        node("Transpose", ["m"], ["y"], perm=[0, 2, 1, 3]),
    ],
    "concat": [*stem("a"), *conv("a", "b"), node("Concat", ["b", "a"], ["y"], axis=-1)],
    "slice": [*stem("a"), node("Slice", ["a", "from", "to", "axes"], ["y"])],
    "gather, one channel": [*stem("a"), node("Gather", ["a", "one"], ["y"], axis=3)],
    "gather, a channel kept": [*stem("a"), node("Gather", ["a", "some"], ["y"], axis=3)],
    "mean": [
        *stem("a"),
        node("ReduceMean", ["a"], ["m"], axes=[1, 2], keepdims=0),
        node("MatMul", ["m", "matrix"], ["y"]),
    ],
    "largest of channels": [*stem("a"), node("ReduceMax", ["a"], ["y"], axes=[3], keepdims=0)],
    "argmax of channels": [*stem("a"), node("ArgMax", ["a"], ["g"], axis=-1), node("Cast", ["g"], ["y"], to=1)],
    "a channel gate": [
        *stem("a"),
        node("ReduceMean", ["a"], ["m"], axes=[1, 2], keepdims=1),
        node("MatMul", ["m", "matrix"], ["l"]),
        node("Greater", ["l", "zero"], ["g"]),
        node("Where", ["g", "a", "zero"], ["y"]),
    ],
    "a gate of a vector": [
        *stem("a"),
        node("ReduceMean", ["a"], ["m"], axes=[1, 2], keepdims=0),
        node("MatMul", ["m", "matrix"], ["l"]),
        node("Reshape", ["l", "pixel"], ["r"]),
        node("Add", ["a", "r"], ["b"]),
        node("Mul", ["b", "l"], ["y"]),
    ],
    "a matrix for each pixel": [*stem("a"), node("MatMul", ["a", "matrix"], ["b"]), node("Add", ["b", "bias"], ["y"])],
    "flattened, Gemm": [
        *stem("a"),
        node("Relu", ["a"], ["r"]),
        node("Reshape", ["r", "flat"], ["f"]),
        node("Gemm", ["f", "turned", "offset"], ["y"], transB=1),
    ],
    "flattened, MatMul": [
        *stem("a"),
        node("Flatten", ["a"], ["f"]),
        node("Relu", ["f"], ["r"]),
        node("MatMul", ["r", "large"], ["m"]),
        node("Add", ["m", "offset"], ["y"]),
    ],
    "squeezed": [
        *stem("a"),
        node("ReduceMean", ["a"], ["m"], axes=[1, 2], keepdims=1),
        node("Squeeze", ["m", "middle"], ["s"]),
        node("Unsqueeze", ["s", "middle"], ["u"]),
        node("Mul", ["a", "u"], ["y"]),
    ],
    "its shape": [
        *stem("a"),
        node("Shape", ["a"], ["shape"]),
        node("Reshape", ["a", "shape"], ["b"]),
        node("Relu", ["b"], ["y"]),
    ],
    "resized by scales": [
        *stem("a"),
        node("Resize", ["a", "", "scales"], ["y"], coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    ],
    "resized to sizes": [
        *stem("a"),
        node(
            "Resize", ["a", "", "", "sizes"], ["y"], coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        ),
    ],
    "pool": [
        *stem("a"),
        node("Relu", ["a"], ["r"]),
        node("Pad", ["r", "pads"], ["p"]),
        node("Transpose", ["p"], ["q"], perm=TO_FIRST),
        node("MaxPool", ["q"], ["y"], kernel_shape=[3, 3], strides=[2, 2]),
    ],
}


@pytest.mark.parametrize("case", ALIKE)
def test_channels_last_are_followed_through_a_file(tmp_path: Path, case: str) -> None:
    made = alike(tmp_path, ALIKE[case])
    assert made.shape == (3, 8, 8) and any("channels last" in note for note in made.notes)


def test_weights_that_a_file_turns_keep_their_integers(tmp_path: Path) -> None:
    """As TensorFlow's converter writes them: quantised [rows, columns, in, out], and turned before the convolution."""
    stored = np.random.default_rng(1).integers(-127, 128, (3, 3, 3, 4)).astype(np.int8)
    more = {"stored": stored, "s": np.array([0.01, 0.02, 0.03, 0.04], np.float32), "z": np.zeros(4, np.int8)}
    nodes = [
        node("DequantizeLinear", ["stored", "s", "z"], ["real"], axis=3),
        node("Transpose", ["real"], ["filters"], perm=[3, 2, 0, 1]),
        node("Transpose", ["x"], ["image"], perm=TO_FIRST),
        node("Conv", ["image", "filters"], ["y"], name="conv"),
    ]
    made = alike(tmp_path, nodes, more)
    assert torch.equal(made.network.conv.unit, torch.from_numpy(more["s"]))  # type: ignore[union-attr]


@pytest.mark.parametrize("last", [True, False])
def test_an_image_from_blue_to_red_is_taken_from_red_to_blue(tmp_path: Path, last: bool) -> None:
    """Whose mean is taken off in the file, and which is padded before the convolution."""
    more = {"each": constants()["mean"].reshape(3, 1, 1)}
    nodes = (
        stem("y") if last else [node("Sub", ["x", "each"], ["c"]), node("Conv", ["c", "w"], ["y"], auto_pad="VALID")]
    )
    shape = (1, 8, 8, 3) if last else (1, 3, 8, 8)
    path = write(tmp_path / "net.onnx", nodes, {**constants(), **more}, shape)
    image = np.random.default_rng(2).standard_normal((1, 3, 8, 8)).astype(np.float32)
    blue = np.ascontiguousarray(image[:, ::-1].transpose(TO_LAST) if last else image[:, ::-1])
    expected = onnxruntime.InferenceSession(path).run(None, {"x": blue})[0]
    with torch.no_grad():
        result = convert(path, bgr=True).network(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(result.transpose(TO_LAST) if last else result, expected, rtol=1e-4, atol=1e-4)


def test_what_may_tell_blue_from_red_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", [node("ReduceMean", ["x"], ["y"], axes=[1])], {})
    with pytest.raises(GatewrightError, match="node y .*--bgr"):
        convert(path, bgr=True)
    path = write(tmp_path / "net.onnx", [node("Relu", ["x"], ["y"])], {}, (1, 4, 8, 8))
    with pytest.raises(GatewrightError, match="4 channels"):
        convert(path, bgr=True)


CONV = [node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["r"])]
POOL = {"kernel_shape": [3, 3], "strides": [2, 2]}


@pytest.mark.parametrize(
    "nodes",
    [
        [*CONV, node("Pad", ["r", "behind"], ["p"], mode="edge"), node("MaxPool", ["p"], ["y"], **POOL)],
        [CONV[0], node("Pad", ["c", "behind"], ["p"], mode="edge"), node("MaxPool", ["p"], ["y"], **POOL)],
        [CONV[0], node("Pad", ["c", "behind", "low"], ["p"]), node("MaxPool", ["p"], ["y"], **POOL)],
        [*CONV, node("Pad", ["r", "behind"], ["p"]), node("MaxPool", ["p"], ["y"], **POOL)],
        [CONV[0], node("MaxPool", ["c"], ["y"], pads=[0, 0, 1, 1], **POOL)],
        [CONV[0], node("MaxPool", ["c"], ["y"], auto_pad="SAME_UPPER", **POOL)],
        [CONV[0], node("MaxPool", ["c"], ["y"], ceil_mode=1, **POOL)],
    ],
)
@pytest.mark.parametrize("size", [8, 9])
def test_what_is_never_the_largest_is_not_padded(tmp_path: Path, nodes: Nodes, size: int) -> None:
    made = alike(tmp_path, nodes, shape=(1, 3, size, size))
    assert not any("pad" in step.path.lower() for step in made.network.steps)


def test_a_pool_may_pad_more_before_a_map_where_no_window_is_lost(tmp_path: Path) -> None:
    nodes = [CONV[0], node("MaxPool", ["c"], ["y"], pads=[1, 1, 0, 0], **POOL)]
    alike(tmp_path, nodes, shape=(1, 3, 8, 8))
    with pytest.raises(GatewrightError, match="before and"):
        convert(write(tmp_path / "net.onnx", nodes, constants(), (1, 3, 9, 9)))


def test_a_bias_that_others_do_not_read_stays_theirs(tmp_path: Path) -> None:
    """The convolution's own result is read by another name, too."""
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Identity", ["c"], ["this"]),
        node("Identity", ["c"], ["other"]),
        node("Add", ["this", "each"], ["a"]),
        node("Sub", ["a", "other"], ["y"]),
    ]
    alike(tmp_path, nodes, {"each": np.arange(4, dtype=np.float32).reshape(4, 1, 1)}, shape=(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([*stem("a"), node("Conv", ["a", "w"], ["y"], name="/c/Conv")], "node /c/Conv (Conv): it reads a"),
        ([*stem("a"), node("Reshape", ["a", "rows of pixels"], ["y"])], "in the order [0, 2, 3, 1]"),
        (
            [*stem("a"), node("Flatten", ["a"], ["f"]), node("Softmax", ["f"], ["g"]), node("Relu", ["g"], ["y"])],
            "Softmax",
        ),
        ([*stem("a"), node("Flatten", ["a"], ["y"])], "flattened channels last"),
        ([*stem("a"), node("ReduceMean", ["a"], ["y"], axes=[1], keepdims=0)], "keepdims"),
        ([*stem("a"), node("Transpose", ["a"], ["t"], perm=[0, 2, 1, 3]), node("Add", ["a", "t"], ["y"])], "order"),
        ([*stem("a"), node("Transpose", ["a"], ["y"], perm=[0, 2, 1, 3])], "order"),
        ([*stem("a"), *conv("a", "b"), node("Add", ["b first", "a"], ["y"])], "different orders"),
    ],
)
def test_where_numbers_would_have_to_move_the_file_is_refused(tmp_path: Path, nodes: Nodes, said: str) -> None:
    with pytest.raises(GatewrightError) as error:
        convert(write(tmp_path / "net.onnx", nodes, constants(), (1, 8, 8, 3)))
    assert said in str(error.value) and "node " in str(error.value)


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([CONV[0], node("Pad", ["c", "behind"], ["p"]), node("MaxPool", ["p"], ["y"], **POOL)], "may be negative"),
        ([*CONV, node("Pad", ["r", "behind"], ["p"], mode="edge"), node("Conv", ["p", "v"], ["y"])], "at the edges"),
        ([*CONV, node("MaxPool", ["r"], ["y"], kernel_shape=[3, 3], strides=[3, 3], pads=[0, 0, 4, 4])], "4] behind"),
        (
            [*CONV, node("MaxPool", ["r"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[2, 2, 2, 2])],
            "half a window",
        ),
    ],
)
def test_pads_that_a_max_pool_cannot_leave_out_are_refused(tmp_path: Path, nodes: Nodes, said: str) -> None:
    with pytest.raises(GatewrightError) as error:
        convert(write(tmp_path / "net.onnx", nodes, constants()))
    assert said in str(error.value) and "node " in str(error.value)
