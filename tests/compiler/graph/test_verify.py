"""Each rule of a legal graph, broken once; networks that break one are refused where they enter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.checks import BrokenGraph
from gatewright.compiler.graph.graph import FloatGraph, QuantisedGraph, TensorShape
from gatewright.compiler.graph.verify import verify_float, verify_quantised
from gatewright.compiler.kinds.channel_gate import FloatChannelGate
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from tests.compiler.networks import lively, lively_bottleneck, lively_resnet
from tests.support.graphs import resnet_graph

Graph = FloatGraph | QuantisedGraph
Change = Callable[[Any], Any]


def changed(name: str, /, **changes: object) -> Change:
    """The graph with fields of one layer changed."""

    def change(graph: Graph) -> Graph:
        layers = [replace(la, **changes) if la.name == name else la for la in graph.layers]  # type: ignore[arg-type]
        assert any(new is not old for new, old in zip(layers, graph.layers, strict=True))
        return replace(graph, layers=layers)  # type: ignore[arg-type]

    return change


def moved(name: str, to: int) -> Change:
    """The graph with one layer at another place."""

    def change(graph: Graph) -> Graph:
        layers: list[Any] = list(graph.layers)
        layer = next(la for la in layers if la.name == name)
        layers.remove(layer)
        layers.insert(to, layer)
        return replace(graph, layers=layers)

    return change


def without(name: str) -> Change:
    """The graph without one layer."""
    return lambda graph: replace(graph, layers=[la for la in graph.layers if la.name != name])


def shaped(tensor: str, shape: TensorShape) -> Change:
    return lambda graph: replace(graph, shapes={**graph.shapes, tensor: shape})


def number(name: str, field: str, value: int) -> Change:
    """The graph with one number of a layer's requantisation changed."""

    def change(graph: QuantisedGraph) -> QuantisedGraph:
        layer: Any = next(la for la in graph.layers if la.name == name)
        values = getattr(layer.requantisation, field).copy()
        values[-1] = value
        return changed(name, requantisation=replace(layer.requantisation, **{field: values}))(graph)

    return change


def coarser(name: str) -> Change:
    """The graph with a spatial gate for 3x3 cells of a map of 4x4 tiles."""

    def change(graph: Graph) -> Graph:
        kernel: dict[str, object] = {}
        if isinstance(graph, QuantisedGraph):
            kernel = {"weight": np.zeros((1, 2, 2, 16), np.int8), "padding": 0}
        return changed(name, grid=(3, 3), **kernel)(graph)  # type: ignore[no-any-return]

    return change


NETWORK: dict[str, tuple[Change, str]] = {
    "no classifier": (without("fc"), "must end in what it returns: a classifier"),
    "a classifier in the middle": (moved("fc", 3), "must end in what it returns: a classifier"),
    "a gated sum with a residual that is read again": (
        changed("layer1.0.conv2", elsewhere=True),
        r"layer layer1\.0\.conv2: its residual conv1 is read again later, and gate layer1\.0\.mask_s skips a part",
    ),
    "a residual without ReLU under a gated sum": (
        changed("conv1", relu=False),
        r"layer layer1\.0\.conv2: its residual conv1 has no ReLU",
    ),
    "a shortcut that another layer reads": (
        changed("layer2.1.conv1", source="layer2.0.downsample.0"),
        r"layer layer2\.0\.downsample\.0: .*residual of layer2\.0\.conv2, and layer2\.1\.conv1 reads it too",
    ),
    "a classifier of a masked map": (
        changed("fc", source="layer3.1.conv1"),
        r"layer fc: it reads the output of convolution layer3\.1\.conv1, which is masked by layer3\.1\.mask_c and "
        r"layer3\.1\.mask_s",
    ),
    "a masked residual": (
        changed("layer1.1.conv2", residual="layer1.0.conv1"),
        r"layer layer1\.1\.conv2: it reads the output of convolution layer1\.0\.conv1, which is masked",
    ),
}
"""What both graphs refuse, as a fault of the network."""

OURS: dict[str, tuple[Change, str]] = {
    "two layers of one name": (changed("layer1.0.conv1", name="conv1"), "layer conv1: two layers"),
    "two layers that write one tensor": (changed("layer1.0.conv1", output="conv1"), "layer conv1: two layers"),
    "a residual in place that is read again": (
        changed("layer1.1.conv2", residual="conv1"),
        r"layer1\.0\.conv2: its residual conv1 is read again, by layer1\.1\.conv2",
    ),
    "a coarse residual in place": (changed("layer1.0.conv2", upsample=1), r"layer1\.0\.conv2: its residual conv1 has"),
    "a map read before it is written": (moved("conv1", 6), "it reads conv1, which no layer before it writes"),
    "a gate after its use": (moved("layer1.0.mask_s", -1), r"layer1\.0\.mask_s, which is no spatial gate before it"),
    "a channel gate after its use": (moved("layer1.0.mask_c", -1), "which is no channel gate before it"),
    "a gate of the other kind": (
        changed("layer1.0.conv1", output_tiles="layer1.0.mask_c"),
        r"layer1\.0\.mask_c, which is no spatial gate before it",
    ),
    "a map without a shape": (
        lambda graph: replace(graph, shapes={n: s for n, s in graph.shapes.items() if n != "conv1"}),
        "layer conv1: the graph has no shape",
    ),
    "a wrong output shape": (shaped("layer1.0.conv1", TensorShape(16, 8, 9)), r"layer layer1\.0\.conv1: weights"),
    "a convolution of other channels": (shaped("input", TensorShape(4, 16, 16)), "layer conv1: weights"),
    "a classifier of other channels": (changed("fc", weight=np.zeros((10, 63), np.int8)), "layer fc: weights"),
    "a grid that does not cover its map": (
        coarser("layer1.0.mask_s"),
        r"layer layer1\.0\.conv1: the mask of layer1\.0\.mask_s does not fit layer1\.0\.conv1",
    ),
    "a channel gate with too few bits": (
        changed("layer1.0.mask_c", weight=np.zeros((15, 4), np.int8), bias=np.zeros(15, np.int64)),
        r"layer layer1\.0\.conv1: the mask of layer1\.0\.mask_c does not fit",
    ),
    "a channel gate of another map": (
        changed("layer2.0.mask_c", hidden_weight=np.zeros((4, 17), np.int8)),
        r"layer layer2\.0\.mask_c: its two matrices",
    ),
    "a spatial gate of another map": (
        changed("layer2.0.mask_s", weight=np.zeros((1, 3, 3, 17), np.int8)),
        r"layer layer2\.0\.mask_s: weights \[1, 3, 3, 17\]",
    ),
    "a mask of the input that is not said": (
        changed("layer1.0.conv2", input_channels=None),
        r"layer layer1\.0\.conv2: its input layer1\.0\.conv1 is masked by",
    ),
    "a residual of another shape": (
        changed("layer2.0.conv2", residual="layer1.1.conv2"),
        r"layer layer2\.0\.conv2: its residual layer1\.1\.conv2 has another shape",
    ),
    "a shortcut with a ReLU": (changed("layer2.0.downsample.0", relu=True), "no shortcut that"),
    "a shortcut completed by a layer that does not add it": (
        changed("layer2.0.downsample.0", completed_by="layer2.1.conv2"),
        r"it is no shortcut that layer2\.1\.conv2 completes",
    ),
}
"""What only a stage of ours can break, in both graphs."""

QUANTISED: dict[str, tuple[Change, str]] = {
    "a gate on a map that is not pooled": (
        changed("layer1.0.mask_c", source="conv1"),
        r"layer layer1\.0\.mask_c: it looks at conv1, which is no pooled map",
    ),
    "a residual of another scale": (
        lambda graph: replace(graph, scales={**graph.scales, "conv1": 0.5}),
        r"layer layer1\.0\.conv2: its residual conv1 has another scale",
    ),
    "a pooling that does not follow its map": (
        moved("layer2.0.downsample.0", 11),
        r"layer layer1\.1\.conv2\.pooled: it does not follow the convolution or max pool that writes layer1\.1\.conv2",
    ),
    "a grid that its kernel does not make": (
        changed("layer1.0.mask_s", stride=2, padding=2),
        r"layer layer1\.0\.mask_s: its kernel makes",
    ),
    "a multiplier of 17 bits": (number("conv1", "multiplier", 1 << 16), "layer conv1: its multipliers or shifts"),
    "a negative multiplier": (number("conv1", "multiplier", -1), "layer conv1: its multipliers or shifts"),
    "a shift of 0": (number("conv1", "shift", 0), "layer conv1: its multipliers or shifts"),
    "a shift of 48": (number("conv1", "shift", 48), "layer conv1: its multipliers or shifts"),
    "a bias beyond int32": (number("conv1", "bias", 1 << 31), "layer conv1: its biases are not int32"),
    "a pooling's shift": (changed("conv1.pooled", shift=48), r"layer conv1\.pooled: its multipliers or shifts"),
    "weights that are not int8": (
        changed("fc", weight=np.zeros((10, 64), np.int16)),
        "layer fc: its weights are not int8",
    ),
}

MISSING_AVERAGE = changed("layer1.0.conv2.pooled", multiplier=1 << 14)


@pytest.fixture(scope="module")
def quantised() -> QuantisedGraph:
    return resnet_graph(14, size=16)


@pytest.fixture(scope="module")
def captured() -> FloatGraph:
    return capture(lively(ResNetCifar(14, "dual", size=16), 3), (3, 16, 16))


def test_networks_as_they_are_pass(quantised: QuantisedGraph, captured: FloatGraph) -> None:
    verify_float(captured)
    verify_quantised(quantised)
    verify_quantised(resnet_graph(8, gated=False, size=16))


@pytest.mark.parametrize("case", NETWORK)
def test_a_network_that_the_machine_cannot_compute_is_refused(
    case: str, quantised: QuantisedGraph, captured: FloatGraph
) -> None:
    change, message = NETWORK[case]
    for graph, verify in ((quantised, verify_quantised), (captured, verify_float)):
        with pytest.raises(GatewrightError, match=message):
            verify(change(graph))  # type: ignore[operator]
    with pytest.raises(GatewrightError, match=message):
        Compiler(change(quantised), PRESETS["ultra96"])


@pytest.mark.parametrize("case", OURS)
def test_a_graph_that_a_stage_of_ours_broke_is_named(
    case: str, quantised: QuantisedGraph, captured: FloatGraph
) -> None:
    change, message = OURS[case]
    for graph, verify in ((quantised, verify_quantised), (captured, verify_float)):
        with pytest.raises(BrokenGraph, match=message):
            verify(change(graph))  # type: ignore[operator]


@pytest.mark.parametrize("case", QUANTISED)
def test_integers_that_the_machine_does_not_have_are_named(case: str, quantised: QuantisedGraph) -> None:
    change, message = QUANTISED[case]
    with pytest.raises(BrokenGraph, match=message):
        verify_quantised(change(quantised))


def test_skipped_tiles_need_the_average_of_their_residual(quantised: QuantisedGraph) -> None:
    with pytest.raises(GatewrightError, match=r"layer layer1\.0\.conv2: gates look at its output and not.*conv1"):
        verify_quantised(MISSING_AVERAGE(quantised))


class _TwoSpatialGates(nn.Module):
    """A block whose second spatial gate looks at the map that its first one masked."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.gate, self.again, self.fc = nn.Conv2d(8, 1, 3, 1, 1), nn.Conv2d(8, 1, 3, 1, 1), nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        stem = F.relu(self.stem(images))
        first = F.relu(self.conv1(stem) * self._tiles(self.gate, stem))
        second = F.relu(self.conv2(first) * self._tiles(self.again, first))
        return self.fc(second.mean((2, 3)))  # type: ignore[no-any-return]

    @staticmethod
    def _tiles(gate: nn.Conv2d, source: Tensor) -> Tensor:
        mask = (gate(F.adaptive_avg_pool2d(source, 4)) >= 0).float()
        return F.interpolate(mask, scale_factor=4, mode="nearest")


def test_a_spatial_gate_that_looks_at_a_masked_map_is_refused_with_its_name() -> None:
    with pytest.raises(
        GatewrightError, match="layer again: it reads the output of convolution conv1, which is masked by gate"
    ):
        capture(_TwoSpatialGates(), (3, 16, 16))


def test_a_channel_gate_names_what_masked_the_map_that_it_looks_at() -> None:
    graph = capture(lively_bottleneck("dual"), (3, 16, 16))
    (gate,) = (la for la in graph.layers if la.name == "layer2.0.mask_c2")
    assert isinstance(gate, FloatChannelGate)
    assert (gate.input_channels, gate.input_tiles) == ("layer2.0.mask_c1", "layer2.0.mask_s")
    for field in ("input_channels", "input_tiles"):
        with pytest.raises(BrokenGraph, match=r"layer layer2\.0\.mask_c2: its input layer2\.0\.conv1 is masked by"):
            verify_float(changed("layer2.0.mask_c2", **{field: None})(graph))


def test_capture_says_which_convolution_is_a_shortcut_and_what_completes_it() -> None:
    graph = capture(lively_resnet("dual"), (3, 16, 16))
    said = {la.name: la.completed_by for la in graph.layers if getattr(la, "completed_by", None)}
    assert said == {"layer2.0.downsample.0": "layer2.0.conv2", "layer3.0.downsample.0": "layer3.0.conv2"}
