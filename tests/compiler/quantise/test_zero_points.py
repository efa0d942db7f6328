"""Maps with 255 steps behind a ReLU: which they are, what their integers stand for, and that the machine agrees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.checks import BrokenGraph
from gatewright.compiler.graph.graph import FloatGraph, QuantisedGraph
from gatewright.compiler.graph.reference import ReferenceResult, run_reference
from gatewright.compiler.graph.verify import verify_quantised
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.compiler.quantise.zero_points import zero_points
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from tests.compiler.networks import lively_mobilenet
from tests.support.chain import compare_image

EDGE, IMAGES = 9, 24


class Separable(nn.Module):
    """Three 1x1 convolutions with a depthwise one behind the first; ``variant`` says what is else with the map."""

    def __init__(self, variant: str = "", steps: int = 1) -> None:
        super().__init__()
        self.variant = variant
        self.expand = nn.Conv2d(3, 16, 1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.project = nn.Conv2d(16, 16, 3 if variant == "padded" else 1, steps, int(variant == "padded"))
        self.last = nn.Conv2d(16, 8, 1)
        self.fc = nn.Linear(16 if variant == "classified" else 8, 4)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        wide = F.relu6(self.expand(x))
        y = F.relu(self.depthwise(wide)) if self.variant == "residual" else F.relu6(self.depthwise(wide))
        if self.variant == "classified":
            pooled: Tensor = self.fc(y.mean((2, 3)))
            return pooled
        z = self.project(y)
        if self.variant == "residual":
            z = z + y
        if self.variant == "averaged":
            z = self.project(F.avg_pool2d(y, 3))
        logits: Tensor = self.fc(self.last(z).mean((2, 3)))
        return (y, logits) if self.variant == "returned" else logits


def made(variant: str = "", steps: int = 1) -> tuple[Separable, FloatGraph, np.ndarray]:
    torch.manual_seed(11)
    network = Separable(variant, steps).eval()
    with torch.no_grad():
        network.depthwise.weight *= 6  # reaches 6
    images = np.random.default_rng(3).normal(size=(IMAGES, 3, EDGE, EDGE)).astype(np.float32)
    return network, capture(network, (3, EDGE, EDGE)), images


def run(graph: FloatGraph, images: np.ndarray) -> tuple[QuantisedGraph, np.ndarray, ReferenceResult]:
    quantised = quantise(graph, calibrate(graph, images))
    inputs = quantise_input(images, quantised)
    return quantised, inputs, run_reference(quantised, inputs, keep=True)


def values(graph: QuantisedGraph, found: ReferenceResult, tensor: str) -> Tensor:
    """What a map's integers stand for, [N, C, H, W]."""
    integers = found.tensors[tensor].astype(np.float64) - graph.zeros.get(tensor, 0)
    return torch.from_numpy(integers * graph.scales[tensor]).permute(0, 3, 1, 2).float()


def real(graph: QuantisedGraph, name: str, factor: float) -> Tensor:
    """A convolution's integer weights as real ones, [O, I, KH, KW]; ``factor``: source's unit through output's."""
    layer = next(layer for layer in graph.layers if layer.name == name)
    assert isinstance(layer, QuantisedConv)
    scale = layer.requantisation.multiplier / 2.0**layer.requantisation.shift * factor
    return torch.from_numpy(layer.weight * scale[:, None, None, None]).permute(0, 3, 1, 2).float()


def test_behind_a_relu_there_are_255_steps_and_each_value_is_within_half_of_one() -> None:
    """Each layer is judged by torch in float, on the values that the integers before it stand for."""
    network, graph, images = made()
    quantised, _, found = run(graph, images)
    assert quantised.zeros == {"depthwise": -128}
    integers = found.tensors["depthwise"]
    assert integers.min() == -128 and integers.max() == 127
    scales = quantised.scales
    assert scales["depthwise"] <= 6 / 255
    for name, before, groups, most in (("depthwise", "expand", 16, 6.0), ("project", "depthwise", 1, None)):
        weight = real(quantised, name, scales[name] / scales[before])
        layer = getattr(network, name)
        bias, source = layer.bias.detach(), values(quantised, found, before)
        expected = F.conv2d(source, weight, bias, padding=layer.padding, groups=groups)
        expected = expected if most is None else expected.clamp(0, 255 * scales[name])
        error = (values(quantised, found, name) - expected.clamp(-128 * scales[name], 255 * scales[name])).abs()
        inside = expected.abs() < 127 * scales[name] if most is None else torch.ones_like(expected, dtype=torch.bool)
        largest = float(error[inside].max() / scales[name])
        assert largest < 0.52, f"{name}: {largest:.3f} steps"


@pytest.mark.parametrize("variant", ["padded", "residual", "averaged", "returned", "classified"])
def test_a_map_whose_0_the_machine_must_have_as_0_keeps_it(variant: str) -> None:
    _, graph, images = made(variant)
    assert not zero_points(graph).shifted
    quantised, _, found = run(graph, images)
    assert quantised.zeros == {} and found.tensors["depthwise"].min() == 0


def test_gated_maps_keep_it() -> None:
    """A channel or a tile that is left out is 0 in integers."""
    for network in (ResNetCifar(8, "dual"), lively_mobilenet("dual", 28, 3)):
        size = 32 if isinstance(network, ResNetCifar) else 28
        graph = capture(network, (3, size, size))
        gated = {layer.output for layer in graph.layers if getattr(layer, "gates", ()) and hasattr(layer, "output")}
        assert gated and not gated & zero_points(graph).shifted


@pytest.mark.parametrize("arch", ["ultra96", "ultra96-lean"])
@pytest.mark.parametrize("steps", [1, 2])
def test_the_machine_makes_the_bytes_of_the_reference(arch: str, steps: int) -> None:
    """With DEPTHWISE, and on the array."""
    _, graph, images = made(steps=steps)
    quantised, inputs, found = run(graph, images)
    preset: ArchConfig = PRESETS[arch]
    compared = compare_image(Compiler(quantised, preset), inputs[0], found, 0, audit=True)
    assert compared.different == ()


def test_a_filter_without_weights_is_its_bias() -> None:
    """Its scale is that of the bias, the shift by 128 steps included."""
    network, _, images = made()
    assert network.depthwise.bias is not None
    with torch.no_grad():
        network.depthwise.weight[:4] *= 1e-12
        network.depthwise.bias[:4] = torch.tensor([-1.0, 1e-7, 1.0, 5.5])
    graph = capture(network, (3, EDGE, EDGE))
    quantised, _, found = run(graph, images)
    constant = values(quantised, found, "depthwise")[:, :4].amax((0, 2, 3))
    np.testing.assert_allclose(constant, [0.0, 0.0, 1.0, 5.5], atol=0.51 * 6 / 255)


def test_a_reader_with_too_many_products_for_the_shift_is_left_alone() -> None:
    _, graph, _ = made()
    layers = list(graph.layers)
    position = next(number for number, layer in enumerate(layers) if layer.name == "project")
    wide = np.zeros((16, 1, 1, 1 << 16))
    layers[position] = replace(layers[position], weight=wide)  # type: ignore[call-arg]
    assert not zero_points(replace(graph, layers=layers)).shifted


def test_a_padded_reader_of_such_a_map_breaks_the_graph() -> None:
    _, graph, images = made()
    quantised, _, _ = run(graph, images)
    verify_quantised(quantised)
    with pytest.raises(BrokenGraph, match=r"depthwise: it reads expand, in which -128 stands for 0"):
        verify_quantised(replace(quantised, zeros={"expand": -128}))


def test_a_range_beyond_the_activation_is_refused_as_before() -> None:
    _, graph, images = made()
    with pytest.raises(GatewrightError, match="depthwise: the range of its output depthwise is 7"):
        quantise(graph, calibrate(graph, images) | {"depthwise": 7.0})
