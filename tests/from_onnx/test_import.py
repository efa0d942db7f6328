"""ONNX files become the networks that they were written from; what is not taken is refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from gatewright.cli.main import main
from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.exported import load_exported
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.models.families.mobilenet_v2.network import MobileNetV2
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.families.resnet_imagenet.network import ResNetImageNet
from gatewright.onnx_import import import_onnx
from gatewright.sim.fast.machine import simulate
from tests.from_onnx.files import export_onnx, write
from tests.support.exported import export, gated, write_arrays

node = onnx.helper.make_node
rng = np.random.default_rng(7)


def weights(*shape: int) -> np.ndarray[Any, Any]:
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def ran(path: Path, images: np.ndarray[Any, Any]) -> tuple[int, np.ndarray[Any, Any]]:
    """Cycles and logits of the first image, which are the integer reference's."""
    graph = load_exported(path).graph
    quantised = quantise(graph, calibrate(graph, images))
    sample = quantise_input(images[:1], quantised)
    expected = run_reference(quantised, sample)
    result = simulate(Compiler(quantised, load_arch("ultra96")).compile(expected.decisions_of(0), sample[0]))
    ((_, logits),) = result.outputs.items()
    assert np.array_equal(logits, next(iter(expected.outputs_of(0).values())))
    return result.cycles, logits


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: ResNetCifar(8), 32),
        (lambda: ResNetCifar(8, "dual"), 32),
        (gated, 8),
        (lambda: ResNetImageNet(18, classes=10, size=32), 32),
        (lambda: MobileNetV2(classes=10, size=32), 32),
    ],
    ids=["resnet8", "resnet8-dual", "gated", "resnet18", "mobilenet-v2"],
)
def test_a_network_by_onnx_has_the_cycles_of_the_same_by_torch(
    tmp_path: Path, make: Callable[[], nn.Module], size: int
) -> None:
    torch.manual_seed(1)
    network = make().eval()
    made = import_onnx(export_onnx(network, tmp_path / "net.onnx", size), tmp_path / "net.pt2")
    assert made.converted.difference <= 1e-4 * made.converted.largest and made.given is None
    images = rng.standard_normal((4, 3, size, size)).astype(np.float32)
    with torch.no_grad():
        one, other = (net(torch.from_numpy(images)) for net in (network, network))
        np.testing.assert_allclose(
            np.concatenate([made.converted.network(torch.from_numpy(image[None])).numpy() for image in images]),
            one.numpy(),
            atol=1e-4 * float(other.abs().max()),
        )
    direct = export(network, tmp_path / "torch.pt2", torch.zeros(1, 3, size, size))
    assert ran(made.path, images)[0] == ran(direct, images)[0]


def test_layers_have_the_names_that_torch_gave_them(tmp_path: Path) -> None:
    torch.manual_seed(1)
    made = import_onnx(export_onnx(ResNetCifar(8), tmp_path / "net.onnx", 32), tmp_path / "net.pt2")
    names = [layer.name for layer in load_exported(made.path).graph.layers]
    assert names[:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"] and "layer2.0.downsample.0" in names


def test_a_file_as_older_tools_write_it(tmp_path: Path) -> None:
    """Channels last at first, SAME pads, a Pad, BatchNormalization, Clip, MatMul and Add, a softmax, Constant nodes."""
    constants = {
        "w1": weights(8, 3, 3, 3),
        "w2": weights(8, 1, 3, 3),
        "w3": weights(8, 8, 1, 1),
        "matrix": weights(8, 5),
        "bias": weights(1, 5),
        "zero": np.array(0, np.float32),
        "six": np.array(6, np.float32),
        **{name: np.abs(weights(8, 1)[:, 0]) + 0.5 for name in ("scale", "shift", "mean", "variance")},
        "more": weights(1, 8, 1, 1),
    }
    nodes = [
        node("Transpose", ["x"], ["image"], perm=[0, 3, 1, 2]),
        node("Constant", [], ["pads"], value_ints=[0, 0, 1, 1, 0, 0, 1, 1]),
        node("Pad", ["image", "pads"], ["padded"]),
        node("Conv", ["padded", "w1"], ["a"], strides=[1, 1]),
        node("BatchNormalization", ["a", "scale", "shift", "mean", "variance"], ["b"]),
        node("Clip", ["b", "zero", "six"], ["c"]),
        node("Conv", ["c", "w2"], ["d"], group=8, auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Mul", ["d", "more"], ["e"]),
        node("Relu", ["e"], ["f"]),
        node("Conv", ["f", "w3"], ["g"]),
        node("Add", ["g", "more"], ["h"]),
        node("Relu", ["h"], ["i"]),
        node("ReduceMean", ["i"], ["j"], axes=[2, 3], keepdims=0),
        node("Shape", ["j"], ["shape"]),
        node("Reshape", ["j", "shape"], ["k"]),
        node("MatMul", ["k", "matrix"], ["l"]),
        node("Add", ["l", "bias"], ["m"]),
        node("Softmax", ["m"], ["y"]),
    ]
    made = import_onnx(
        write(tmp_path / "net.onnx", nodes, constants, ("N", 16, 16, 3), opset=13), tmp_path / "new" / "net.pt2"
    )
    assert made.converted.shape == (3, 16, 16)
    assert made.converted.difference <= 1e-5 * made.converted.largest
    said = "\n".join(made.converted.notes)
    assert "Softmax" in said and "channels last" in said and "zeros in front" in said
    cycles, logits = ran(made.path, rng.standard_normal((4, 3, 16, 16)).astype(np.float32))
    assert cycles > 0 and logits.shape == (5,)


def refusal(tmp_path: Path, nodes: list[onnx.NodeProto], constants: dict[str, Any], **options: Any) -> str:
    settings = {key: options.pop(key) for key in ("size", "outputs") if key in options}
    path = write(tmp_path / "net.onnx", nodes, constants, **options)
    with pytest.raises(GatewrightError) as error:
        import_onnx(path, tmp_path / "net.pt2", **settings)
    assert not list(tmp_path.glob("*.pt2"))
    return str(error.value)


CONV = node("Conv", ["x", "w"], ["c"], name="/stem/Conv", pads=[1, 1, 1, 1])


@pytest.mark.parametrize(
    ("nodes", "options", "said"),
    [
        ([CONV, node("Sigmoid", ["c"], ["y"], name="/act/Sigmoid")], {}, "node /act/Sigmoid (Sigmoid)"),
        ([CONV, node("LRN", ["c"], ["y"], size=3)], {}, "--output NAME"),
        ([CONV, node("Relu", ["c"], ["y"])], {"shape": ("N", 3, "H", "W")}, "--size 224x224"),
        ([CONV, node("Relu", ["c"], ["y"])], {"size": (9, 9)}, "leave --size away"),
        ([CONV, node("Relu", ["c"], ["y"])], {"shape": (1, 3, 8)}, "is [1, 3, 8]"),
        ([CONV, node("Relu", ["c"], ["y"])], {"outputs": ["z"]}, "no tensor z"),
        ([node("Conv", ["x", "x"], ["y"])], {}, "depends on the image"),
        ([CONV, node("Pad", ["c", "pads"], ["y"], mode="reflect")], {}, "pads by reflect"),
        (
            [CONV, node("Transpose", ["c"], ["t"], perm=[0, 2, 3, 1]), node("GlobalAveragePool", ["t"], ["y"])],
            {},
            "channels first",
        ),
        ([CONV, node("MaxPool", ["c"], ["y"], kernel_shape=[2, 2], pads=[0, 0, 1, 1])], {}, "before and [1, 1] behind"),
        # What the machine refuses has the name of the layer.
        ([CONV, node("MaxPool", ["c"], ["y"], kernel_shape=[5, 5], name="/big/MaxPool")], {}, "big"),
    ],
)
def test_what_is_not_taken_is_refused_with_the_node_and_what_to_do(
    tmp_path: Path, nodes: list[onnx.NodeProto], options: dict[str, Any], said: str
) -> None:
    constants = {"w": weights(4, 3, 3, 3), "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)}
    message = refusal(tmp_path, nodes, constants, **options)
    assert said in message and "net.onnx" in message


def test_no_file_or_another_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no model")
    for name in ("net.onnx", "none.onnx"):
        result = CliRunner().invoke(main, ["import", str(tmp_path / name), "-o", str(tmp_path / "net.pt2")])
        assert result.exit_code == 2 and "gatewright: error:" in result.stderr and name in result.stderr


def test_the_command_and_those_behind_it(tmp_path: Path) -> None:
    """Import, calibrate with resized photographs, compile: how images are made stays with the network."""
    from PIL import Image

    def call(*arguments: object) -> str:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    torch.manual_seed(1)
    file = export_onnx(ResNetCifar(8), tmp_path / "net.onnx", 32)
    assert "10 layers, images of 3x32x32" in call("import", file, "-o", tmp_path / "net.pt2")
    arrays = write_arrays(tmp_path / "arrays", 16, size=48)
    for number, path in enumerate(sorted(arrays.glob("*.npy"))):
        Image.fromarray(np.load(path)).save(tmp_path / "arrays" / f"{number}.png")
        path.unlink()
    call("calibrate", tmp_path / "net.pt2", "--images", arrays, "--mean", "0.5", "--std", "0.25", "--resize", "40")
    made = call("compile", tmp_path / "net.pt2", "--data", arrays, "-o", tmp_path / "program.safetensors")
    assert "instructions" in made
    refused = CliRunner().invoke(
        main, ["calibrate", str(tmp_path / "net.pt2"), "--images", str(arrays), "--resize", "20"]
    )
    assert refused.exit_code == 2 and "at least 32" in refused.stderr


class Residual(nn.Module):
    """What the file of the test below computes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = (
            nn.Conv2d(3, 16, 3, padding=1),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.Linear(16, 5),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = nn.functional.max_pool2d(torch.relu(self.stem(x)), 3, 2, ceil_mode=True)
        logits: torch.Tensor = self.head(torch.relu(self.block(pooled) + pooled).mean((2, 3)))
        return logits


def test_a_residual_network_with_channels_last_has_the_cycles_of_the_same_by_torch(tmp_path: Path) -> None:
    """Blue first, with a Transpose before and behind each convolution, and pixels repeated before the max pool."""
    torch.manual_seed(3)
    network = Residual().eval()
    constants = {name: value.numpy() for name, value in network.state_dict().items()}
    constants["stem.weight"] = np.ascontiguousarray(constants["stem.weight"][:, ::-1])
    constants |= {"matrix": np.ascontiguousarray(constants["head.weight"].T), "pads": np.array([0] * 5 + [1, 1, 0])}

    def convolution(source: str, name: str) -> list[onnx.NodeProto]:
        return [
            node("Transpose", [source], [f"{name} image"], perm=[0, 3, 1, 2]),
            node("Conv", [f"{name} image", f"{name}.weight"], [f"{name} first"], pads=[1, 1, 1, 1]),
            node("Transpose", [f"{name} first"], [f"{name} last"], perm=[0, 2, 3, 1]),
            node("Add", [f"{name} last", f"{name}.bias"], [name]),
        ]

    nodes = [
        *convolution("x", "stem"),
        node("Relu", ["stem"], ["relu"]),
        node("Pad", ["relu", "pads"], ["padded"], mode="edge"),
        node("Transpose", ["padded"], ["padded first"], perm=[0, 3, 1, 2]),
        node("MaxPool", ["padded first"], ["pool first"], kernel_shape=[3, 3], strides=[2, 2]),
        node("Transpose", ["pool first"], ["pool"], perm=[0, 2, 3, 1]),
        *convolution("pool", "block"),
        node("Add", ["block", "pool"], ["sum"]),
        node("Relu", ["sum"], ["last"]),
        node("ReduceMean", ["last"], ["mean"], axes=[1, 2], keepdims=0),
        node("MatMul", ["mean", "matrix"], ["product"]),
        node("Add", ["product", "head.bias"], ["y"]),
    ]
    file = write(tmp_path / "net.onnx", nodes, constants, (1, 16, 16, 3))
    made = import_onnx(file, tmp_path / "net.pt2", bgr=True)
    images = rng.standard_normal((4, 3, 16, 16)).astype(np.float32)
    with torch.no_grad():
        taken, wanted = (net(torch.from_numpy(images[:1])).numpy() for net in (made.converted.network, network))
    np.testing.assert_allclose(taken, wanted, atol=1e-5)
    direct = export(network, tmp_path / "torch.pt2", torch.zeros(1, 3, 16, 16))
    one, other = (ran(path, images) for path in (made.path, direct))
    assert one[0] == other[0] and np.array_equal(one[1], other[1])


def test_what_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    (file := tmp_path / "file").write_text("")
    with pytest.raises(GatewrightError, match=f"cannot write {file}/net.pt2: "):
        import_onnx(tmp_path / "absent.onnx", file / "net.pt2")
