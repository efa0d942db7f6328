"""A convolution that reads a concatenation where its parts lie: the reduction over one map behind that over another."""

from __future__ import annotations

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.filters import Slices, reduction_unit
from gatewright.compiler.plan.layout import slices_of
from gatewright.contract.arch import ArchConfig


def part_slices(layer: QuantisedConv, graph: QuantisedGraph, arch: ArchConfig) -> list[Slices]:
    """The slices of each map's part of the reduction.

    Patches are gathered of one map at a time, and count their slices from 0; slices of the filters count on. Both lie
    in the same banks where a part begins with a whole unit, so up to a unit's slices are left out between parts.
    """
    taps, unit, first, parts = layer.weight.shape[1] * layer.weight.shape[2], reduction_unit(arch), 0, []
    for name in layer.sources:
        count = slices_of(taps * graph.shapes[name].channels, arch)
        parts.append(Slices(first, count))
        first += -(-count // unit) * unit
    return parts
