"""Rows of maps in DRAM, on their way into the scratchpad and back, beside the work of a pass.

Port B belongs to one unit at a time, by waits: EPILOGUE is busy for a small part of a product's cycles, and LOAD and
STORE come between its instructions. So rows are moved in pieces, spread over the work of a step.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from gatewright.compiler.emit.access import PORT_B, reads, writes
from gatewright.compiler.emit.context import EARLIER, Context
from gatewright.compiler.plan.layout import slices_of
from gatewright.compiler.plan.spills import DramRows, Pass, Use, maps_of, use_of
from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.isa import Opcode, Space

PIECE_BEATS = 256
"""Beats that are moved at once: the epilogue waits for that long at most."""

_Piece = tuple[Opcode, int, int, int]


class _Stream:
    """The rows of one map that a pass has brought and taken away so far."""

    def __init__(self, rows: DramRows, use: Use) -> None:
        self.rows, self.use = rows, use
        self.loaded = self.stored = 0

    def bring(self, step: int) -> list[_Piece]:
        """What the pass needs in a step and has not yet."""
        if not self.use.reads or step >= len(self.use.needed):
            return []
        end = max(self.loaded, self.rows.whole_units(self.use.needed[step]))
        pieces = self.rows.transfers(self.loaded, end, PIECE_BEATS)
        self.loaded = end
        return [(Opcode.LOAD, *piece) for piece in pieces]

    def bring_some(self, step: int) -> list[_Piece]:
        """Rows of the step behind one, as far as the ring has room beside what is read and written from this one on."""
        if not self.use.reads or step + 1 >= len(self.use.needed):
            return []
        room = self.use.first[step] // self.rows.unit * self.rows.unit + self.rows.ring
        end = max(self.loaded, min(room, self.rows.whole_units(self.use.needed[step + 1])))
        pieces = self.rows.transfers(self.loaded, end, PIECE_BEATS)
        self.loaded = end
        return [(Opcode.LOAD, *piece) for piece in pieces]

    def free_for(self, other: DramRows, rows: int, step: int) -> int:
        """Of another ring's first ``rows`` those whose places this one has, and does not need from a step on.

        What the pass itself writes must have gone before.
        """
        if self.use.writes:
            rows = min(rows, self.stored)
        low = min(self.use.first[step] // self.rows.unit * self.rows.unit, self.stored)
        busy = _bytes(self.rows, low, self.rows.whole_units(self.rows.height))
        ring = range(self.rows.address, self.rows.address + self.rows.ring * self.rows.pitch)
        for first in range(0, rows, other.unit):
            for begin, end in _bytes(other, first, first + other.unit):
                inside = begin in ring and end - 1 in ring
                if not inside or any(begin < high and low < end for low, high in busy):
                    return first
        return rows

    def take(self, step: int) -> list[_Piece]:
        """What is complete behind a step, in whole units; behind the last, the rest."""
        if not self.use.writes or step < 0:
            return []
        done = self.use.written[step]
        end = self.rows.whole_units(done) if done == self.rows.height else done // self.rows.unit * self.rows.unit
        pieces = self.rows.transfers(self.stored, end, PIECE_BEATS)
        self.stored = max(self.stored, end)
        return [(Opcode.STORE, *piece) for piece in pieces]


def _bytes(rows: DramRows, first: int, end: int) -> list[tuple[int, int]]:
    """Where rows [first, end) lie in the scratchpad."""
    return [(address, address + beats * BEAT_BYTES) for _, address, beats in rows.transfers(first, end)]


class RowTraffic:
    """Emits the LOADs and STOREs of a pass. ``step`` before each of its steps, ``finish`` behind the last.

    In a live program, in whose rings passes follow one another (``DramRows.behind``), the STOREs of what the last step
    has made are postponed: gates, and the first rows of the pass behind, which went long ago, have port B first. What
    the pass ``behind`` needs first is brought in the last step, as far as the ring has room.
    """

    def __init__(self, context: Context, one: Pass, behind: Pass | None = None) -> None:
        self.context, self._steps, self._behind = context, one.steps, behind
        layers = {layer.name: layer for step in one.steps for layer, _ in step}.values()
        touched = {tensor: layer.name for layer in layers for tensor in maps_of(layer)}
        self.streams: list[_Stream] = []
        self._tensors: list[tuple[str, ...]] = []
        for spill in {spill.tensors: spill for spill in context.image.spills.values()}.values():
            use, using = use_of(one, spill.tensors, context.graph), touched.keys() & {*spill.tensors}
            rows = context.image.rows_for(touched[min(using)], min(using)) if using else None
            if rows is not None and (use.reads or use.writes):
                self.streams.append(_Stream(rows, use))
                self.streams[-1].loaded = context.rows_there.pop(spill.tensors, 0)
                self._tensors.append(spill.tensors)
        self.ahead = all(stream.rows.ahead for stream in self.streams)
        self._waiting: deque[_Piece] = deque()
        self._number, self._begun, self._pieces = -1, context.idle_port, 0
        self._share = 1.0
        """Of a step's idle cycles if all is active what the last one had: gates leave some out."""
        context.beside = self._between

    def step(self, number: int) -> None:
        """What a step needs is there behind this; what the next one needs is brought meanwhile."""
        self._flush()
        if number:
            self.context.postponed.emit_all()
            dense = self._dense_idle(number - 1)
            self._share = (self.context.idle_port - self._begun) / dense if dense > 0 else self._share
        for stream in self.streams:
            self._waiting += stream.take(number - 1)
            self._waiting += stream.bring(number)
        if not self.ahead or number == 0:
            self._flush()
        if self.ahead:
            for stream in self.streams:
                self._waiting += stream.bring(number + 1)
        elif self.context.live:
            for stream in self.streams:
                self._waiting += stream.bring_some(number)
        if number == len(self._steps) - 1 and self._behind is not None:
            self._bring_first_of(self._behind)
        self._number, self._begun, self._pieces = number, self.context.idle_port, self._left

    def _bring_first_of(self, behind: Pass) -> None:
        """As many as there is room for of the rows that the pass behind needs first."""
        image, graph = self.context.image, self.context.graph
        (layer, _), *_ = behind.steps[0]
        for stream, tensors in zip(self.streams, self._tensors, strict=True):
            rows = next((rows for name in tensors if (rows := image.rows_for(layer.name, name)) is not None), None)
            if rows is not None:
                needed = rows.whole_units(use_of(behind, tensors, graph).needed[0])
                there = self.context.rows_there[tensors] = stream.free_for(rows, needed, len(self._steps) - 1)
                self._waiting += [(Opcode.LOAD, *piece) for piece in rows.transfers(0, there, PIECE_BEATS)]

    @property
    def _left(self) -> int:
        return len(self._waiting) + len(self.context.postponed)

    def _between(self) -> None:
        """As much of what waits as the port has been idle, so that all of it has gone at the end of the step."""
        expected = self._share * self._dense_idle(self._number)
        done = (self.context.idle_port - self._begun) / expected if expected > 0 else 1.0
        done *= EARLIER if self.context.live else 1
        while self._left and self._left > (1 - done) * self._pieces:
            if len(self.context.postponed):
                self.context.postponed.emit_one()
            else:
                self._move(self._waiting.popleft())

    def _dense_idle(self, number: int) -> int:
        """What a step adds to ``idle_port`` if all tiles and channels are active."""
        arch, shapes = self.context.arch, self.context.graph.shapes
        return sum(
            (rows.end - rows.first)
            * shapes[layer.output].width
            * -(-len(layer.weight) // arch.columns)
            * (slices_of(layer.weight[0].size, arch) - 1 - (layer.residual is not None))
            for layer, rows in self._steps[number]
        )

    def finish(self) -> None:
        """The last rows may go."""
        self._flush()
        for piece in [piece for stream in self.streams for piece in stream.take(self._number)]:
            if not self.context.image.live:
                self._move(piece)
                continue
            _, dram, address, beats = piece
            size = beats * BEAT_BYTES
            place, taken = (address, address + size), (dram, dram + size)
            self.context.postponed.add(self.context.out.layer, place, taken, partial(self._move, piece))
        self.context.beside = lambda: None

    def _flush(self) -> None:
        while self._waiting:
            self._move(self._waiting.popleft())

    def _move(self, piece: _Piece) -> None:
        """A row that is brought follows the STORE that wrote it: both use port B."""
        opcode, dram, address, beats = piece
        place = "scratchpad", address, address + beats * BEAT_BYTES
        if opcode == Opcode.STORE:
            fields = {"beats": beats}
            accesses = [reads(*place), PORT_B]
        else:
            self.context.postponed.before_load((dram, dram + beats * BEAT_BYTES))
            fields = {"space": int(Space.SCRATCHPAD), "rows": 1, "row_beats": beats}
            accesses = [writes(*place), PORT_B]
        self.context.out.emit(opcode, accesses, dram_address=dram, address=address, **fields)
