"""A kind of layer that no stage knows of goes through all of them: the example of docs/adding-a-layer-kind.md.

It is a fully connected layer with ReLU on a global average: a classifier's hidden layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn import functional as F

from gatewright.compiler.compile import Compiler
from gatewright.compiler.emit.average_product import AverageProduct
from gatewright.compiler.emit.placed_maps import SourceMap
from gatewright.compiler.graph.checks import BrokenGraph, broken, check_requantisation, shape_of
from gatewright.compiler.graph.exact import dense, requantise
from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.graph.graph import (
    Decisions,
    FloatGraph,
    FloatLayer,
    Layer,
    QuantisedGraph,
    QuantisedLayer,
    Requantisation,
    TensorShape,
)
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.compiler.graph.verify import verify_float
from gatewright.compiler.kinds.classifier import FloatClassifier
from gatewright.compiler.kinds.convolution import FloatConv
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.numbers import int8_weights, requantisation
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import EpilogueKind
from gatewright.sim.fast.machine import simulate

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering
    from gatewright.compiler.graph import float_executor, reference
    from gatewright.compiler.plan.network_image import NetworkImage
    from gatewright.compiler.quantise.quantise import Quantiser


@dataclass(frozen=True)
class HiddenDense(Layer):
    """In either graph: from the map ``source`` to the map ``output`` of one pixel."""

    source: str
    output: str

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.output,)

    def check_weights(self, graph: Any, weight: npt.NDArray[Any]) -> None:
        if weight.shape != (shape_of(graph, self.output).channels, shape_of(graph, self.source).channels):
            broken(self.name, "its weights do not fit its maps")


@dataclass(frozen=True)
class FloatHiddenDense(HiddenDense, FloatLayer):
    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    def check(self, graph: Any) -> None:
        self.check_weights(graph, self.weight)

    def parameters(self) -> Sequence[npt.NDArray[np.float64]]:
        return self.weight, self.bias

    def run(self, batch: float_executor.Batch) -> None:
        weight, bias = batch.parameters[self.name]
        batch.write(self.output, F.relu(F.linear(batch.maps[self.source].mean((2, 3)), weight, bias))[:, :, None, None])

    def quantise(self, quantiser: Quantiser) -> QuantisedHiddenDense:
        shape = quantiser.result.shapes[self.source]
        pixels = shape.height * shape.width
        source, output = quantiser.result.scales[self.source] / pixels, quantiser.scale(self.output)
        weight, scale = int8_weights(self.weight, self.bias / source)
        unit = scale * source
        scales = requantisation(self.name, weight, self.bias / unit, unit / output, pixels)
        return QuantisedHiddenDense(self.name, self.source, self.output, weight, scales)


@dataclass(frozen=True)
class QuantisedHiddenDense(HiddenDense, QuantisedLayer):
    weight: npt.NDArray[np.int8]
    scales: Requantisation

    def check(self, graph: Any) -> None:
        self.check_weights(graph, self.weight)
        check_requantisation(self.name, self.weight, self.scales)

    def macs(self, graph: QuantisedGraph, decisions: Decisions | None) -> int:
        return self.weight.size

    def run(self, batch: reference.Batch) -> None:
        totals = batch.maps[self.source].sum((2, 3), dtype=torch.int64)
        batch.write(self.output, requantise(dense(totals, self.weight), self.scales).clamp_(0, 127)[:, :, None, None])

    def sizes(self, graph: QuantisedGraph) -> dict[str, int]:
        return {self.output: len(self.weight)}

    def lay_out(self, image: NetworkImage) -> None:
        image.add_parameters(self.name, self.scales)
        image.bank_layout.by_vector(self.name, self.weight)

    def without_gates(self) -> QuantisedHiddenDense:
        return self

    @property
    def role(self) -> str:
        return "ungated"

    def lower(self, lowering: Lowering, group: Sequence[QuantisedLayer]) -> None:
        image, shape = lowering.image, lowering.graph.shapes[self.source]
        lowering.context.macs[self.name] = 0
        source = SourceMap(image.addresses[self.source], shape.height, shape.width, shape.channels)
        AverageProduct(
            lowering.context,
            lowering.loader,
            self.name,
            self.name,
            source,
            len(self.weight),
            image.addresses[self.output],
            EpilogueKind.REDUCE,
        ).finish()


SEED = 5


def _network(hidden: int = 30) -> FloatGraph:
    """A convolution, the new layer and a classifier, with random weights."""
    rng = np.random.default_rng(SEED)
    conv = FloatConv(
        "conv", "input", "conv", 2, 1, True, weight=rng.normal(size=(20, 3, 3, 3)) / 5, bias=rng.normal(size=20) / 5
    )
    middle = FloatHiddenDense("hidden", "conv", "hidden", rng.normal(size=(hidden, 20)) / 4, rng.normal(size=hidden))
    head = FloatClassifier("fc", "hidden", "fc", rng.normal(size=(5, hidden)) / 5, rng.normal(size=5))
    shapes = {
        "input": TensorShape(3, 16, 16),
        "conv": TensorShape(20, 8, 8),
        "hidden": TensorShape(hidden, 1, 1),
        "fc": TensorShape(5, 1, 1),
    }
    return FloatGraph("input", [conv, middle, head], shapes)


def _plain(graph: FloatGraph, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The network in numpy, written apart."""
    conv, hidden, head = (layer.parameters() for layer in graph.layers)
    padded = np.pad(images.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2]
    maps = np.maximum(np.einsum("nchwij,ocij->nohw", windows, conv[0]) + conv[1][:, None, None], 0)
    neurons = np.maximum(maps.mean((2, 3)) @ hidden[0].T + hidden[1], 0)
    result: npt.NDArray[np.float64] = neurons @ head[0].T + head[1]
    return result


def test_a_new_kind_goes_from_the_float_graph_to_the_machine() -> None:
    graph = _network()
    verify_float(graph)
    images = np.random.default_rng(SEED).normal(size=(12, 3, 16, 16)).astype(np.float32)
    expected = _plain(graph, images)
    np.testing.assert_allclose(run_float(graph, images).logits, expected, atol=1e-4)
    quantised = quantise(graph, calibrate(graph, images))
    inputs = quantise_input(images, quantised)
    reference = run_reference(quantised, inputs)
    assert np.abs(reference.logits * quantised.scales["fc"] - expected).max() < 0.1 * expected.std()
    assert counted_macs(quantised, None) == 20 * 27 * 64 + 30 * 20 + 5 * 30
    for preset in ("ultra96", "4x4"):
        for compiler in (Compiler(quantised, PRESETS[preset]), Compiler(without_gates(quantised), PRESETS[preset])):
            program = compiler.compile({}, inputs[0])
            np.testing.assert_array_equal(simulate(program).logits, reference.logits[0])
            assert program.layer_kinds["hidden"] == "ungated"


def test_a_new_kind_brings_its_own_rules() -> None:
    graph = _network()
    graph.shapes["hidden"] = TensorShape(31, 1, 1)
    with pytest.raises(BrokenGraph, match="layer hidden: its weights do not fit its maps"):
        verify_float(graph)
