"""One run in progress: the memories, the tables that the kernels fill, and what stops the kernels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import INSTRUCTION_BYTES
from gatewright.contract.encodings import INSTRUCTION_BEATS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import ONE_IMAGE, Images
from gatewright.contract.instruction_limit import instruction_limit
from gatewright.contract.instruction_words import decode
from gatewright.contract.isa import COLUMNS, NO_TABLE, Opcode
from gatewright.contract.program import Program
from gatewright.contract.trace import TRACE_DTYPE
from gatewright.sim.fast import faults, load, sequencer, work
from gatewright.sim.fast.channel import writes_of
from gatewright.sim.fast.context import BURSTS_FULL, FINISHED, MISTAKEN, PAGE_LOADED, STOPPED
from gatewright.sim.fast.state import ILLEGAL, LEGAL, geometry, new_state

_FIRST_BURSTS = 4096


@lru_cache(maxsize=256)
def decode_page(data: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], dict[int, str]]:
    """Decoded rows, LEGAL or ILLEGAL for each, and what is wrong with the illegal ones."""
    count = len(data) // INSTRUCTION_BYTES
    legal = np.full(count, LEGAL, np.uint8)
    try:
        return decode(data), legal, {}
    except GatewrightError:
        code, notes = np.zeros((count, COLUMNS), np.int64), {}
    for entry in range(count):
        try:
            code[entry] = decode(data[entry * INSTRUCTION_BYTES : (entry + 1) * INSTRUCTION_BYTES])[0]
        except GatewrightError as error:
            legal[entry] = ILLEGAL
            notes[entry] = str(error).split(": ", 1)[-1]
    return code, legal, notes


class Run:
    """A program, the machine's state, and how far it got.

    Rows of ``executed`` and ``work``: for each image the boot page's LOAD, then the instructions.
    """

    def __init__(self, program: Program, image: npt.NDArray[np.uint8], images: Images = ONE_IMAGE) -> None:
        arch = program.arch
        self.images = images
        self.geometry = geometry(arch)
        self.state = new_state(arch, image)
        self.memory = np.zeros((arch.instruction_entries, COLUMNS), np.int64)
        self.notes: dict[int, str] = {}
        self.progress = np.zeros(sequencer.PROGRESS_COLUMNS, np.int64)
        self.executed = np.zeros((len(program.code) + 2, COLUMNS), np.int64)
        self.work = np.zeros((len(program.code) + 2, work.WORK_COLUMNS), np.int64)
        self.bursts = np.zeros(_FIRST_BURSTS, np.int64)
        self._boot = _boot_row(program)
        self._limit = instruction_limit(len(program.code))
        self._rings = np.zeros(2, np.int64)
        self.boot_row = 0
        """Of the image under way; the row of its instruction n lies n + 1 behind."""
        self._begin_image()
        self.advance(1)

    @property
    def count(self) -> int:
        """Instructions executed so far, without the boot page's LOAD."""
        return int(self.progress[sequencer.EXECUTED]) - 1

    @property
    def pc(self) -> int:
        """Instruction memory entry of the next instruction."""
        return int(self.progress[sequencer.PC])

    def advance(self, stop: int = -1) -> bool:
        """Execute until the last image's end (returns True), or until ``stop`` rows, boot LOADs included, are done."""
        while self.advance_image(stop):
            if not self.begin_next_image():
                return True
        return False

    def advance_image(self, stop: int = -1) -> bool:
        """``advance`` until this image's end at most: True if it has ended, with which the next one does not begin."""
        while True:
            status = sequencer.run_values(
                self.geometry,
                self.state,
                self.memory,
                self.progress,
                self.executed,
                self.work,
                self.bursts,
                self._boot,
                self._rings,
                stop,
            )
            if status < 0:
                raise self._error(status, int(self.progress[sequencer.ROW]), self.count + 1)
            if status in (FINISHED, STOPPED):
                return bool(status == FINISHED)
            if status == PAGE_LOADED:
                self._decode_page()
            elif status == BURSTS_FULL:
                self.bursts = np.concatenate([self.bursts, np.zeros_like(self.bursts)])
            else:
                self._grow()

    def begin_next_image(self) -> bool:
        """Behind an image's end: whether there is another one, which then is under way."""
        self.progress[sequencer.IMAGE] += 1
        if self.progress[sequencer.IMAGE] == self.images.count:
            return False
        self._begin_image()
        return True

    def _begin_image(self) -> None:
        number = int(self.progress[sequencer.IMAGE])
        self.boot_row = int(self.progress[sequencer.EXECUTED])
        self.progress[[sequencer.PC, sequencer.ROW, sequencer.TO_LEAVE_OUT]] = 0, -1, 0
        self._rings[:] = self.images.inputs.place(number), self.images.outputs.place(number)

    def schedule(self) -> tuple[npt.NDArray[np.void], int]:
        """A trace record of every row, and the total cycles. Call once the run has ended."""
        rows = self.count + 1
        trace = np.zeros((rows, len(TRACE_DTYPE.names or ())), np.int64)
        bursts = self.bursts[: self.progress[sequencer.BURSTS]]
        executed, done = self.executed[:rows], self.work[:rows]
        writes = writes_of(self.geometry.dram_shared, executed[done[:, work.LEFT_OUT] == 0])
        status = MISTAKEN
        while status == MISTAKEN:
            status = sequencer.schedule(self.geometry, self.state, executed, done, bursts, writes, trace)
        if status < 0:
            at = int(trace[0, sequencer.INSTRUCTION])
            boot = int(np.flatnonzero(executed[:at, 0] == sequencer.BOOT)[-1])
            raise self._error(status, at - boot - 1, at)
        return trace.view(TRACE_DTYPE)[:, 0], int(trace[-1, sequencer.DONE])

    def _decode_page(self) -> None:
        first, count = (int(self.progress[c]) for c in (sequencer.PAGE_FIRST, sequencer.PAGE_COUNT))
        code, legal, notes = decode_page(self.state.instructions[first : first + count].tobytes())
        self.memory[first : first + count] = code
        self.state.loaded[first : first + count] = legal
        self.notes.update({first + entry: note for entry, note in notes.items()})

    def _grow(self) -> None:
        """Room for as many rows again, but for no more than this image may execute."""
        rows, most = len(self.executed), self.boot_row + 1 + self._limit
        if rows >= most:
            raise GatewrightError(
                f"the program executed {self._limit} instructions without reaching END; check its NEXT entries"
            )
        more = min(2 * rows, most) - rows
        self.executed = np.concatenate([self.executed, np.zeros_like(self.executed[:1]).repeat(more, 0)])
        self.work = np.concatenate([self.work, np.zeros_like(self.work[:1]).repeat(more, 0)])

    def _error(self, code: int, instruction: int, row: int) -> faults.Stopped:
        """Of an instruction of its image, in a row of ``executed``."""
        value, limit = (int(number) for number in self.state.fault)
        if code in (faults.FETCH_RANGE, faults.FETCH_UNWRITTEN, faults.FETCH_ILLEGAL):
            return faults.fault(instruction, row, "fetch", code, value, limit, self.notes.get(value, ""))
        opcode = "" if instruction < 0 else Opcode(int(self.executed[row, 0])).name
        return faults.fault(instruction, row, opcode, code, value, limit)


def _boot_row(program: Program) -> npt.NDArray[np.int64]:
    """The boot page's LOAD; its row may be longer than an instruction's field allows."""
    row = np.zeros(COLUMNS, np.int64)
    row[0] = Opcode.LOAD
    row[load.SPACE] = load.INSTRUCTIONS
    row[load.DRAM] = program.code_address
    row[load.ROWS] = 1
    row[load.ROW_BEATS] = program.boot_count * INSTRUCTION_BEATS
    row[load.ROW_TABLE] = NO_TABLE
    return row
