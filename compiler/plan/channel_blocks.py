"""A depthwise convolution in the wake of its expansion: block of channels by block of channels.

A block of filters of the expansion makes a block of channels; behind it EPILOGUE makes those of the depthwise
convolution, and behind that the projection adds their products to what its accumulators hold. All pixels are made at
once, so that maps are whole. Filters that do not stay come in that order, and with the expansion's the parameters of
both convolutions' channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.depthwise import channel_parameters, in_epilogue
from gatewright.compiler.plan.filters import PIECE_SHARE, RESIDENT_SHARE, FilterBank, Slices, pieces_of, reduction_unit
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.contract.arch import ACCUMULATOR_BANKS, PARAMETER_BYTES, ArchConfig
from gatewright.contract.encodings import DEPTHWISE_ENTRIES, PARAMETERS_PER_BEAT

Layers = tuple[QuantisedConv, ...]

LAG = 2
"""Blocks by which the projection is behind the expansion; the depthwise convolution is one behind."""

PATCH_SHARE = 2
"""The expansion's patches stay, in one of so many words of the patch buffer at most."""

GROUP_SHARE = 8
"""The parameters of groups of filters take one in so many entries of the buffer."""

PARAMETER_PIECE = 128
"""Epilogue parameters loaded at a time, with the filters of the layer that first needs them."""

GROUPS_AHEAD = 4
"""Groups of the expansion's filters whose parameters must have room at the same time."""


def goes_by_channels(layers: Layers, graph: QuantisedGraph, arch: ArchConfig) -> bool:
    """Whether layers can be made block of channels by block of channels."""
    if len(layers) != len(("expansion", "depthwise", "projection")):
        return False
    expansion, depthwise, projection = layers
    pooled = {layer.source for layer in graph.layers if isinstance(layer, Pooling)}
    dense = expansion.groups == projection.groups == 1 and in_epilogue(depthwise, graph, arch)
    plain = not any(layer.gates or layer.output in pooled for layer in layers) and expansion.residual is None
    pointwise = projection.weight.shape[1:3] == (1, 1) and projection.stride == 1 and projection.padding == 0
    if not (dense and plain and pointwise) or expansion.source == graph.input:
        return False
    made, read = (_pixels(layer, graph) for layer in (expansion, projection))
    if max(made, read) > arch.accumulator_depth:
        return False
    patches = slices_of(expansion.weight[0].size, arch) * padded_vectors(made)
    fits = len(kept_filters(projection, graph, arch)) < ACCUMULATOR_BANKS and patches * PATCH_SHARE <= arch.patch_words
    return fits and _parameters_fit(layers, arch) and _filters_fit(layers, arch)


def _pixels(layer: QuantisedConv, graph: QuantisedGraph) -> int:
    shape = graph.shapes[layer.output]
    return shape.height * shape.width


def kept_filters(projection: QuantisedConv, graph: QuantisedGraph, arch: ArchConfig) -> list[tuple[int, int]]:
    """(first filter, filters) of the projection that add up in each of the accumulator banks it takes."""
    each = arch.accumulator_depth // _pixels(projection, graph) * arch.columns
    filters = len(projection.weight)
    return [(first, min(each, filters - first)) for first in range(0, filters, each)]


def filters_stay(layers: Layers, arch: ArchConfig) -> bool:
    """Whether the filters of the expansion and of the projection are resident."""
    words = sum(_words(layer, len(layer.weight), arch) for layer in (layers[0], layers[-1]))
    share, of = RESIDENT_SHARE
    parameters = 2 + DEPTHWISE_ENTRIES * len(layers[1].weight) + sum(len(la.weight) for la in (layers[0], layers[-1]))
    return words * of <= arch.weight_words * share and 2 * parameters <= parameter_room(arch)


def _words(layer: QuantisedConv, filters: int, arch: ArchConfig) -> int:
    return slices_of(layer.weight[0].size, arch) * padded_vectors(filters)


def _filters_fit(layers: Layers, arch: ArchConfig) -> bool:
    """Whether of both convolutions a group or piece has room in a half of the weight buffer: two are there."""
    if filters_stay(layers, arch):
        return True
    group = _words(layers[0], arch.columns, arch)
    piece = max(reduction_unit(arch) * padded_vectors(len(layers[-1].weight)), arch.weight_words // PIECE_SHARE)
    return 2 * (group + piece) <= arch.weight_words


def _parameters_fit(layers: Layers, arch: ArchConfig) -> bool:
    """Whether those of some groups have room in what is for groups."""
    if filters_stay(layers, arch):
        return True
    several = len(layers[0].weight) > arch.columns
    return several and GROUPS_AHEAD * group_entries(arch) <= group_room(arch)


def group_room(arch: ArchConfig) -> int:
    """Parameter entries for those that come with groups of filters, where there are such."""
    return max(PARAMETER_PIECE, arch.parameter_entries // GROUP_SHARE // PARAMETER_PIECE * PARAMETER_PIECE)


def parameter_room(arch: ArchConfig) -> int:
    """What it leaves for all others."""
    return arch.parameter_entries // PARAMETER_PIECE * PARAMETER_PIECE - group_room(arch)


def depthwise_entry(arch: ArchConfig) -> int:
    """Of the parameters of a group those of the depthwise convolution: the first, behind the pooling's."""
    return arch.columns + (1 + arch.columns) % PARAMETERS_PER_BEAT


def group_entries(arch: ArchConfig) -> int:
    """Parameter entries that come with a group of the expansion's filters: an even number."""
    entries = 1 + depthwise_entry(arch) + DEPTHWISE_ENTRIES * arch.columns
    return entries + entries % PARAMETERS_PER_BEAT


def group_parameters(depthwise: QuantisedConv, arch: ArchConfig) -> npt.NDArray[np.uint8]:
    """The depthwise convolution's parameters group by group [groups, bytes]."""
    data, size = channel_parameters(depthwise), DEPTHWISE_ENTRIES * arch.columns * PARAMETER_BYTES
    return np.pad(data, (0, -len(data) % size)).reshape(-1, size)


def cut_by_channels(bank: FilterBank, layers: Layers, arch: ArchConfig) -> FilterBank:
    """A bank of such layers: whole, or the expansion's block by block, the projection's in pieces of the reduction."""
    slices = slices_of(bank.reduction, arch)
    if filters_stay(layers, arch):
        return replace(bank, group=bank.filters, pieces=(Slices(0, slices),))
    if bank.name == layers[0].name:
        return replace(bank, group=min(arch.columns, bank.filters), pieces=(Slices(0, slices),))
    most = arch.weight_words // PIECE_SHARE // padded_vectors(bank.filters)
    return replace(bank, group=bank.filters, pieces=pieces_of(slices, most, reduction_unit(arch)))


def ready_slices(block: int, layers: Layers, arch: ArchConfig) -> int:
    """Slices of the projection's reduction that are complete when a block of the depthwise convolution is."""
    channels = len(layers[1].weight)
    made = (block + 1) * arch.columns
    return slices_of(channels, arch) if made >= channels else made // arch.rows


def blocks_of(layers: Layers, arch: ArchConfig) -> int:
    """Blocks of channels between the layers."""
    return -(-len(layers[1].weight) // arch.columns)


def filters_in_order(
    layers: Layers, expansion: FilterBank, projection: FilterBank, arch: ArchConfig
) -> Iterator[tuple[FilterBank, int, int]]:
    """(bank, group, piece) of filters that are streamed, in the order in which they are used."""
    pieces = list(enumerate(projection.pieces))
    for step in range(blocks_of(layers, arch) + LAG):
        if step < blocks_of(layers, arch):
            yield expansion, step, 0
        ready = ready_slices(step - LAG, layers, arch) if step >= LAG else 0
        while pieces and pieces[0][1].first < ready:
            yield projection, 0, pieces.pop(0)[0]
