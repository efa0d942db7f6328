"""The sequencer: fetch, dispatch, and the instructions that it runs itself."""

from __future__ import annotations

import numpy as np

from gatewright.contract.errors import GatewrightError
from gatewright.contract.instruction_words import decode
from gatewright.contract.isa import Opcode, Unit
from gatewright.contract.program import Program
from gatewright.contract.timing import CONTROL_LATENCY, END_LATENCY, FETCH_LATENCY
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.state import Shared


class Sequencer:
    """A program counter into the instruction memory, and one instruction a cycle to the units' queues.

    After boot and after NEXT a counter lets FETCH_LATENCY cycles pass. The instruction register is
    read from the instruction memory in the first cycle in which its instruction could be dispatched: its turn. For
    CONTROL_LATENCY cycles from then on the waits of a NEXT, EXIT or END are compared, and an EXIT's mask bit is read.
    Its number in the program is counted along: pages follow each other in the program as NEXT links them. An
    instruction that differs from the program's at that number was fetched before its page arrived.
    """

    def __init__(self, shared: Shared, program: Program) -> None:
        self._shared = shared
        self._program = program
        self._entry = 0
        self._row = 0
        self._waiting = True
        self._fetch = 0
        self._current: Instruction | None = None
        self._turn = 0
        self._leaving = False
        self._leave = 0
        self.executed: list[Instruction] = []
        self.stopped = False

    def step(self, boot_done: bool) -> None:
        """One clock cycle."""
        if self._waiting:
            if not boot_done:
                return
            self._waiting = False
            self._fetch = FETCH_LATENCY
        if self._fetch:
            self._fetch -= 1
            return
        current = self._current or self._read()
        if current.unit == Unit.SEQUENCER:
            self._control(current)
        elif not self._shared.queues[current.unit].full:
            current.dispatch = self._shared.clock.cycle
            self._shared.queues[current.unit].push(current)
            self._shared.completions.give(current)
            self._advance(current, self._entry + 1)

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
        self._turn = self._shared.clock.cycle
        return self._current

    def _advance(self, executed: Instruction, entry: int) -> None:
        self.executed.append(executed)
        self._current = None
        self._entry = entry
        self._row += 1

    def _control(self, current: Instruction) -> None:
        """NEXT, EXIT or END in its turn: it runs once its waits are met, CONTROL_LATENCY cycles on at the earliest."""
        if self._leaving:
            self._leave -= 1
            if self._leave <= 0 and self._shared.completions.idle:
                self._finish(current, self._entry)
                self.stopped = True
            return
        if self._shared.clock.cycle < self._turn + CONTROL_LATENCY or not self._shared.completions.met(current):
            return
        if current.opcode == Opcode.NEXT:
            self._finish(current, current["entry"])
            self._fetch = FETCH_LATENCY - 1
            return
        if current.opcode == Opcode.EXIT:
            taken = bool(self._shared.masks.read(current["mask"], np.array([current["bit"]]), current)[0])
            if not taken:
                self._finish(current, self._entry + 1)
                return
        self._leaving = True
        self._leave = END_LATENCY

    def _finish(self, current: Instruction, entry: int) -> None:
        now = self._shared.clock.cycle
        current.dispatch = current.start = current.run = now
        current.done = now + 1
        self._advance(current, entry)
