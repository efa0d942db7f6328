"""The fast simulator behind the machine's registers, so that the driver runs on it as on a board."""

from __future__ import annotations

import numpy as np

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import Images, Ring
from gatewright.contract.isa import COLUMNS, VERSION, Unit
from gatewright.contract.program import Program
from gatewright.contract.program_parts import Region
from gatewright.contract.registers import (
    CONTROL,
    IDENTIFIER,
    INTERRUPT_ENABLE,
    REGISTERS,
    STATUS,
    UNIT_NAMES,
    ErrorCode,
)
from gatewright.contract.trace import busy_cycles
from gatewright.driver.memory import Buffer, Memory
from gatewright.sim.fast import sequencer, work
from gatewright.sim.fast.faults import Stopped
from gatewright.sim.fast.run import Run

BASE = 0x1000_0000
MEMORY_BYTES = 1 << 28

START, ABORT = (CONTROL.bit(name).mask for name in ("START", "ABORT"))
BUSY, DONE, ERROR, READY = (STATUS.bit(name).mask for name in ("BUSY", "DONE", "ERROR", "READY"))
_BY_OFFSET = {register.offset: register for register in REGISTERS}


class SimulatedMachine:
    """See ``driver.machine.Machine``. What was started runs to its end in ``wait`` or ``idle``, not before.

    Cycles, counters, bytes in DRAM and the codes of errors are the machine's. Not so: an error leaves what was written
    in DRAM before it, and the cycles at which it came are not known; ERROR_ENTRY is the fetch's; the simulator also
    refuses what the machine does not notice (``sim.fast.faults``).
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        self.memory = Memory(np.zeros(MEMORY_BYTES, np.uint8), BASE)
        self._values = {register.name: 0 for register in REGISTERS}
        self._values |= {"ID": IDENTIFIER, "VERSION": VERSION}
        shown = arch.to_dict()
        self._values |= {r.name: shown[r.name.lower()] for r in REGISTERS if r.name.lower() in shown}
        self._values["STATUS"] = READY
        self.note = ""
        """What the simulator said of the last error."""

    def read(self, offset: int) -> int:
        """A register."""
        return self._values[_BY_OFFSET[offset].name]

    def write(self, offset: int, value: int) -> None:
        """A register."""
        register = _BY_OFFSET[offset]
        status = self._values["STATUS"]
        if register is STATUS:
            self._values["STATUS"] = status & ~(value & (DONE | ERROR))
        elif register is CONTROL:
            if value & START and status & READY:
                self._begin()
            elif value & ABORT and status & BUSY:
                self._stop(ErrorCode.NONE, 0, 0)
        elif register.access == "rw":
            self._values[register.name] = value
        else:
            raise GatewrightError(f"register {register.name} is read only")

    def allocate(self, size: int) -> Buffer:
        """A piece of the memory."""
        return self.memory.allocate(size)

    def wait(self, seconds: float) -> bool:
        """Run what was started, unless there is no time at all; whether there is an interrupt."""
        if seconds > 0:
            self.idle()
        enabled = self._values["INTERRUPT_ENABLE"] & INTERRUPT_ENABLE.bit("ENABLE").mask
        return bool(enabled and self._values["STATUS"] & (DONE | ERROR))

    def idle(self) -> None:
        """Run what was started."""
        if self._values["STATUS"] & BUSY:
            self._run()

    def _begin(self) -> None:
        zeros = ("ERROR_CODE", "CYCLES", "INSTRUCTIONS", "IMAGE", *(f"BUSY_{n}" for n in UNIT_NAMES))
        self._values |= dict.fromkeys((*zeros, *(f"COMPLETED_{n}" for n in UNIT_NAMES)), 0)
        self._values["STATUS"] = BUSY

    def _stop(self, code: ErrorCode, instructions: int, entry: int) -> None:
        self._values |= {"STATUS": ERROR | READY, "ERROR_CODE": int(code), "INSTRUCTIONS": instructions}
        self._values |= {"ERROR_INSTRUCTION": instructions, "ERROR_ENTRY": entry}

    def _run(self) -> None:
        values = self._values
        dram = self.memory.behind(values["BASE"])
        rings = (Ring(*(values[f"{name}_{part}"] for part in ("OFFSET", "STRIDE", "SLOTS"))) for name in _RINGS)
        images = Images(max(1, values["IMAGES"]), *rings)
        program = Program(
            arch=self._arch,
            code_address=values["CODE_ADDRESS"],
            boot_count=values["BOOT_COUNT"],
            input_region=Region("input", "input", 0, 0),
            code=np.zeros((0, COLUMNS), np.int64),
            image=dram,
        )
        run = None
        try:
            run = Run(program, dram, images)
            run.advance()
            records, cycles = run.schedule()
        except Stopped as error:
            self.note = str(error)
            if run is None:  # in page 0
                self._stop(error.code, 0, 0)
                return
            dram[:] = run.state.dram
            before = run.work[: error.row]
            boots = before[:, work.OPCODE] == sequencer.BOOT
            values["IMAGE"] = int(boots.sum()) - 1
            self._stop(error.code, int((~boots & (before[:, work.LEFT_OUT] == 0)).sum()), run.pc)
            return
        limit = values["CYCLE_LIMIT"]
        if limit and cycles > limit:
            values["CYCLES"] = limit
            self._stop(ErrorCode.CYCLE_LIMIT, 0, 0)
            return
        dram[:] = run.state.dram
        done = run.work[: run.count + 1]
        kept = records[(done[:, work.OPCODE] != sequencer.BOOT) & (done[:, work.LEFT_OUT] == 0)]
        values |= {"CYCLES": cycles, "INSTRUCTIONS": len(kept), "IMAGE": images.count, "STATUS": DONE | READY}
        for name in UNIT_NAMES:
            of_unit = kept[kept["unit"] == Unit[name]]
            values |= {
                f"COMPLETED_{name}": len(of_unit),
                f"BUSY_{name}": busy_cycles(of_unit["start"], of_unit["done"]),
            }


_RINGS = ("INPUT", "OUTPUT")
