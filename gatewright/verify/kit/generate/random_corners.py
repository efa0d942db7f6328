"""Random legal programs in the corners that ``random_programs`` leaves out, with seeds of their own.

EXITs that are taken, with units at work and whatever lies behind them in memory; steps that SKIPs leave out;
reductions by a table of input channels, often of length 0; STOREs across 4 KiB; source masks; row tables, in every
space of LOAD but instructions.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from gatewright.contract.arch import BEAT_BYTES, INSTRUCTION_BYTES, MASK_COLUMNS, ArchConfig
from gatewright.contract.axi import BURST_BOUNDARY
from gatewright.contract.isa import EpilogueKind, Opcode, Space, Unit
from gatewright.contract.program import Program
from gatewright.verify.kit.generate.builder import Map, up
from gatewright.verify.kit.generate.layers import emit_whole
from gatewright.verify.kit.generate.oracle import raw_logits
from gatewright.verify.kit.generate.random_lists import Listed, ListNetwork
from gatewright.verify.kit.generate.random_programs import first_that_fits, largest
from gatewright.verify.kit.generate.random_skips import decision, perhaps_left_out
from gatewright.verify.kit.generate.random_windows import banded, tall, windowed
from gatewright.verify.kit.generate.scattered import NoRoom

ROOMY = 30
"""Pixels of a map from which on the kernels are square: more of them are as wide as can be."""

ROOM_FOR_LONG_STORES = 32
"""KiB of the scratchpad from which on a STORE of several bursts leaves room for the rest."""

LONGEST = 2000
"""Instructions of a program: a few seeds in a hundred would have several times as many, and draw again."""


class CornerNetwork(ListNetwork):
    """``left``: the number of the EXIT that is taken, if one is.

    ``varied``: (address, bytes) of data in DRAM that may be anything, and the program is still legal: maps on which
    nothing depends but values, exits, and whether a step is left out that nothing behind it needs.
    """

    def __init__(self, seed: int, arch: ArchConfig | None, attempt: int = 0) -> None:
        super().__init__(seed, arch, attempt)
        self.left: int | None = None
        self.varied: list[tuple[int, int]] = []
        self._classes = int(self.rng.integers(1, 13))
        self._output = self.room_across(up(4 * self._classes, BEAT_BYTES))

    def kernel(self, height: int, width: int) -> tuple[int, int]:
        """Up to the widest with a source mask, and that most often."""
        rows, columns = (int(number) for number in self.rng.integers(1, 9, 2))
        if height * width < ROOMY:
            return min(rows, MASK_COLUMNS, height), min(columns, MASK_COLUMNS, width)
        edge = min(columns, MASK_COLUMNS, height, width)
        return edge, edge

    def room_across(self, size: int) -> int:
        """Room in DRAM for some beats, with a multiple of 4 KiB among them where it can be."""
        before = BEAT_BYTES * int(self.rng.integers(1, max(2, size // BEAT_BYTES)))
        self.build.image.reserve((-before - self.build.image.reserve(0)) % BURST_BOUNDARY)
        return self.build.image.reserve(size)

    def barrier(self) -> None:
        """An EXIT that is not taken, behind everything: tables, masks and port B are free for the next step."""
        marks = [self.build.mark(unit) for unit in Unit if self.build.counts[unit] and unit != Unit.SEQUENCER]
        self.build.emit(Opcode.EXIT, marks)
        self.build.release()

    def gated_inputs(self, source: Map) -> Map:
        """A compact map of the channels that a gate leaves, and a layer that loads and reads those channels only."""
        listed = self.listed(int(self.rng.integers(1, 11)))
        source.ready = [*source.ready, listed.ready]
        compact: dict[str, Any] = {"filter_list": listed.entries, "filter_table": listed.table, "compact": True}
        compact |= {"residual": False, "live": bool(self.rng.integers(2)), "most_stored": listed.total}
        middle = self.layer(source, count=listed.total, **compact)
        middle.ready = [*middle.ready, listed.ready]
        result = self.reading(middle, listed) if self.rng.integers(2) else self.seeing(middle, listed)
        self.build.give_table(listed.table)
        return result

    def seeing(self, source: Map, listed: Listed | None = None) -> Map:
        """A layer that sees the active tiles of its source only."""
        masked = self.masked(source)
        seen = np.where(masked.active[..., None], source.values, np.int8(0))
        return self.reading(Map(source.address, seen, [*source.ready, masked.ready]), listed, masked.fields)

    def reading(self, source: Map, listed: Listed | None = None, mask: dict[str, int] | None = None) -> Map:
        """A layer on the listed channels; their number is the table's, or is written down as in replay."""
        self.input_list = listed
        by_table: dict[str, Any] = {}
        if listed is not None and self.rng.integers(6):
            by_table = {"channel_table": listed.table, "most_channels": listed.total}
        return self.layer(source, source_mask=mask or {}, **by_table)

    def stored(self, source: Map) -> Map:
        """The words of a map out to DRAM across 4 KiB, and rows of them back as another map, in any order."""
        rng = self.rng
        address, words = self.words(source)
        beats = len(words) // BEAT_BYTES
        target = self.room_across(len(words))
        done = self.build.emit(Opcode.STORE, source.ready, dram_address=target, address=address, beats=beats)
        self.dram_checks.append((target, words))
        size, stride = BEAT_BYTES * int(rng.integers(1, min(4, beats) + 1)), BEAT_BYTES * int(rng.integers(1, 4))
        rows = self.arch.table_entries
        while rows + 3 > self.arch.table_entries:
            shape = (int(rng.integers(1, 8)), int(rng.integers(1, 8)), int(rng.integers(1, 7)))
            rows = -(-int(np.prod(shape)) // size)
        entries = [int(n) for n in rng.integers(0, (len(words) - size) // stride + 1, rows + rng.integers(0, 3))]
        back = np.concatenate([words[n * stride :][:size] for n in entries[:rows]])
        place = self.build.room(len(back))
        mark = self.load_listed(Space.SCRATCHPAD, target, entries, rows, stride, size, place, [done])
        result = Map(place, back[: np.prod(shape)].reshape(shape), [mark])
        self._words[place] = (place, back)
        self.checks.append((place, back))
        return result

    def long_store(self) -> None:
        """Several bursts of a STORE: more than 4 KiB."""
        words = self.rng.integers(-128, 128, BEAT_BYTES * int(self.rng.integers(257, 600)), dtype=np.int8)
        source, target = self.build.load_map(words.reshape(1, 1, -1)), self.room_across(len(words))
        beats = len(words) // BEAT_BYTES
        self.build.emit(Opcode.STORE, source.ready, dram_address=target, address=source.address, beats=beats)
        self.dram_checks.append((target, words))
        self.barrier()

    def head(self, source: Map) -> None:
        """Logits over all pixels into the output region."""
        classes = self.filters(self._classes, (1, 1), source.values.shape[2])
        sums, read, window = self.summing(source, classes)
        # STORE writes whole beats: the bytes behind the logits are written, too.
        logits = self.build.load_map(np.zeros((1, 1, up(4 * self._classes, BEAT_BYTES)), np.int8))
        ready, raw = [*read.ready, *logits.ready], EpilogueKind.REDUCE_RAW
        done = emit_whole(self.build, read, classes, raw, logits.address, ready, window, read is not source)
        beats = logits.values.size // BEAT_BYTES
        self.build.emit(Opcode.STORE, [done], dram_address=self._output, address=logits.address, beats=beats)
        if self.left is None:
            self.logits = raw_logits(sums, classes.entries[1:])

    def early_exit(self, source: Map) -> bool:
        """Logits, and an EXIT by a table's count while their STORE and perhaps LOADs are under way: is it taken?"""
        decided = decision(self, self.build.masks[3])
        assert decided is not None, "between layers every table is free"
        self.head(source)
        if self.rng.integers(2):
            self.filters(int(self.rng.integers(1, 14)), (3, 3), int(self.rng.integers(1, 6)))
        self.build.emit(Opcode.EXIT, [decided.ready], count_table=decided.table, most=decided.most)
        self.build.give_table(decided.table)
        self.varied.append(decided.source)
        if decided.more:
            self.left = sum(int(row[0]) == Opcode.EXIT for row in self.build.rows) - 1
        self.barrier()
        return decided.more

    def finish(self, source: Map) -> Program:
        """Logits at the end; what lies behind an EXIT that is taken may be anything."""
        self.head(source)
        if len(self.build.rows) > LONGEST:
            raise NoRoom  # before it is encoded: what a SKIP leaves out might not fit its field
        output = (self._output, 4 * self._classes)
        program = self.build.program(output)
        if self.left is not None and self.rng.integers(2):
            last: int = np.flatnonzero(program.code[:, 0] == Opcode.EXIT)[self.left]
            behind = program.image[program.code_address + (last + 1) * INSTRUCTION_BYTES :]
            behind[:] = self.rng.integers(0, 256, len(behind), dtype=np.uint8)
        return program


def random_corners(seed: int, arch: ArchConfig | None = None) -> tuple[CornerNetwork, Program]:
    """A network, its expectations and its program, for a machine or for the one of the seed."""

    def draw(attempt: int) -> tuple[CornerNetwork, Program]:
        drawn = _drawn(CornerNetwork(seed, arch, attempt), largest(attempt))
        if len(drawn[1].code) > LONGEST:
            raise NoRoom
        return drawn

    return first_that_fits(draw)


def _drawn(network: CornerNetwork, edge: int) -> tuple[CornerNetwork, Program]:
    rng = network.rng
    in_bands = rng.integers(4) == 0
    shape = tall(rng, edge) if in_bands else (int(rng.integers(1, edge + 1)), int(rng.integers(1, edge + 1)))
    size = (*shape, int(rng.integers(1, min(edge, 6) + 1)))
    current = network.place(rng.integers(-128, 128, size, dtype=np.int8))
    network.varied.append(network.rows_at)
    if in_bands:
        current = banded(network, current)
        network.barrier()
    often = (network.seeing, network.stored, network.gated_inputs, partial(windowed, network))
    steps = [network.gated_inputs, *(step for step in often if rng.integers(4))]
    exit_behind = int(rng.integers(1, len(steps) + 2))
    checks = stores = None
    for number, at in enumerate(rng.permutation(len(steps))):
        if rng.integers(5) == 0 and network.arch.scratchpad_kib >= ROOM_FOR_LONG_STORES:
            network.long_store()
        step = steps[at]
        current = perhaps_left_out(network, step, current) if rng.integers(4) == 0 else step(current)
        network.barrier()
        if number + 1 >= exit_behind and network.left is None and network.early_exit(current):
            checks, stores = len(network.checks), len(network.dram_checks)
    program = network.finish(current)
    # Behind an EXIT that is taken nothing is written.
    del network.checks[checks if checks is not None else len(network.checks) :]
    del network.dram_checks[stores if stores is not None else len(network.dram_checks) :]
    return network, program
