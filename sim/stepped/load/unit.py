"""LOAD: addresses of bursts out, beats of data in, and the completion of loads in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.axi import burst_beats
from gatewright.contract.isa import NO_TABLE, Space, Unit
from gatewright.contract.timing import DECODE_LATENCY, LOAD_ISSUE, LOAD_LATENCY
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.load.writer import Beat, BeatWriter
from gatewright.sim.stepped.memories.channel import READ
from gatewright.sim.stepped.state import Shared


@dataclass
class Burst:
    """A read burst in flight: ``ready`` is the cycle at which its data may begin."""

    instruction: Instruction
    address: int
    beats: int
    row: int
    rows: int
    column: int
    last: bool
    ready: int = 0


@dataclass
class Retiring:
    """A load in flight; ``remaining`` cycles until it may complete, None while data is outstanding."""

    instruction: Instruction
    remaining: int | None
    empty: bool = False


class LoadUnit:
    """Three machines that run apart: burst addresses, the data channel, and completion in order.

    The first address leaves LOAD_ISSUE cycles after its instruction's start, and one in each cycle after, while
    fewer than ``outstanding`` bursts are in flight. The data channel adds ``beats`` to a phase register each
    cycle of a burst; a beat arrives when it reaches ``per_cycles``. After a burst it idles ``burst_gap``
    cycles. A beat is registered, turned or skewed into its lanes, and written two cycles after its arrival. The count
    rises LOAD_LATENCY cycles after the cycle that follows the last beat, once a cycle. A load without rows keeps the
    unit until it completes; if it is one of a table, the table's count is set two cycles after its start.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._dram = shared.arch.dram
        self._writer = BeatWriter(shared)
        self._bursts: Iterator[Burst] | None = None
        self._next: Burst | None = None
        self._issue = 0
        self._flight: deque[Burst] = deque()
        self._current: Burst | None = None
        self._beat = 0
        self._phase = 0
        self._gap = 0
        self._retiring: deque[Retiring] = deque()
        self._booting: Instruction | None = None

    def boot(self, instruction: Instruction) -> None:
        """Read page 0 as if ``instruction`` had been taken from the queue in this cycle; it counts for nothing."""
        self._booting = instruction
        instruction.start = instruction.run = self._shared.clock.cycle
        self._begin(instruction)

    def step(self) -> None:
        """One clock cycle."""
        if self._next is None and not any(load.empty for load in self._retiring):
            started = self._shared.take(Unit.LOAD)
            if started is not None:
                self._begin(started)
        in_flight = len(self._flight) + (self._current is not None)
        if self._retiring:
            self._retire()
        self._writer.step()
        if in_flight or self._gap:
            self._receive()
        if self._issue:
            self._issue -= 1
        elif self._next is not None and in_flight < self._dram.outstanding:
            self._send()

    def _begin(self, instruction: Instruction) -> None:
        rows = instruction["rows"] if instruction["row_beats"] else 0
        if instruction["row_table"] != NO_TABLE:
            listed = self._shared.tables.count(instruction["row_table"]) - instruction["first_row"]
            rows = max(0, min(rows, listed))
        if rows == 0:
            self._retiring.append(Retiring(instruction, LOAD_LATENCY, empty=True))
            return
        self._retiring.append(Retiring(instruction, None))
        self._bursts = self._split(instruction, rows)
        self._next = next(self._bursts)
        self._issue = LOAD_ISSUE

    def _split(self, instruction: Instruction, rows: int) -> Iterator[Burst]:
        """The bursts of a load, one per address cycle: rows in order, split at 4 KiB."""
        for row in range(rows):
            source = instruction["first_row"] + row
            if instruction["row_table"] != NO_TABLE:
                source = self._shared.tables.read(instruction["row_table"], source, instruction)
            address = instruction["dram_address"] + source * instruction["row_stride"]
            column = 0
            while column < instruction["row_beats"]:
                beats = burst_beats(address, instruction["row_beats"] - column)
                last = row == rows - 1 and column + beats == instruction["row_beats"]
                yield Burst(instruction, address, beats, row, rows, column, last)
                address += beats * BEAT_BYTES
                column += beats

    def _send(self) -> None:
        burst = self._next
        assert burst is not None and self._bursts is not None
        burst.ready = self._shared.clock.cycle + self._dram.latency
        self._flight.append(burst)
        self._shared.channel.enter(READ)
        self._next = next(self._bursts, None)

    def _receive(self) -> None:
        if self._gap:
            self._gap -= 1
            return
        if self._current is None:
            if not self._flight or self._flight[0].ready > self._shared.clock.cycle:
                return
            if not self._shared.channel.turn(READ):
                return
            self._current, self._beat, self._phase = self._flight.popleft(), 0, 0
        burst = self._current
        self._phase += self._dram.beats
        if self._phase < self._dram.per_cycles:
            return
        self._phase -= self._dram.per_cycles
        address = burst.address + self._beat * BEAT_BYTES
        data = self._shared.dram.read(address, BEAT_BYTES, burst.instruction)
        final = self._beat == burst.beats - 1
        self._writer.accept(
            Beat(burst.instruction, data, burst.row, burst.rows, burst.column + self._beat, burst.last and final)
        )
        self._beat += 1
        if final:
            self._current = None
            self._gap = self._dram.burst_gap
            self._shared.channel.leave()
            if burst.last:
                waiting = next(r for r in self._retiring if r.remaining is None)
                waiting.remaining = LOAD_LATENCY

    def _retire(self) -> None:
        for load in self._retiring:
            if load.remaining:
                load.remaining -= 1
                if load.empty and load.remaining == DECODE_LATENCY:
                    self._set_count(load.instruction)
        if self._retiring and self._retiring[0].remaining == 0:
            instruction = self._retiring.popleft().instruction
            if instruction is self._booting:
                instruction.done = self._shared.clock.cycle + 1
            else:
                self._shared.completions.retire(instruction)

    def _set_count(self, instruction: Instruction) -> None:
        """The count of a table that is loaded without rows, DECODE_LATENCY cycles before the completion at least."""
        if instruction["space"] == Space.TABLE:
            self._shared.tables.set_count(instruction["address"], instruction["count"], instruction)

    @property
    def boot_done(self) -> bool:
        """Whether page 0 is in the instruction memory, in this cycle."""
        return self._booting is not None and 0 <= self._booting.done <= self._shared.clock.cycle
