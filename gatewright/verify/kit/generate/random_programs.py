"""Random legal programs: random chains of layers on random machines, and what they must compute."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_BITS, ArchConfig
from gatewright.contract.isa import EpilogueKind, Opcode, Unit
from gatewright.contract.program import Program
from gatewright.verify.kit.generate.builder import Filters, Map
from gatewright.verify.kit.generate.layers import emit_whole
from gatewright.verify.kit.generate.operands import slices_of
from gatewright.verify.kit.generate.oracle import conv_sums, finish, raw_logits
from gatewright.verify.kit.generate.random_apart import apart_layer
from gatewright.verify.kit.generate.random_depthwise import depthwise_layer
from gatewright.verify.kit.generate.random_layers import LayerNetwork
from gatewright.verify.kit.generate.random_taps import spatial_gate
from gatewright.verify.kit.generate.random_windows import banded, summed, tall, windowed
from gatewright.verify.kit.generate.scattered import NoRoom

ATTEMPTS = 400
"""Draws of a program, each no larger than the one before: on the smallest machine most do not fit."""

LARGEST = 7
"""Rows and columns of the first map, at most."""

Drawn = TypeVar("Drawn")


def first_that_fits(draw: Callable[[int], Drawn]) -> Drawn:
    """What ``draw`` makes of the first number of an attempt that fits the machine."""
    for attempt in range(ATTEMPTS):
        try:
            return draw(attempt)
        except NoRoom:
            continue
    raise AssertionError(f"{ATTEMPTS} draws do not fit the machine")


def largest(attempt: int) -> int:
    """Rows and columns of an attempt's first map, at most."""
    return max(1, LARGEST - attempt // 8)


class Network(LayerNetwork):
    """Layers, gates that run on the machine, and logits."""

    def gated(self, source: Map) -> Map:
        """A spatial gate that runs on the machine, and a layer on the tiles that it leaves, if a table holds them."""
        height, width, _ = source.values.shape
        mask = self.build.masks[0]
        on, done = spatial_gate(self, source, mask * MASK_BITS)
        complement = int(self.rng.integers(2))
        if np.count_nonzero(on != bool(complement)) > self.arch.table_entries:
            complement = 1 - complement
        if np.count_nonzero(on != bool(complement)) > self.arch.table_entries:
            return self.layer(source)
        table = self.build.take_table()
        assert table is not None, "between layers every table is free"
        index = {"mask": mask, "bits": height * width, "grid_width": width}
        waits = [done, self.build.mark(Unit.LOAD)]
        made = self.build.emit(Opcode.INDEX, waits, table=table, complement=complement, **index)
        rest = None
        if np.count_nonzero(on == bool(complement)) <= self.arch.table_entries and self.rng.integers(2):
            rest = self.build.take_table()
        if rest is not None:
            self.build.emit(Opcode.INDEX, waits, table=rest, complement=1 - complement, **index)
        source.ready = [*source.ready, made]
        tiles = [(int(y), int(x)) for y, x in np.argwhere(on != bool(complement))]
        # The second INDEX, whose table nothing reads, may still read the mask when the next gate writes it.
        self.build.emit(Opcode.EXIT, [self.build.mark(Unit.INDEX)])
        live = {"tile_table": table, "live": 1, "chunk_tiles": int(self.rng.integers(5, 20)), "residual": 0}
        target = self.layer(source, tiles, 1, **live)
        self.build.give_table(table, rest)
        return target

    def window(self, source: Map, filters: Filters) -> tuple[int, int]:
        """(first, number) of the pixels of a reduction: all of them if the buffers hold so many, and often fewer."""
        pixels, slices = source.values.shape[0] * source.values.shape[1], slices_of(self.arch, filters.weights[0].size)
        most = min(pixels, self.arch.patch_words // slices // 4 * 4, self.arch.accumulator_depth)
        if most == 0:
            raise NoRoom
        number = most if self.rng.integers(4) else int(self.rng.integers(1, most + 1))
        return int(self.rng.integers(pixels - number + 1)), number

    def summing(self, source: Map, filters: Filters) -> tuple[npt.NDArray[np.int64], Map, tuple[int, int]]:
        """What a reduction of 1x1 filters must add up to, the map that it reads, and (first, number) of its pixels.

        The map is ``source``, or that of the digits of the sums of all its pixels.
        """
        sums = conv_sums(source.values, filters.weights, 1, 0).reshape(-1, len(filters.weights))
        digits = summed(self, source) if self.rng.integers(2) else None
        if digits is not None:
            return sums.sum(axis=0), digits, (0, 2)
        first, number = self.window(source, filters)
        return sums[first : first + number].sum(axis=0), source, (first, number)

    def finish(self, source: Map) -> Program:
        """Logits over pixels, stored; and an int8 reduction next to them."""
        channels = source.values.shape[2]
        classes = self.filters(int(self.rng.integers(1, 12)), (1, 1), channels)
        sums, read, window = self.summing(source, classes)
        # STORE writes whole beats: the bytes behind the logits are written, too.
        logits = self.build.load_map(np.zeros((1, 1, 4 * len(sums) + -4 * len(sums) % 16), np.int8))
        reduced = self.build.room(len(sums), int(self.rng.integers(16)))
        ready, digits = [*read.ready, *logits.ready], read is not source
        emit_whole(self.build, read, classes, EpilogueKind.REDUCE, reduced, ready, window, digits)
        self.checks.append((reduced, finish(sums, classes.entries[1:], True)))
        raw = EpilogueKind.REDUCE_RAW
        done = emit_whole(self.build, read, classes, raw, logits.address, ready, window, digits)
        self.logits = raw_logits(sums, classes.entries[1:])
        output = self.build.store(logits.address, 4 * len(sums), [done])
        return self.build.program((output, 4 * len(sums)))


def random_network(seed: int, arch: ArchConfig | None = None) -> tuple[Network, Program]:
    """A network, its expectations and its program, for a machine or for the one of the seed."""

    def draw(attempt: int) -> tuple[Network, Program]:
        network, edge = Network(seed, arch, attempt), largest(attempt) + 1
        rng = network.rng
        in_bands = rng.integers(3) == 0
        shape = tall(rng, edge) if in_bands else (int(rng.integers(1, edge)), int(rng.integers(1, edge)))
        size = (*shape, int(rng.integers(1, edge)))
        current = network.build.load_map(rng.integers(-128, 128, size, dtype=np.int8))
        if in_bands:
            current = banded(network, current)
        for _ in range(int(rng.integers(1, 4))):
            step = network.gated if current.values.shape[0] * current.values.shape[1] >= 9 else network.layer
            some: list[Callable[[Map], Map]] = [step, network.layer, partial(windowed, network)]
            some += [partial(depthwise_layer, network)] * network.arch.depthwise
            some += [partial(apart_layer, network)] * 2
            current = some[int(rng.integers(len(some)))](current)
        return network, network.finish(current)

    return first_that_fits(draw)
