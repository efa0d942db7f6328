"""Filters of a live program that come tap by tap, some channels at a time: where groups of filters are in the way.

LOAD picks the rows of the active input channels, MATMUL the active filters. Of a group of filters only the machine
knows which are active, and so at which channel of the output its first one is. So all filters are one group, and what
comes together is a *piece*: of one tap the channels at some positions of the input gate's table. A slice of the
reduction is then of one tap, and every place is known: the map that is read has all its channels' pitch, and is
gathered as if all of them were there, with zeros behind the last active one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.bands import tile_rows
from gatewright.compiler.plan.filters import PIECE_SHARE, RESIDENT_SHARE, FilterBank, Slices, from_both_ends, pieces_of
from gatewright.compiler.plan.layout import padded_vectors, slices_of, weights_by_reduction
from gatewright.compiler.plan.tiled import TiledPass
from gatewright.contract.arch import ACCUMULATOR_BANKS, OPERAND_BANKS, ArchConfig

TOGETHER = ACCUMULATOR_BANKS
"""Chunks of pixels whose sums add up side by side: a pass over the filters."""


ZERO_BEATS = 64
"""Beats of a row of zeros that the program has in DRAM."""


def by_taps(graph: QuantisedGraph, arch: ArchConfig, off_chip: Collection[str]) -> set[str]:
    """The convolutions that a live program multiplies so.

    Those are gated on both sides, and the weight buffer does not hold their filters, or their input lies in DRAM; or on
    the input's side alone, and the buffer does not hold two groups of them. Slices of a tap must begin in the operand
    buffers' first bank, and a bank of accumulators hold a block of pixels, and a tile.
    """
    share, of = RESIDENT_SHARE
    found = set()
    for layer in graph.layers:
        if not isinstance(layer, QuantisedConv) or layer.groups > 1 or layer.beside or layer.dilation > 1:
            continue
        if layer.input_channels is None:
            continue
        filters, channels, slices = len(layer.weight), layer.weight.shape[3], slices_of(layer.weight[0].size, arch)
        stays = slices * padded_vectors(filters) * of <= arch.weight_words * share
        if layer.output_channels is None:  # a group's filters are known: those of all channels have room twice
            stays = stays or 2 * slices * padded_vectors(min(arch.columns, filters)) <= arch.weight_words
            stays = stays or layer.weight.shape[1:3] == (1, 1)
        whole = channels % (arch.rows * OPERAND_BANKS) == 0
        whole = whole and (tile_rows(graph, layer) or 1) ** 2 <= pixels_together(filters, arch)
        if whole and (not stays or (layer.output_channels is not None and layer.source in off_chip)):
            found.add(layer.name)
    return found


def cut_by_taps(bank: FilterBank, arch: ArchConfig) -> FilterBank:
    """The bank in pieces of a tap, each of whole banks of slices.

    Channels come from both ends in turn, tap by tap: pieces behind the last active channel are empty, and would leave
    the bus without work side by side, and without room for the filters behind them at the end.
    """
    slices = slices_of(bank.rows, arch)
    most = arch.weight_words // PIECE_SHARE // padded_vectors(bank.filters)
    channels = from_both_ends(pieces_of(slices, most, OPERAND_BANKS))
    pieces = tuple(
        Slices(tap * slices + piece.first, piece.count)
        for first in range(0, len(channels), 2)
        for tap in range(bank.taps)
        for piece in channels[first : first + 2]
    )
    return replace(bank, group=bank.filters, pieces=pieces, returns=True, by_taps=True)


def weights_by_taps(weight: npt.NDArray[np.int8], vectors: int) -> npt.NDArray[np.uint8]:
    """[filters, kernel height, kernel width, channels] to [taps * channels, beats * 16] bytes: tap behind tap."""
    filters, height, width, channels = weight.shape
    taps = weight.reshape(filters, height * width, 1, 1, channels)
    return np.concatenate([weights_by_reduction(taps[:, tap], vectors) for tap in range(height * width)])


def pixels_together(filters: int, arch: ArchConfig) -> int:
    """Pixels of a chunk: those that stand still, in whole blocks, past which so many filters stream."""
    return arch.accumulator_depth // filters * arch.columns


def spread_maps(graph: QuantisedGraph, passes: Collection[TiledPass], off_chip: Collection[str]) -> set[str]:
    """The maps with gated channels of which rows or tiles are in rings: each pixel has the place of all channels."""
    inside = {one.block.middle.output for one in passes if one.block.joint}
    convolutions = (layer for layer in graph.layers if isinstance(layer, QuantisedConv))
    return {la.output for la in convolutions if la.output_channels and la.output in {*inside, *off_chip}}
