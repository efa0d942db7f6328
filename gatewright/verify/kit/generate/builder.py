"""Hand-made layers for the stepped simulator's tests: instructions with every wait that they need."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, PARAMETER_BYTES, ArchConfig
from gatewright.contract.encodings import REGION_UNIT, SCRATCHPAD_SPACE
from gatewright.contract.isa import FORMATS, NO_TABLE, WAITS, Opcode, Space, Unit
from gatewright.contract.program import Program
from gatewright.verify.kit.generate.operands import beats_of_vector, by_reduction, by_vector, parameters, slices_of
from gatewright.verify.kit.programs import Image, Row, make_program, row

Int8 = npt.NDArray[np.int8]
Mark = tuple[Unit, int]
"""A wait: what a unit has counted once an instruction is complete."""


def up(value: int, multiple: int) -> int:
    """``value`` rounded up."""
    return value + -value % multiple


@dataclass
class Map:
    """A feature map in the scratchpad and its expected contents, [y, x, channel].

    With ``ring`` only so many rows are held at a time: row y lies where row y mod ``ring`` of a whole map would.
    """

    address: int
    values: Int8
    ready: list[Mark] = field(default_factory=list)
    ring: int = 0

    def rows(self, first: int, end: int) -> tuple[int, dict[str, int]]:
        """(address of row 0, the fields of the wrap) for an instruction that uses rows ``first`` to ``end`` - 1."""
        if not self.ring:
            return self.address, {}
        assert end - first <= self.ring, "an instruction uses more rows than the ring holds"
        _, width, channels = self.values.shape
        size, turns = self.ring * width * channels, first // self.ring
        border = (turns + 1) * self.ring
        address = (self.address - turns * size) % SCRATCHPAD_SPACE
        return address, {"wrap_row": border if border < end else 0, "wrap_bytes": size}


@dataclass
class Filters:
    """Weights [filter, kh, kw, channel] and parameters in their buffers.

    ``parameter`` is the entry of filter 0; the pooling's, before it, is there only if it was loaded.
    """

    weights: Int8
    entries: list[tuple[int, int, int]]
    base: int
    vectors: int
    parameter: int
    ready: list[Mark]


class Builder:
    """Emits instructions in order and knows each unit's count, so that waits are written by mark."""

    def __init__(self, arch: ArchConfig) -> None:
        self.arch = arch
        self.image = Image()
        self.rows: list[Row] = []
        self.counts = dict.fromkeys(Unit, 0)
        self._weight_word = 0
        self._parameter = 0
        self._scratchpad = 0

    def emit(self, opcode: Opcode, waits: list[Mark] | None = None, **fields: int) -> Mark:
        """Append an instruction; only the latest mark of each unit is kept as a wait. Returns its own mark."""
        latest: dict[Unit, int] = {}
        for unit, count in waits or []:
            latest[unit] = max(count, latest.get(unit, 0))
        marks = list(latest.items())
        if len(marks) > WAITS:
            # An EXIT by no table holds the sequencer until the marks are reached.
            self.rows.append(row(Opcode.EXIT, marks[WAITS:]))
        self.rows.append(row(opcode, marks[:WAITS], **fields))
        unit = FORMATS[opcode].unit
        self.counts[unit] += 1
        return unit, self.counts[unit]

    def mark(self, unit: Unit) -> Mark:
        """Everything given to a unit so far."""
        return unit, self.counts[unit]

    def room(self, size: int, odd: int = 0) -> int:
        """A free piece of the scratchpad; ``odd`` bytes off a word."""
        address = self._scratchpad + odd
        self._scratchpad = up(address + size, BEAT_BYTES)
        assert self._scratchpad <= self.arch.scratchpad_bytes, "the test's maps do not fit the scratchpad"
        return address

    def load_map(self, values: Int8) -> Map:
        """LOAD a map into the scratchpad."""
        source = self.image.add(values)
        address = self.room(up(values.size, BEAT_BYTES))
        beats = up(values.size, BEAT_BYTES) // BEAT_BYTES
        mark = self.emit(
            Opcode.LOAD, dram_address=source, space=Space.SCRATCHPAD, address=address, rows=1, row_beats=beats
        )
        return Map(address, values, [mark])

    def load_filters(
        self,
        weights: Int8,
        entries: list[tuple[int, int, int]],
        reduction_rows: bool,
        row_table: int = NO_TABLE,
        waits: list[Mark] | None = None,
        pooled: bool = True,
    ) -> Filters:
        """LOAD weights, by reduction or by vector, and parameters.

        Entry 0 of ``entries`` is the pooling's: it is loaded if ``pooled``.
        """
        filters, kernel_height, kernel_width, channels = weights.shape
        taps = kernel_height * kernel_width
        vectors, slices = up(filters, REGION_UNIT), slices_of(self.arch, taps * channels)
        base = self.weight_room(vectors, slices)
        if reduction_rows:
            beats = taps * -(-filters // BEAT_BYTES)
            source = self.image.add(by_reduction(weights.reshape(filters, taps, channels)))
            fields = {"space": Space.WEIGHTS_BY_REDUCTION, "rows": channels, "taps": taps}
        else:
            beats = beats_of_vector(self.arch, taps * channels)
            source = self.image.add(by_vector(self.arch, weights.reshape(filters, -1)))
            fields = {"space": Space.WEIGHTS_BY_VECTOR, "rows": filters, "count": slices}
        self.emit(
            Opcode.LOAD,
            waits,
            row_table=row_table,
            dram_address=source,
            address=base // REGION_UNIT,
            row_beats=beats,
            row_stride=BEAT_BYTES * beats,
            vectors=vectors,
            **fields,
        )
        first, mark = self.load_parameters(parameters(entries if pooled else entries[1:]))
        return Filters(weights, entries, base, vectors, first + pooled, [mark])

    def load_parameters(self, raw: bytes) -> tuple[int, Mark]:
        """LOAD parameter entries, in whole beats; the first one's number, and when they are there."""
        first = self.parameter_room(len(raw) // PARAMETER_BYTES)
        mark = self.emit(
            Opcode.LOAD,
            dram_address=self.image.add(raw),
            space=Space.PARAMETERS,
            address=first,
            rows=1,
            row_beats=len(raw) // BEAT_BYTES,
        )
        return first, mark

    def weight_room(self, vectors: int, slices: int) -> int:
        """The first word of a new region of the weight buffer."""
        base = self._weight_word
        self._weight_word += up(vectors * slices, REGION_UNIT)
        return base

    def parameter_room(self, entries: int) -> int:
        """The first of some new parameter entries."""
        first = self._parameter
        self._parameter += entries
        return first

    def patch_room(self, words: int) -> int:
        """The begin, in units of 4 words, of a region of the patch buffer that no product needs any more."""
        return 0

    def accumulator_room(self, entries: int) -> int:
        """The first of some entries of an accumulator bank that is free."""
        return 0

    def banks(self) -> list[int]:
        """The accumulator banks that a layer uses in turn."""
        return [0, 1]

    def load_table(self, table: int, entries: list[int], waits: list[Mark] | None = None) -> Mark:
        """LOAD an index table, behind the INDEXes so far: they share the tables' write port.

        An empty one has its count at once, and so must come behind the LOADs before it.
        """
        raw = np.array(entries, "<u2").tobytes() + bytes(-2 * len(entries) % BEAT_BYTES)
        source = self.image.add(raw)
        before = [] if entries else [self.mark(Unit.LOAD)]
        return self.emit(
            Opcode.LOAD,
            [*(waits or []), *before, *([self.mark(Unit.INDEX)] if self.counts[Unit.INDEX] else [])],
            dram_address=source,
            space=Space.TABLE,
            address=table,
            rows=min(1, len(entries)),
            row_beats=len(raw) // BEAT_BYTES,
            count=len(entries),
        )

    def hold_epilogue(self, waits: list[Mark]) -> None:
        """An EPILOGUE without work: the next one's preload, which looks at no waits, comes after ``waits``."""
        self.emit(Opcode.EPILOGUE, waits, tile=1)

    def store(self, address: int, size: int, waits: list[Mark]) -> int:
        """STORE whole beats to a new place in the image; returns its address."""
        target = self.image.reserve(up(size, BEAT_BYTES))
        self.emit(Opcode.STORE, waits, dram_address=target, address=address, beats=up(size, BEAT_BYTES) // BEAT_BYTES)
        return target

    def program(self, output: tuple[int, int] = (0, 0), page_size: int | None = None) -> Program:
        """The program so far."""
        return make_program(self.arch, self.rows, self.image, output_region=output, page_size=page_size)
