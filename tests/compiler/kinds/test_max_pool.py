"""The max pool: against torch in both graphs, in its convolution's scale, refused where it cannot ride on one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.checks import BrokenGraph
from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.graph.graph import QuantisedGraph, TensorShape
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.compiler.graph.verify import verify_quantised
from gatewright.compiler.kinds.max_pool import QuantisedMaxPool
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.allocate import allocate_scratchpad
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.gates.kinds import Gating
from tests.compiler.kinds.pooled_networks import Gated, Pooled, Shared, made, resnet
from tests.compiler.naive import evaluate
from tests.compiler.networks import lively, random_images
from tests.support.chain import compare_image


@pytest.mark.parametrize("beyond", [False, True])
@pytest.mark.parametrize(("window", "padding"), [(2, 0), (2, 1), (3, 0), (3, 1)])
@pytest.mark.parametrize(("relu", "size"), [(True, 15), (False, 16)])
def test_it_is_torchs_max_pool_in_both_graphs(window: int, padding: int, beyond: bool, relu: bool, size: int) -> None:
    network = lively(Pooled(window, padding, relu, beyond), 4)
    graph, quantised, images = made(network, size)
    inputs = quantise_input(images, quantised)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(run_float(graph, images).logits, expected, atol=1e-5)
    tensors = run_reference(quantised, inputs, keep=True).tensors
    before = tensors["first"]
    assert relu or (before < 0).any()
    maximum = F.max_pool2d(torch.from_numpy(before).permute(0, 3, 1, 2).float(), window, 2, padding, ceil_mode=beyond)
    np.testing.assert_array_equal(tensors["first.max_pool"], maximum.permute(0, 2, 3, 1).numpy())
    assert quantised.scales["first.max_pool"] == quantised.scales["first"]


def test_padding_is_never_the_maximum() -> None:
    """Also where all that a window holds is the least value there is."""
    _, quantised, images = made(lively(Pooled(3, 1, False), 4), 16)
    layers = [
        replace(layer, requantisation=replace(layer.requantisation, bias=np.full(6, -(1 << 30))))  # type: ignore[attr-defined]
        if layer.name == "first"
        else layer
        for layer in quantised.layers
    ]
    tensors = run_reference(replace(quantised, layers=layers), quantise_input(images, quantised), keep=True).tensors
    assert (tensors["first.max_pool"] == -128).all()


@pytest.mark.parametrize("gating", ["none", "dual", "spatial", "channel"])
def test_a_gated_block_on_a_max_pool_equals_plain_integers(gating: Gating) -> None:
    _, quantised, images = made(lively(Gated(gating), 8), 16, 4)
    inputs = quantise_input(images, quantised)
    result = run_reference(quantised, inputs, keep=True)
    for position, image in enumerate(inputs):
        tensors, decisions, logits = evaluate(quantised, image)
        for name, expected in tensors.items():
            np.testing.assert_array_equal(result.tensors[name][position], expected, err_msg=name)
        for name, expected in decisions.items():
            np.testing.assert_array_equal(result.decisions[name][position], expected, err_msg=name)
        assert result.logits[position].tolist() == logits


def test_a_gated_sum_on_a_max_pool_without_relu_is_refused() -> None:
    """Where its tiles are skipped nobody would apply the sum's ReLU."""
    with pytest.raises(GatewrightError, match=r"layer block\.conv2: its residual first\.max_pool has no ReLU"):
        capture(Gated("spatial", relu=False), (3, 16, 16))


@pytest.mark.parametrize("gating", ["none", "dual"])
def test_a_resnet_18_in_integers(gating: Gating) -> None:
    """The pool stands behind its convolution and its averages behind it; they share the first stage's scale."""
    network, quantised = resnet(gating)
    names = [layer.name for layer in quantised.layers]
    assert names[:2] == ["conv1", "conv1.max_pool"]
    assert (names[2] == "conv1.max_pool.pooled") == (gating != "none")
    pool = quantised.layers[1]
    assert isinstance(pool, QuantisedMaxPool) and pool.rides_on(quantised) is quantised.layers[0]
    assert counted_macs(quantised, None) == network.dense_macs() == counted_macs(without_gates(quantised), None)
    stream = ["conv1", "conv1.max_pool", "layer1.0.conv2", "layer1.1.conv2"]
    assert len({quantised.scales[name] for name in stream}) == 1


def test_the_range_is_that_of_the_map_behind_the_pool() -> None:
    """Values that the pool drops move no clip: the range is that of a network whose stem is pooled by hand."""
    network = Pooled(2, 0, False)
    with torch.no_grad():
        network.first.weight.zero_()
        network.first.weight[:, 0, 1, 1] = 1.0
        network.first.bias.zero_()  # type: ignore[union-attr]
    network.norm.eval()
    images = np.zeros((2, 3, 16, 16), np.float32)
    images[:, 0, ::2, ::2] = np.random.default_rng(1).uniform(0.5, 1, (2, 8, 8))
    images[:, 0, 1::2, 1::2] = -100
    ranges = calibrate(capture(network, (3, 16, 16)), images)
    assert ranges["first"] == ranges["first.max_pool"] <= 1.01


def test_pool_and_averages_of_its_map_have_places_of_their_own() -> None:
    """They are written while the convolution runs, and the pool's map is where the first block adds."""
    _, quantised = resnet("dual")
    pool, pooling = quantised.layers[1:3]
    assert isinstance(pooling, Pooling) and pool.in_place_of(quantised) is pooling.in_place_of(quantised) is None
    assert pool.begun_with(quantised) == ("conv1",) and pooling.begun_with(quantised) == ("conv1.max_pool",)
    second = next(layer for layer in quantised.layers if layer.name == "layer1.0.conv2.pooled")
    assert second.in_place_of(quantised) == "conv1.max_pool.pooled"
    addresses = allocate_scratchpad(quantised, PRESETS["ultra96"], 3 * 64 * 64).addresses
    assert addresses["conv1.max_pool"] == addresses["layer1.0.conv2"]
    taken = [("conv1", 32 * 32 * 64), ("conv1.max_pool", 16 * 16 * 64), ("conv1.max_pool.pooled", 4 * 64)]
    for (one, size), (other, length) in [(a, b) for a in taken for b in taken if a is not b]:
        assert addresses[one] + size <= addresses[other] or addresses[other] + length <= addresses[one]


@pytest.mark.parametrize(
    ("window", "padding", "size", "beyond"),
    [
        (2, 0, 32, False),
        (2, 1, 32, False),
        (3, 0, 32, False),
        (3, 1, 32, False),
        (3, 1, 30, False),
        (3, 0, 32, True),
        (3, 0, 30, True),
    ],
)
def test_the_machine_pools_as_the_reference_does(window: int, padding: int, size: int, beyond: bool) -> None:
    """Bytes of every map, with the map before the pool whole, and as a ring of rows with the image in another.

    Rows of 30 pixels are no whole beats: eight come together.
    """
    _, quantised, images = made(lively(Pooled(window, padding, True, beyond), 4), size)
    inputs = quantise_input(images, quantised)
    reference = run_reference(quantised, inputs, keep=True)
    rings = []
    for kib in (256, 4):
        compiler = Compiler(quantised, replace(PRESETS["4x4"], scratchpad_kib=kib))
        rings.append(set(compiler.image.ring_bytes))
        assert compare_image(compiler, inputs[0], reference, 0, audit=True).different == ()
    assert rings == [set(), {"first", "input"}]


@pytest.mark.parametrize("scratchpad_kib", [256, 32])
@pytest.mark.parametrize("gating", ["none", "dual"])
def test_a_resnet_18_for_small_images_equals_the_reference(gating: Gating, scratchpad_kib: int) -> None:
    """Streamed filters, max pool, averages, summed vectors; with the small scratchpad also bands and rings."""
    _, quantised = resnet(gating)
    inputs = quantise_input(CIFAR10.normalise(random_images(1, 64)), quantised)
    reference = run_reference(quantised, inputs, keep=True)
    compiler = Compiler(quantised, replace(PRESETS["ultra96"], scratchpad_kib=scratchpad_kib))
    assert len(compiler.image.blocks) == (0 if scratchpad_kib == 256 else 3)
    assert compare_image(compiler, inputs[0], reference, 0).different == ()


@pytest.mark.parametrize("changed", ["first", "first.max_pool"])
def test_a_maximum_of_another_range_is_refused(changed: str) -> None:
    graph = capture(Pooled(3, 1, True), (3, 16, 16))
    ranges = calibrate(graph, CIFAR10.normalise(random_images(2)))
    with pytest.raises(GatewrightError, match=r"max pool first\.max_pool: the range of its input first is"):
        quantise(graph, {**ranges, changed: 2 * ranges[changed]})


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("image", r"layer input\.max_pool: it pools input, of the image; a max pool must follow a convolution"),
        (
            "twice",
            r"layer stem\.max_pool\.max_pool: it pools stem\.max_pool, of stem\.max_pool; .*follow a convolution",
        ),
        ("channels", r"layer middle\.max_pool: it .*convolution middle, which .*excite"),
        ("tiles", r"layer middle\.max_pool: it .*convolution middle, which .*gate"),
        ("residual", r"layer middle\.max_pool: it pools the output of convolution middle, which has residual stem"),
        ("looked at", r"layer stem\.max_pool: it pools the output of convolution stem, which excite reads too"),
    ],
)
def test_it_rides_on_a_convolution_of_its_own_or_is_refused(what: str, message: str) -> None:
    with pytest.raises(GatewrightError, match=message):
        capture(Shared(what), (3, 16, 16))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda graph: _changed(graph, window=4), "there is no max pool of 4 pixels with padding 1"),
        (lambda graph: _changed(graph, padding=2), "there is no max pool of 3 pixels with padding 2"),
        (
            lambda graph: replace(graph, shapes={**graph.shapes, "first.max_pool": TensorShape(6, 7, 8)}),
            "its windows do not make",
        ),
        (
            lambda graph: replace(graph, scales={**graph.scales, "first.max_pool": 1.0}),
            "its output has another scale than first",
        ),
    ],
)
def test_a_pool_that_a_stage_of_ours_broke_is_named(change: Any, message: str) -> None:
    _, quantised, _ = made(Pooled(3, 1, True).eval(), 16)
    verify_quantised(quantised)
    with pytest.raises(BrokenGraph, match=f"layer first.max_pool: {message}"):
        verify_quantised(change(quantised))


def _changed(graph: QuantisedGraph, **changes: int) -> QuantisedGraph:
    layers = [
        replace(layer, **changes) if isinstance(layer, QuantisedMaxPool) else layer  # type: ignore[arg-type]
        for layer in graph.layers
    ]
    return replace(graph, layers=layers)
