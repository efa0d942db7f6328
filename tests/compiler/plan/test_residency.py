"""The residency plan of networks small enough to be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gatewright import flow
from gatewright.compiler.graph.graph import Decisions, QuantisedGraph, Requantisation, TensorShape
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.residency import FilterPlan, LayerPlan, TensorPlan
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Unit
from tests.support.graphs import resnet_graph

DRAM = replace(PRESETS["ultra96"].dram, beats=3, per_cycles=4, burst_gap=1)


def conv(graph: QuantisedGraph, name: str, source: str, filters: int, kernel: int, residual: str | None = None) -> None:
    before = graph.shapes[source]
    weight = np.ones((filters, kernel, kernel, before.channels), np.int8)
    scale = Requantisation(np.zeros(filters, np.int64), np.full(filters, 1 << 15), np.full(filters, 24))
    layer = QuantisedConv(
        name, source, name, 1, kernel // 2, True, residual=residual, weight=weight, requantisation=scale
    )
    graph.layers.append(layer)
    graph.shapes[name], graph.scales[name] = TensorShape(filters, before.height, before.width), 1.0


def network(size: int, *layers: tuple[str, str, int, int, str | None]) -> QuantisedGraph:
    """Convolutions of an image of 4 channels, and a classifier of 10 classes."""
    graph = QuantisedGraph("image", [], {"image": TensorShape(4, size, size)}, {"image": 1.0})
    for layer in layers:
        conv(graph, *layer)
    last = layers[-1][0]
    weight = np.ones((10, graph.shapes[last].channels), np.int8)
    graph.layers.append(QuantisedClassifier("fc", last, "fc", weight, np.zeros(10, np.int64), 1.0))
    graph.scales["fc"] = 1.0
    return graph


def cycles(layer: LayerPlan) -> tuple[int, int, int, int]:
    array, gather, epilogue, load = (layer.cycles[u] for u in (Unit.ARRAY, Unit.GATHER, Unit.EPILOGUE, Unit.LOAD))
    return array, gather, epilogue, load


def test_resident_and_streamed_filters() -> None:
    """Of 256 words of the weight buffer 112 may be taken by resident filters: b's 9 slices of 40 vectors are 360."""
    graph = network(8, ("a", "image", 16, 1, None), ("b", "a", 40, 3, None))
    plan = flow.plan(graph, replace(PRESETS["ultra96"], weight_kib=4, dram=DRAM))
    a, b, fc = plan.layers

    # 64 bytes of slack lie before and behind every map. b does not fit where the image was; the logits do.
    assert plan.image == TensorPlan("image", 64, 4 * 64, None)
    assert a.maps == (TensorPlan("a", 64 + 256 + 64, 16 * 64, None),)
    assert b.maps == (TensorPlan("b", 384 + 1024 + 64, 40 * 64, None),)
    assert fc.maps == (TensorPlan("fc", 64, 4 * 10, None),)

    # A filter is one slice, and a burst of its own: 2 cycles and a gap. The image is 16 beats in 4 bursts of 4.
    assert a.filters == (FilterPlan("a", True, 1, 1, 16 * 16, 16 * 16),)
    assert cycles(a) == (64, 64, 64, 16 * 3 + 4 * (6 + 1))

    # Three groups, of 16, 16 and 8 filters, each in pieces of 4, 4 and 1 slices: bursts of 6, 6 and 2 cycles.
    # A kernel row has 48 elements: the pieces are 48 + 16, 32 + 32 and 16 of them, so 5 runs a pixel, for each group.
    # The last group streams past standing pixels, 4 blocks of 16: 32 cycles a slice, and 16 + 8 to write each block.
    assert b.filters == (FilterPlan("b", False, 3, 3, 40 * 144, 40 * 144),)
    assert b.filters[0].times == 1
    assert cycles(b) == (9 * (64 + 64 + 32), 3 * 64 * 5, 64 + 64 + 4 * 24, 40 * (7 + 7 + 3))

    assert fc.filters == (FilterPlan("fc", True, 1, 1, 10 * 48, 10 * 48),)
    assert cycles(fc) == (3 * 64, 64, 64 + 1, 10 * 5)
    assert [layer.bound for layer in plan.layers] == [Unit.LOAD, Unit.ARRAY, Unit.ARRAY]
    assert {layer.band for layer in plan.layers} == {None}

    lines = str(plan).splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["layer", "(image)", "a", "b", "fc"]
    assert "streamed, 3 x 3, 5,760 B " in lines[3] and lines[3].endswith("ARRAY")
    assert f"ARRAY {64 + 1440 + 192:,}, GATHER {64 + 960 + 64:,}," in lines[5]


def test_bands_keep_rows() -> None:
    """Of 8 KiB the residual takes 4; the map between holds 6 rows that are needed and 4 that are made meanwhile."""
    graph = network(16, ("a", "image", 16, 1, None), ("b", "a", 16, 3, None), ("c", "b", 16, 3, "a"))
    plan = flow.plan(graph, replace(PRESETS["ultra96"], scratchpad_kib=8, dram=DRAM))
    a, b, c, fc = plan.layers
    assert a.maps == (TensorPlan("a", 64 + 1024 + 64, 4096, None),)
    assert b.maps == (TensorPlan("b", 1152 + 4096 + 64, 10 * 256, 10),)
    assert c.maps == (TensorPlan("c", 1152, 4096, None),)
    assert [layer.band for layer in plan.layers] == [None, 4, 4, None]
    assert cycles(c)[0] == 9 * 256 and cycles(c)[2] == 2 * 256
    assert "ring of 10 rows, 2,560 B at 5,312" in str(plan)
    assert (fc.cycles[Unit.ARRAY], fc.cycles[Unit.EPILOGUE], fc.bound) == (256, 256 + 1, Unit.EPILOGUE)


def test_what_is_missing_is_said() -> None:
    """The larger gap is where the image was, 1,024 bytes: behind the residual 6,144 - 5,312 - 64 are left."""
    graph = network(16, ("a", "image", 16, 1, None), ("b", "a", 16, 3, None), ("c", "b", 16, 3, "a"))
    small = ArchConfig(scratchpad_kib=6, dram=DRAM)
    with pytest.raises(GatewrightError, match=r"6 rows of tensor b must be kept, 1536 bytes; .* 1024: 512 are missing"):
        flow.plan(graph, small)


def test_gated_filters_are_read_as_far_as_a_sample_needs_them() -> None:
    """The second convolution's filters lie by input channel; 5 of 16 are read, and 2 of its 8 x 8 tiles computed."""
    graph = resnet_graph(8, seed=1)
    decisions: Decisions = {}
    for name, shape in (("layer1.0", (16,)), ("layer2.0", (32,)), ("layer3.0", (64,))):
        grid = {"layer1.0": 8, "layer2.0": 8, "layer3.0": 4}[name]
        decisions[f"{name}.mask_c"] = np.arange(shape[0]) % 3 == 1
        decisions[f"{name}.mask_s"] = np.arange(grid * grid).reshape(grid, grid) % 32 == 0
    layers = {layer.name: layer for layer in flow.plan(graph, PRESETS["ultra96"], decisions).layers}
    second = layers["layer1.0.conv2"]
    assert second.filters[0].size == 16 * 9 * 16 and second.filters[0].read == 5 * 9 * 16
    assert second.cycles[Unit.LOAD] in (5 * (12 + 1), 5 * (12 + 1) + 2)  # 9 beats a row; one more burst at a 4 KiB edge
    # 2 tiles of 16 pixels, and 9 * 5 elements in 3 slices: filters stand, and the residual is read.
    assert second.cycles[Unit.ARRAY] == 3 * 32 and second.cycles[Unit.EPILOGUE] == 2 * 32 + 2
    assert second.cycles[Unit.GATHER] == 32 * 3
    whole = {layer.name: layer for layer in flow.plan(graph, PRESETS["ultra96"]).layers}["layer1.0.conv2"]
    assert whole.filters[0].times == 1 and whole.cycles[Unit.ARRAY] == 9 * 1024
