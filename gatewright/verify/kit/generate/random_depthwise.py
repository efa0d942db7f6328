"""Random depthwise convolutions for the random networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.verify.kit.generate.builder import Map
from gatewright.verify.kit.generate.depthwise import Depthwise, channel_entries, depthwise_values, emit_depthwise
from gatewright.verify.kit.generate.oracle import random_parameters

if TYPE_CHECKING:
    from gatewright.verify.kit.generate.random_programs import Network

FEW_SLOTS = 3000
"""Pixels that a convolution reads, at most: each is a cycle."""


def depthwise_layer(network: Network, source: Map) -> Map:
    """A map of a random depthwise convolution of ``source``; tables often pick its tiles, or its channels."""
    rng, stored = network.rng, source.values.shape[2]
    window, step = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    listed = bool(rng.integers(2)) and (table := network.build.take_table()) is not None
    total = stored + int(rng.integers(1, 6)) * listed
    depthwise = Depthwise(
        rng.integers(-128, 128, (total, window, window), dtype=np.int8),
        random_parameters(rng, total, window**2),
        step,
        int(rng.integers(window)),
        bool(rng.integers(2)),
        tile=int(rng.choice([1, 2, 3, 4, int(rng.integers(1, 32))])),
        chunk_tiles=int(rng.choice([1, 3, 1000])),
        pixel_split=int(rng.choice([1, 5, 1000])),
        channel_split=int(rng.choice([1, network.arch.columns, network.arch.columns + 1, 1000])),
    )
    out_height, out_width = _shape(network, source, depthwise)
    held = []
    if listed and table is not None:
        depthwise.channels = sorted(int(c) for c in rng.choice(total, stored, replace=False))
        depthwise.filter_table = table
        held.append(table)
        depthwise.waits.append(network.build.load_table(table, depthwise.channels))
    grid = [(y, x) for y in range(-(-out_height // depthwise.tile)) for x in range(-(-out_width // depthwise.tile))]
    if rng.integers(2) and (tile_table := network.build.take_table()) is not None:
        chosen = [grid[i] for i in np.flatnonzero(rng.integers(0, 2, len(grid)))][: network.arch.table_entries]
        depthwise.tiles, depthwise.tile_table = chosen, tile_table
        held.append(tile_table)
        depthwise.waits.append(network.build.load_table(tile_table, [y << COORDINATE_BITS | x for y, x in chosen]))
    parameter, loaded = network.build.load_parameters(channel_entries(depthwise))
    depthwise.waits.append(loaded)
    target = network.output(out_height, out_width, stored, preset=True)
    target.ready = [emit_depthwise(network.build, source, depthwise, parameter, target)]
    target.values = depthwise_values(source.values, depthwise, target.values)
    network.checks.append((target.address, target.values))
    network.settle()
    network.build.give_table(*held)
    return target


def _shape(network: Network, source: Map, depthwise: Depthwise) -> tuple[int, int]:
    """Rows and columns of the output: all that touch the source and sometimes more, or fewer."""
    height, width, channels = source.values.shape
    ends = [-(-(size + depthwise.inset) // depthwise.step) for size in (height, width)]
    out_height, out_width = (max(1, end + int(network.rng.integers(-1, 2))) for end in ends)
    blocks = -(-channels // network.arch.columns)
    tile = depthwise.tile
    each = ((tile - 1) * depthwise.step + depthwise.window) * depthwise.window + tile
    while -(-out_height // tile) * -(-out_width // tile) * tile * each * blocks > FEW_SLOTS and tile > 1:
        tile = depthwise.tile = tile // 2
        each = ((tile - 1) * depthwise.step + depthwise.window) * depthwise.window + tile
    return out_height, out_width
