"""Calibration and quantisation: close to the float network, one scale per stream, provable sums."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.flips import flip_report
from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.graph.graph import FloatGraph, TensorShape
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.kinds.classifier import FloatClassifier
from gatewright.compiler.kinds.convolution import FloatConv, QuantisedConv
from gatewright.compiler.kinds.convolution_form import Convolution
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.kinds.spatial_gate import FloatSpatialGate, QuantisedSpatialGate
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.compiler.quantise.streams import pooling_tiles
from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.gates.kinds import Gating
from tests.compiler.networks import lively_resnet, random_images


@pytest.mark.parametrize("gating", ["dual", "spatial", "channel", "none"])
def test_int8_follows_the_float_network(gating: Gating) -> None:
    graph = capture(lively_resnet(gating), (3, 16, 16))
    images = random_images(48)
    quantised = quantise(graph, calibrate(graph, CIFAR10.normalise(images[:24])))
    expected = run_float(graph, CIFAR10.normalise(images))
    result = run_reference(quantised, quantise_input(CIFAR10.normalise(images), quantised))
    flips = flip_report(expected.decisions, result.decisions)
    assert flips.overall < 0.03, flips
    # A flipped gate changes a random network's logits at once, so closeness is asked of images without flips.
    flipped = np.zeros(len(images), bool)
    for name, decided in expected.decisions.items():
        flipped |= (decided != result.decisions[name]).reshape(len(images), -1).any(1)
    assert (~flipped).sum() >= 5
    logits = result.logits * quantised.scales["fc"]
    error = np.sqrt(((logits - expected.logits)[~flipped] ** 2).mean())
    assert error < 0.06 * expected.logits.std()


def test_a_residual_stream_has_one_scale_and_its_pooled_maps_too() -> None:
    graph = capture(ResNetCifar(14, "dual", size=16), (3, 16, 16))
    ranges = calibrate(graph, CIFAR10.normalise(random_images(4)))
    quantised = quantise(graph, ranges)
    stages = {
        0: ["conv1", "layer1.0.conv2", "layer1.1.conv2"],
        1: ["layer2.0.downsample.0", "layer2.0.conv2", "layer2.1.conv2"],
        2: ["layer3.0.downsample.0", "layer3.0.conv2", "layer3.1.conv2"],
    }
    for stream in stages.values():
        assert len({quantised.scales[name] for name in stream}) == 1
    assert quantised.scales["layer1.0.conv1"] != quantised.scales["conv1"]
    # Skipped tiles keep their pooled average, so all pooled maps of a stream are computed alike.
    poolings = [layer for layer in quantised.layers if isinstance(layer, Pooling)]
    first = [(p.tile, p.multiplier, p.shift) for p in poolings if p.source in stages[0]]
    assert len(first) == 3 and len(set(first)) == 1
    assert "layer3.1.conv2" not in {p.source for p in poolings}, "no gate looks at the last map"


def test_pooling_follows_its_map_and_serves_all_gates() -> None:
    graph = capture(ResNetCifar(8, "dual"))
    quantised = quantise(graph, calibrate(graph, CIFAR10.normalise(random_images(2, 32))))
    names = [layer.name for layer in quantised.layers]
    assert names.count("layer1.0.conv2.pooled") == 1
    assert names.index("layer1.0.conv2.pooled") == names.index("layer1.0.conv2") + 1
    gates = {layer.name: layer for layer in quantised.layers if isinstance(layer, QuantisedSpatialGate)}
    fine, coarse = gates["layer2.0.mask_s"], gates["layer3.0.mask_s"]
    assert (fine.weight.shape, fine.stride, fine.padding) == ((1, 3, 3, 16), 1, 1)
    assert (coarse.weight.shape, coarse.stride, coarse.padding) == ((1, 6, 6, 32), 2, 2)
    assert quantised.shapes["layer2.0.conv2.pooled"] == TensorShape(32, 8, 8)
    # A bin's average is the sum of its pooled tiles over their number: so much is one unit of a logit worth.
    floats = {layer.name: layer for layer in graph.layers if isinstance(layer, FloatSpatialGate)}
    for name, tiles_in_bin in (("layer2.0.mask_s", 1), ("layer3.0.mask_s", 4)):
        step = np.abs(floats[name].weight).max() / 127 * quantised.scales[gates[name].source]
        assert gates[name].bias == round(floats[name].bias * tiles_in_bin / step) != 0


def test_pooling_tiles_of_ungated_writers() -> None:
    assert set(pooling_tiles(capture(ResNetCifar(8, "channel"))).values()) == {8}
    assert pooling_tiles(capture(ResNetCifar(8, "spatial")))["conv1"] == 4


def _one_layer(weight: np.ndarray, bias: np.ndarray, channels: int, size: int = 1) -> FloatGraph:
    conv = FloatConv("conv", "input", "conv", 1, weight.shape[1] // 2, False, weight=weight, bias=bias)
    head = FloatClassifier("fc", "conv", "fc", np.ones((2, len(weight))), np.zeros(2))
    shapes = {"input": TensorShape(channels, size, size), "conv": TensorShape(len(weight), size, size)}
    return FloatGraph("input", [conv, head], shapes)


def test_weights_use_all_levels_of_each_channel() -> None:
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(4, 3, 3, 6)) * np.array([1e-3, 1.0, 30.0, 1e-9])[:, None, None, None]
    graph = quantise(_one_layer(weight, np.array([0.1, -2.0, 3.0, 0.0]), 6), {"input": 2.0, "conv": 4.0})
    conv = graph.layers[0]
    assert isinstance(conv, QuantisedConv)
    assert np.abs(conv.weight).reshape(4, -1).max(1).tolist() == [127] * 4
    # Each layer's real factor and bias come back from its integers.
    factor = conv.requantisation.multiplier / 2.0**conv.requantisation.shift
    restored = conv.weight * (factor * graph.scales["conv"] / graph.scales["input"])[:, None, None, None]
    np.testing.assert_allclose(restored[:3], weight[:3], atol=np.abs(weight[:3]).max() / 127 * 0.51)
    unit = factor * graph.scales["conv"]
    error = np.abs(conv.requantisation.bias * unit - [0.1, -2.0, 3.0, 0.0])
    assert (error <= 0.5 * unit + 1e-4 * 3).all(), "biases are rounded to accumulator units"


def test_a_channel_of_almost_zero_weights_keeps_its_bias() -> None:
    weight = np.full((2, 1, 1, 4), 1e-14)
    graph = quantise(_one_layer(weight, np.array([1.0, -1.5]), 4), {"input": 1.0, "conv": 2.0})
    result = run_reference(graph, np.full((1, 1, 1, 4), 127, np.int8), keep=True)
    np.testing.assert_allclose(result.tensors["conv"][0, 0, 0] * graph.scales["conv"], [1.0, -1.5], atol=0.5 * 2 / 127)


def test_a_sum_that_could_leave_int32_is_refused() -> None:
    channels = 14700  # 9 * 14700 * 127 * 128 > 2**31
    graph = _one_layer(np.ones((1, 3, 3, channels)), np.zeros(1), channels)
    with pytest.raises(GatewrightError, match="layer conv: filter 0's weights add up to 16,802,100, .*int32"):
        quantise(graph, {"input": 1.0, "conv": 1.0})


def test_a_long_sum_of_small_weights_cannot_leave_int32() -> None:
    """As many products: of weights of which one in ten is large."""
    channels = 8190
    weight = (
        np.where(np.arange(channels) % 10 == 0, 1.0, 0.1)[None, None, None].repeat(5, 1).repeat(5, 2)
    )  # 25 * 8190 * 127 * 128 > 2**31
    quantised = quantise(_one_layer(weight, np.zeros(1), channels), {"input": 1.0, "conv": 1.0})
    conv = quantised.layers[0]
    assert isinstance(conv, QuantisedConv) and int(np.abs(conv.weight.astype(np.int64)).sum()) * 128 < 2**31


def test_ranges_must_be_there_and_agree() -> None:
    graph = capture(ResNetCifar(8, "none", size=8), (3, 8, 8))
    ranges = calibrate(graph, CIFAR10.normalise(random_images(2, 8)))
    with pytest.raises(GatewrightError, match=r"tensor layer2\.0\.conv1 has no usable range"):
        quantise(graph, {name: value for name, value in ranges.items() if name != "layer2.0.conv1"})
    with pytest.raises(GatewrightError, match=r"conv1 has no usable range \(0\.0\)"):
        quantise(graph, {**ranges, "conv1": 0.0})
    for value in (float("nan"), float("inf"), -1.0, True, "2.5", None, 1e-45):
        with pytest.raises(GatewrightError, match=r"conv1 has no usable range"):
            quantise(graph, {**ranges, "conv1": value})  # type: ignore[dict-item]
    with pytest.raises(GatewrightError, match=r"ranges of conv3, fc: the network has no such tensors"):
        quantise(graph, {**ranges, "conv3": 1.0, "fc": 1.0})
    with pytest.raises(GatewrightError, match=r"layer1\.0\.conv2: the range of its residual conv1"):
        quantise(graph, {**ranges, "conv1": 2 * ranges["conv1"]})


def test_pooled_maps_of_a_stream_have_one_range() -> None:
    """A skipped tile keeps the average that the map before it left."""
    graph = capture(ResNetCifar(8, "dual", size=16), (3, 16, 16))
    ranges = calibrate(graph, CIFAR10.normalise(random_images(2)))
    assert ranges["conv1.pooled"] == ranges["layer1.0.conv2.pooled"]
    with pytest.raises(
        GatewrightError, match=r"layer1\.0\.conv2\.pooled has range .*conv1\.pooled of the same residual"
    ):
        quantise(graph, {**ranges, "layer1.0.conv2.pooled": 2 * ranges["conv1.pooled"]})


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("field", ["weight", "bias"])
def test_a_weight_that_is_not_finite_is_refused(value: float, field: str) -> None:
    graph = _one_layer(np.ones((2, 1, 1, 3)), np.zeros(2), 3)
    getattr(graph.layers[0], field).flat[1] = value
    with pytest.raises(GatewrightError, match=f"layer conv: {field} is not finite"):
        quantise(graph, {"input": 1.0, "conv": 1.0})


def test_a_weight_that_is_not_real_is_refused() -> None:
    graph = _one_layer(np.ones((2, 1, 1, 3), np.complex128), np.zeros(2), 3)
    with pytest.raises(GatewrightError, match="layer conv: weight is complex128; weights are real"):
        quantise(graph, {"input": 1.0, "conv": 1.0})


def test_calibration_refuses_unusable_images() -> None:
    graph = capture(ResNetCifar(8, "none", size=8), (3, 8, 8))
    with pytest.raises(GatewrightError, match=r"shape \[2, 3, 16, 16\]"):
        calibrate(graph, CIFAR10.normalise(random_images(2, 16)))
    broken = CIFAR10.normalise(random_images(1, 8))
    broken[0, 0, 0, 0] = np.nan
    with pytest.raises(GatewrightError, match="tensor input is not finite"):
        calibrate(graph, broken)


def test_clipping_is_chosen_by_squared_error() -> None:
    # One outlier among many small values: clipping it would cost more than the levels it takes.
    graph = _one_layer(np.ones((1, 1, 1, 1)), np.zeros(1), 1, size=32)
    images = np.random.default_rng(6).normal(size=(4, 1, 32, 32)).astype(np.float32)
    ranges = calibrate(graph, images)
    assert ranges["input"] == ranges["conv"]

    def error(clip: float) -> float:
        step = clip / 127
        return float(((np.clip(np.rint(images / step), -127, 127) * step - images) ** 2).mean())

    largest = float(np.abs(images).max())
    assert error(ranges["input"]) <= 1.02 * min(error(clip) for clip in np.linspace(0.2, 1.2, 60) * largest)
    assert ranges["input"] < largest


def test_input_is_normalised_rounded_and_saturated() -> None:
    graph = quantise(_one_layer(np.ones((1, 1, 1, 3)), np.zeros(1), 3), {"input": 1.0, "conv": 1.0})
    values = np.array([[[[0, 128, 255]]], [[[120, 60, 200]]]], np.uint8)
    expected = np.empty(values.shape, int)
    for index in np.ndindex(values.shape):
        real = (int(values[index]) / 255 - CIFAR10.mean[index[-1]]) / CIFAR10.std[index[-1]] * 127
        expected[index] = max(-128, min(127, round(real)))
    np.testing.assert_array_equal(quantise_input(CIFAR10.normalise(values), graph), expected)
    assert expected.min() == -128 and expected.max() == 127
    with pytest.raises(GatewrightError, match=r"uint8.*takes normalised float32 \[N, 3, 1, 1\]"):
        quantise_input(values, graph)  # type: ignore[arg-type]


def test_flip_report_counts_by_gate_and_overall() -> None:
    before = {"a": np.array([[True, False, True, True]]), "b": np.ones((1, 2, 6), bool)}
    after = {"a": np.array([[True, True, True, True]]), "b": before["b"].copy()}
    after["b"][0, 1, :3] = False
    report = flip_report(before, after)
    assert report.gates == {"a": 0.25, "b": 0.25} and report.overall == 0.25
    assert flip_report({}, {}).overall == 0
    with pytest.raises(GatewrightError, match="a is on one side only"):
        flip_report(before, {"b": after["b"]})
    with pytest.raises(GatewrightError, match="gate a"):
        flip_report(before, {**after, "a": after["a"][:, :2]})


def test_ranges_do_not_depend_on_the_order_of_images() -> None:
    graph = capture(lively_resnet("dual", seed=7), (3, 16, 16))
    images = CIFAR10.normalise(random_images(8))
    ranges, reverse = calibrate(graph, images), calibrate(graph, images[::-1])
    assert ranges.keys() == reverse.keys()
    for name, value in ranges.items():
        assert value == pytest.approx(reverse[name], rel=0.02), name


def test_quantised_layers_keep_the_graph() -> None:
    graph = capture(lively_resnet("dual"), (3, 16, 16))
    quantised = quantise(graph, calibrate(graph, CIFAR10.normalise(random_images(2))))
    assert [la.name for la in quantised.layers if not isinstance(la, Pooling)] == [la.name for la in graph.layers]
    floats = {layer.name: layer for layer in graph.layers if isinstance(layer, FloatConv)}
    for layer in quantised.layers:
        if isinstance(layer, QuantisedConv):
            for field in fields(Convolution):
                assert getattr(layer, field.name) == getattr(floats[layer.name], field.name)
