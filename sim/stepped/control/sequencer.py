"""The sequencer: fetch, dispatch, and the instructions that it runs itself."""

from __future__ import annotations

from enum import Enum, auto

import numpy as np

from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import DRAM_ADDRESSES, ONE_IMAGE, Images
from gatewright.contract.instruction_words import decode
from gatewright.contract.isa import Opcode, Space, Unit
from gatewright.contract.program import Program
from gatewright.contract.timing import CONTROL_LATENCY, END_LATENCY, FETCH_LATENCY
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.state import Shared


class _State(Enum):
    """What the sequencer does in a cycle."""

    BOOT = auto()
    """Page 0 is on its way."""
    FETCH = auto()
    """Cycles pass until the next instruction is there."""
    TURN = auto()
    """An instruction has its turn."""
    SETTLE = auto()
    """An EXIT, a SKIP or an END has decided, and waits for units to become idle."""


class Sequencer:
    """A program counter into the instruction memory, and one instruction a cycle to the units' queues.

    After boot and after NEXT a counter lets FETCH_LATENCY cycles pass. The instruction register is
    read from the instruction memory in the first cycle in which its instruction could be dispatched: its turn. For
    CONTROL_LATENCY cycles from then on the waits of a NEXT, EXIT, SKIP or END are compared, and the count of a table
    is read. A counter holds how many instructions a SKIP still leaves out: their waits are compared as long where LOAD
    may not have come so far.
    Its number in the program is counted along: pages follow each other in the program as NEXT links them. An
    instruction that differs from the program's at that number was fetched before its page arrived.
    """

    def __init__(self, shared: Shared, program: Program, images: Images = ONE_IMAGE) -> None:
        self._shared = shared
        self._program = program
        self._images = images
        self._state = _State.BOOT
        self._entry = self._row = self._left_out = 0
        self._fetch = 0
        self._current: Instruction | None = None
        self._turn = 0
        self._settle = 0
        self.image = 0
        """Images that have ended."""
        self.boots = False
        """Whether the next cycle is the first of an image."""
        self.executed: list[Instruction] = []

    @property
    def stopped(self) -> bool:
        """Whether the last image has ended."""
        return self.image == self._images.count

    def step(self, boot_done: bool) -> None:
        """One clock cycle."""
        self.boots = False
        if self._state == _State.BOOT:
            if not boot_done:
                return
            self._state, self._fetch = _State.FETCH, FETCH_LATENCY
        if self._state == _State.FETCH:
            if self._fetch:
                self._fetch -= 1
                return
            self._state = _State.TURN
        current = self._current or self._read()
        if self._state == _State.SETTLE:
            self._decided(current)
        elif self._left_out and not _runs_always(current):
            self._leave_out(current)
        elif current.unit == Unit.SEQUENCER:
            self._control(current)
        elif not self._shared.queues[current.unit].full:
            current.dispatch = self._shared.clock.cycle
            self._shared.queues[current.unit].push(current)
            self._shared.completions.give(current)
            self.executed.append(current)
            self._advance(self._entry + 1)

    def _read(self) -> Instruction:
        row = self._row
        if row >= len(self._program.code):
            raise GatewrightError(
                f"the program ran past its last instruction ({row - 1}); let it end with END, and pages with NEXT"
            )
        try:
            code = decode(self._shared.instructions.read(self._entry))[0]
        except GatewrightError as error:
            raise GatewrightError(
                f"instruction memory entry {self._entry} holds no instruction in cycle {self._shared.clock.cycle}, "
                f"where instruction {row} is due ({error}); let the NEXT before it wait for the page's LOAD"
            ) from error
        if not np.array_equal(code, self._program.code[row]):
            raise GatewrightError(
                f"instruction memory entry {self._entry} does not hold instruction {row} "
                f"({self._program.opcode_name(row)}) in cycle {self._shared.clock.cycle}; "
                "let the NEXT before it wait for the page's LOAD"
            )
        self._current = Instruction(row, code)
        self._place_in_ring(self._current)
        self._turn = self._shared.clock.cycle
        return self._current

    def _place_in_ring(self, current: Instruction) -> None:
        """Make the address of an instruction of the images' rings that of this image."""
        ring = {Opcode.LOAD: self._images.inputs, Opcode.STORE: self._images.outputs}.get(current.opcode)
        if ring is not None and current["ring"]:
            current.fields["dram_address"] = (current["dram_address"] + ring.place(self.image)) % DRAM_ADDRESSES

    def _advance(self, entry: int) -> None:
        """The instruction register is free for the one at an entry."""
        self._current = None
        self._entry = entry
        self._row += 1
        self._left_out -= self._left_out > 0

    def _leave_out(self, current: Instruction) -> None:
        """All units but LOAD are idle, so that only what LOAD has yet to complete can hold an instruction here."""
        waits_for_load = any(unit == Unit.LOAD for unit, _ in current.waits)
        if current.unit == Unit.LOAD or waits_for_load:
            if self._shared.clock.cycle < self._turn + CONTROL_LATENCY or not self._shared.completions.met(current):
                return
            if current.unit == Unit.LOAD and not self._shared.completions.idle:
                return
        if current.unit != Unit.SEQUENCER:
            self._shared.completions.leave_out(current)
        self._advance(self._entry + 1)

    def _control(self, current: Instruction) -> None:
        """An instruction of the sequencer runs once its waits are met, CONTROL_LATENCY cycles on at the earliest."""
        if self._shared.clock.cycle < self._turn + CONTROL_LATENCY or not self._shared.completions.met(current):
            return
        if current.opcode == Opcode.NEXT:
            self._finish(current, current["entry"])
            self._state, self._fetch = _State.FETCH, FETCH_LATENCY - 1
        elif current.opcode == Opcode.END or self._taken(current):
            self._state, self._settle = _State.SETTLE, END_LATENCY
        else:
            self._finish(current, self._entry + 1)

    def _taken(self, current: Instruction) -> bool:
        """Whether an EXIT ends the image, or a SKIP leaves out what follows, by the table's count now."""
        more = self._shared.tables.deciding_count(current["count_table"]) > current["most"]
        return more == (current.opcode == Opcode.EXIT)

    def _decided(self, current: Instruction) -> None:
        """Behind the decision: END_LATENCY cycles, and whatever is still under way in the units that count."""
        self._settle -= 1
        skips, completions = current.opcode == Opcode.SKIP, self._shared.completions
        if self._settle > 0 or not (completions.idle_but_load if skips else completions.idle):
            return
        self._finish(current, self._entry + 1)
        if skips:
            self._state, self._left_out = _State.TURN, current["instructions"]
        else:
            self._end_image()

    def _end_image(self) -> None:
        """The counts become 0, and page 0 comes again if images are left."""
        self.image += 1
        self._state = _State.BOOT
        self._entry = self._row = self._left_out = 0
        self._shared.completions.begin_again()
        self.boots = not self.stopped

    def _finish(self, current: Instruction, entry: int) -> None:
        now = self._shared.clock.cycle
        current.dispatch = current.start = current.run = now
        current.done = now + 1
        self.executed.append(current)
        self._advance(entry)


def _runs_always(current: Instruction) -> bool:
    """Whether no SKIP leaves this instruction out: the order of the pages, and the end."""
    loads_page = current.opcode == Opcode.LOAD and current["space"] == Space.INSTRUCTIONS
    return loads_page or current.opcode in (Opcode.NEXT, Opcode.END)
