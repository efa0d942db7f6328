"""Quantised ONNX files (QDQ): the machine's answers beside onnxruntime's, and what of the file it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnxruntime
import pytest
import torch
from torch import nn

from gatewright.compiler.frontend.exported import load_exported
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.quantise.quantise import quantise_input
from gatewright.contract.errors import GatewrightError
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.onnx_import import import_onnx
from gatewright.own_network import calibrate_own, load_own
from tests.from_onnx.files import export_onnx, quantise, write
from tests.support.exported import export, write_arrays

node = onnx.helper.make_node


class Plain(nn.Module):
    """No sums: every map's integers can be the file's."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 1),
            nn.ReLU(),
        )
        self.head = nn.Linear(16, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.layers(x).mean((2, 3)))
        return logits


def noise(count: int, size: int = 32) -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).standard_normal((count, 3, size, size)).astype(np.float32)


def theirs(path: Path, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])


def ours(path: Path, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    _, _, graph = load_own(path)
    result = run_reference(graph, quantise_input(images, graph))
    logits = [result.outputs_of(place) for place in range(len(images))]
    ((name, _),) = logits[0].items()
    return np.stack([each[name] for each in logits]) * graph.scales[name]


def files(tmp_path: Path, network: nn.Module, symmetric: bool = True) -> Path:
    torch.manual_seed(2)
    source = export_onnx(network, tmp_path / "net.onnx", 32)
    return quantise(source, tmp_path / "int8.onnx", noise(8), symmetric)


def test_a_network_without_sums_keeps_every_integer(tmp_path: Path) -> None:
    torch.manual_seed(2)
    file = files(tmp_path, Plain())
    made = import_onnx(file, tmp_path / "net.pt2")
    assert made.given is not None and not (made.given.missing or made.given.shared or made.given.coarser)
    assert len(made.given.kept) == 4
    assert made.weights == (3, 4)  # the classifier has one scale for all classes
    _, _, graph = load_own(made.path)
    stored = [onnx.numpy_helper.to_array(each) for each in onnx.load(file).graph.initializer if each.data_type == 3]
    stored = [each for each in stored if each.ndim == 4]
    mine = [layer.weight.transpose(0, 3, 1, 2) for layer in graph.layers if isinstance(layer, QuantisedConv)]
    assert len(mine) == 3 and all(any(np.array_equal(one, other) for other in stored) for one in mine)
    images = noise(16)
    expected, got = theirs(file, images), ours(made.path, images)
    assert np.abs(got - expected).max() < 0.03 * np.abs(expected).max()
    assert (got.argmax(1) == expected.argmax(1)).all()


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_residual_network_answers_as_onnxruntime(tmp_path: Path, symmetric: bool) -> None:
    torch.manual_seed(2)
    file = files(tmp_path, ResNetCifar(8), symmetric)
    if not symmetric:
        with pytest.raises(GatewrightError, match="zero point is .* --symmetric"):
            import_onnx(file, tmp_path / "net.pt2")
    made = import_onnx(file, tmp_path / "net.pt2", symmetric=not symmetric)
    assert made.given is not None and made.given.shared and bool(made.given.coarser) != symmetric
    images = noise(16)
    expected, got = theirs(file, images), ours(made.path, images)
    assert np.sqrt(((got - expected) ** 2).mean()) < 0.05 * expected.std()
    if symmetric:
        assert (got.argmax(1) == expected.argmax(1)).sum() >= 15


def test_a_relu_that_the_file_leaves_out_comes_back_without_its_scales(tmp_path: Path) -> None:
    torch.manual_seed(2)
    file = files(tmp_path, Plain(), symmetric=False)
    assert not any(each.op_type == "Relu" for each in onnx.load(file).graph.node)
    made = import_onnx(file, tmp_path / "net.pt2", as_float=True)
    assert made.given is None and not (tmp_path / "net.pt2.ranges.json").exists()
    images = noise(4)
    expected = theirs(tmp_path / "net.onnx", images)
    with torch.no_grad():
        got = np.concatenate([made.converted.network(torch.from_numpy(image[None])).numpy() for image in images])
    assert np.abs(got - expected).max() < 0.05 * np.abs(expected).max()


def test_maps_without_a_scale_are_measured_and_the_others_stay(tmp_path: Path) -> None:
    """As tools write it that quantise what convolutions read, and nothing else."""
    rng = np.random.default_rng(1)
    constants = {
        "w": rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "scales": np.array([0.01, 0.02, 0.005, 0.01], np.float32),
        "zeros": np.zeros(4, np.int8),
        "s": np.array(0.02, np.float32),
        "z": np.array(0, np.int8),
        "matrix": rng.standard_normal((4, 3)).astype(np.float32),
    }
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("DequantizeLinear", ["w", "scales", "zeros"], ["f"], axis=0),
        node("Conv", ["d", "f"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("GlobalAveragePool", ["r"], ["g"]),
        node("Flatten", ["g"], ["v"]),
        node("Gemm", ["v", "matrix"], ["y"]),
    ]
    made = import_onnx(write(tmp_path / "net.onnx", nodes, constants), tmp_path / "net.pt2")
    assert made.given is not None and made.given.kept == ("input",) and len(made.given.missing) == 1
    calibration = calibrate_own(made.path, write_arrays(tmp_path / "arrays", 16), 16)
    assert calibration.ranges["input"] == pytest.approx(0.02 * 127) and len(calibration.ranges) == 2


def test_fake_quantisation_of_a_torch_program_gives_ranges(tmp_path: Path) -> None:
    class Fake(Plain):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(torch.fake_quantize_per_tensor_affine(x, 0.03, 0, -128, 127))

    graph = load_exported(export(Fake().eval(), tmp_path / "net.pt2", torch.zeros(1, 3, 32, 32))).graph
    assert graph.rounding["input"].range == pytest.approx(0.03 * 127)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"z": np.array(3, np.int8)}, "zero point is 3"),
        ({"zeros": np.full(4, 1, np.int8)}, "weights are symmetric"),
        ({"s": np.array(-1, np.float32)}, "a scale is positive"),
        ({"s": np.full(3, 0.02, np.float32), "z": np.zeros(3, np.int8)}, "one for each map"),
        ({"z": np.array(0, np.int16)}, "int8"),
    ],
)
def test_what_the_machine_cannot_keep_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    constants = {
        "w": np.ones((4, 3, 3, 3), np.int8),
        "scales": np.full(4, 0.01, np.float32),
        "zeros": np.zeros(4, np.int8),
        "s": np.array(0.02, np.float32),
        "z": np.array(0, np.int8),
        **change,
    }
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("DequantizeLinear", ["w", "scales", "zeros"], ["f"], axis=0, name="weights"),
        node("Conv", ["d", "f"], ["c"]),
        node("Relu", ["c"], ["y"]),
    ]
    with pytest.raises(GatewrightError) as error:
        import_onnx(write(tmp_path / "net.onnx", nodes, constants, opset=21), tmp_path / "net.pt2")
    assert said in str(error.value) and "node " in str(error.value)
