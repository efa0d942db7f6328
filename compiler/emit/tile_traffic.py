"""Tiles and rows of maps in DRAM, on their way into the rings of a pass and back, beside its work.

Port B belongs to one unit at a time, by waits: EPILOGUE is busy for a part of a product's cycles, and LOAD and STORE
come between its instructions. So maps are moved in pieces, spread over the work of a step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from gatewright.compiler.emit.access import PORT_B, reads, writes
from gatewright.compiler.emit.context import EARLIER, Context
from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.isa import NO_TABLE, Opcode, Space

STEPS_AHEAD = 4
"""Steps whose tiles may come before it is their turn."""

PIECE_BEATS = 512
"""Beats that are moved at once: the epilogue waits for that long at most."""


@dataclass(frozen=True)
class Piece:
    """``rows`` runs of ``beats`` beats: in DRAM ``stride`` bytes apart, on chip one behind the other."""

    dram: int
    address: int
    beats: int
    rows: int = 1
    stride: int = 0

    @property
    def end(self) -> int:
        """The byte on chip behind it."""
        return self.address + self.rows * self.beats * BEAT_BYTES

    @property
    def dram_range(self) -> tuple[int, int]:
        """The bytes in DRAM, with what lies between its runs."""
        return self.dram, self.dram + (self.rows - 1) * self.stride + self.beats * BEAT_BYTES


@dataclass(frozen=True)
class Place:
    """Units (tiles, or rows that are whole beats) of ``size`` bytes: in DRAM, and ``ring`` of them on chip."""

    dram: int
    address: int
    ring: int
    size: int

    def slot(self, unit: int) -> int:
        """Where a unit lies on chip."""
        return self.address + unit % self.ring * self.size

    def runs(self, units: Sequence[int]) -> list[Piece]:
        """Pieces of some units in ascending order: those that lie one behind the other at once, but not too much."""
        found: list[list[int]] = []
        for unit in units:
            if found and found[-1][1] == unit and unit % self.ring:
                found[-1][1] = unit + 1
            else:
                found.append([unit, unit + 1])
        step = PIECE_BEATS * BEAT_BYTES
        return [
            Piece(self.dram + first * self.size + byte, self.slot(first) + byte, min(step, size - byte) // BEAT_BYTES)
            for first, end in found
            for size in ((end - first) * self.size,)
            for byte in range(0, size, step)
        ]


class Stream:
    """The units of a map that a pass uses, and how far they have come or gone.

    ``units`` in ascending order. For each step: units before ``needed`` must be there, those before ``kept`` need not
    any more, those before ``done`` are complete behind it.
    """

    def __init__(
        self,
        units: Sequence[int],
        ring: int,
        pieces: Callable[[Sequence[int]], list[Piece]],
        needed: Sequence[int] = (),
        kept: Sequence[int] = (),
        done: Sequence[int] = (),
    ) -> None:
        self._coming, self._going = deque(units if needed else ()), deque(units if done else ())
        self.ring, self.pieces, self.needed, self.kept, self.done = ring, pieces, needed, kept, done

    def bring(self, step: int) -> list[Piece]:
        """What a step needs and is not there."""
        return self._bring(self.needed[step]) if self.needed else []

    def bring_first(self) -> list[Piece]:
        """Before step 0, all that there is room for."""
        return self._bring(min(self.kept[0] + self.ring, self.needed[-1]))

    def bring_ahead(self, step: int) -> list[Piece]:
        """Beside a step, what the next ones need and there is room for."""
        if step + 1 >= len(self.needed):
            return []
        following = self.needed[min(step + STEPS_AHEAD, len(self.needed) - 1)]
        return self._bring(min(following, self.kept[step] + self.ring))

    def _bring(self, end: int) -> list[Piece]:
        units = []
        while self._coming and self._coming[0] < end:
            units.append(self._coming.popleft())
        return self.pieces(units)

    def take(self, step: int) -> list[Piece]:
        """What is complete behind a step."""
        units = []
        while self.done and step >= 0 and self._going and self._going[0] < self.done[step]:
            units.append(self._going.popleft())
        return self.pieces(units)

    def takes_at_once(self, step: int) -> bool:
        """Whether a step writes where something lies that was complete a step before."""
        if not self.done or self.needed or step == 0:
            return False
        before = self.done[step - 2] if step > 1 else 0
        return self.done[step] - before > self.ring


class TileTraffic:
    """Emits the LOADs and STOREs of a pass. ``step`` before each of its steps, ``finish`` behind the last.

    The STOREs of what the last step has made are postponed: what comes behind it has port B first, and so have the
    first tiles of the pass behind, which went long ago.

    ``idle``: for each step about the array's cycles less those for which the epilogue has the port. ``follows``: the
    table of a gate of whole maps, if nothing comes without its decision.
    """

    def __init__(
        self,
        context: Context,
        incoming: list[Stream],
        outgoing: list[Stream],
        idle: Sequence[int],
        follows: int | None = None,
    ) -> None:
        self.context, self.incoming, self.outgoing, self.idle = context, incoming, outgoing, idle
        self.follows = follows
        self._coming: deque[Piece] = deque()
        self._early: deque[Piece] = deque()
        self._number, self._begun, self._pieces, self._expected = -1, 0, 0, 0

    def begin_beside(self, busy: tuple[int, int], idle: int) -> None:
        """Fill the rings while a layer works that keeps a range of bytes busy, for ``idle`` cycles."""
        for stream in self.incoming:
            for piece in stream.bring_first():
                free = piece.address >= busy[1] or piece.end <= busy[0]
                (self._early if free else self._coming).append(piece)
        self._begun, self._pieces, self._expected = self.context.idle_port, len(self._early), idle
        self.context.beside = self._between_early

    def _between_early(self) -> None:
        while self._early and len(self._early) > (1 - self._done()) * self._pieces:
            load(self.context, self._early.popleft(), self.follows)

    def _done(self) -> float:
        """The share of a step, or of the layer before, that has gone."""
        if self._expected <= 0:
            return 1.0
        return (EARLIER if self.context.live else 1) * (self.context.idle_port - self._begun) / self._expected

    def step(self, number: int, layer: str) -> None:
        """What a step needs is there behind this; what the next one needs is brought meanwhile.

        What is complete behind the step before is a layer's. It goes before the next one's tiles come.
        """
        self._move_all(number)
        self._take(number - 1, layer)
        coming = [piece for stream in self.incoming for piece in stream.bring(number)]
        self._coming += coming
        if coming or any(stream.takes_at_once(number) for stream in self.outgoing):
            self._move_all(number)
        for stream in self.incoming:
            self._coming += stream.bring_ahead(number)
        self._number, self._begun, self._pieces = number, self.context.idle_port, self._left
        self._expected, self.context.beside = self.idle[number], self._between

    def _between(self) -> None:
        """As much of what waits as the port has been idle, so that all of it has gone at the end of the step."""
        while self._left and self._left > (1 - self._done()) * self._pieces:
            if len(self.context.postponed):
                self.context.postponed.emit_one()
            else:
                load(self.context, self._coming.popleft(), self.follows)

    @property
    def _left(self) -> int:
        return len(self._coming) + len(self.context.postponed)

    def finish(self, layer: str) -> None:
        """The last units may go."""
        self._move_all(self._number)
        self._take(self._number, layer)
        self.context.beside = lambda: None

    def _take(self, step: int, layer: str) -> None:
        """What is complete behind a step may go."""
        for stream in self.outgoing:
            for piece in stream.take(step):
                place = piece.address, piece.end
                self.context.postponed.add(layer, place, piece.dram_range, partial(store, self.context, piece))

    def _move_all(self, step: int) -> None:
        """What waits; before step 0 what the pass before has left goes on waiting."""
        if step:
            self.context.postponed.emit_all()
        for pieces in (self._early, self._coming):
            while pieces:
                load(self.context, pieces.popleft(), self.follows)


def store(context: Context, piece: Piece) -> None:
    """Emit the STORE of a piece of one run."""
    place = "scratchpad", piece.address, piece.end
    context.out.emit(
        Opcode.STORE, [reads(*place), PORT_B], dram_address=piece.dram, address=piece.address, beats=piece.beats
    )


def load(context: Context, piece: Piece, follows: int | None = None) -> None:
    """Emit the LOAD of a piece, behind the STOREs of what it brings, and behind a table that it ``follows``."""
    context.postponed.before_load(piece.dram_range)
    place = "scratchpad", piece.address, piece.end
    decided = [] if follows is None else [reads("table", follows, follows + 1)]
    context.out.emit(
        Opcode.LOAD,
        [writes(*place), PORT_B, *decided],
        space=Space.SCRATCHPAD,
        dram_address=piece.dram,
        address=piece.address,
        rows=piece.rows,
        row_beats=piece.beats,
        row_stride=piece.stride,
        row_table=NO_TABLE,
    )
