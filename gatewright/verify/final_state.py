"""What a program left behind, on both sides: memories, logits and registers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.contract.encodings import LOGIT_BYTES
from gatewright.contract.isa import COUNT_BITS, Unit
from gatewright.contract.program import Program
from gatewright.contract.registers import IDENTIFIER, STATUS, UNIT_NAMES
from gatewright.verify.expectations import Expectation
from gatewright.verify.memory_files import Bytes

BUSY, DONE, ERROR = (STATUS.bit(name).mask for name in ("BUSY", "DONE", "ERROR"))


@dataclass(frozen=True)
class Registers:
    """The control registers at the end, and what the bench saw around them."""

    values: dict[str, int]
    interrupt: bool
    interrupt_after_clear: bool
    seconds: float
    """Wall time of the program in the simulator."""


def read_registers(path: Path) -> Registers:
    """Read ``registers.json``."""
    data: dict[str, Any] = json.loads(path.read_text())
    return Registers(data["registers"], data["interrupt"], data["interrupt_after_clear"], data["seconds"])


def final_differences(expectation: Expectation, folder: Path, registers: Registers, *, exact: bool) -> list[str]:
    """Lines that say where the final state differs; none if it is as expected.

    The scratchpad is the monitor's: all requests of port B applied to zeros, as the simulator begins with.
    """
    program = expectation.program
    dram = np.fromfile(folder / "dram_out.bin", np.uint8)[: len(expectation.dram)]
    scratchpad = np.fromfile(folder / "scratchpad_out.bin", np.uint8)
    found = [
        *_bytes("DRAM", expectation.dram, dram, lambda at: _region(program, at)),
        *_bytes("scratchpad", expectation.scratchpad, scratchpad, lambda at: _placement(program, at)),
    ]
    for name, got in program.values(dram).items():
        expected = expectation.outputs[name]
        if np.array_equal(got, expected):
            continue
        if expected.dtype == np.int32:
            found.append(f"logits {name}: expected {expected.tolist()}, got {got.tolist()}")
        else:
            different = int(np.count_nonzero(got != expected))
            found.append(f"output {name}: {different} of {expected.size} values differ")
    return found + _registers(expectation, registers, exact)


def _bytes(name: str, expected: Bytes, got: Bytes, place: Any) -> list[str]:
    if len(expected) != len(got):
        return [f"{name}: expected {len(expected)} bytes, got {len(got)}"]
    different = np.flatnonzero(expected != got)
    if not len(different):
        return []
    first = int(different[0])
    return [
        f"{name}: {len(different)} bytes differ, the first at {first:#x}{place(first)}: "
        f"expected {expected[first]:#04x}, got {got[first]:#04x}"
    ]


def _region(program: Program, address: int) -> str:
    names = [r.name for r in program.regions if r.address <= address < r.address + r.size]
    return f" in {', '.join(names)}" if names else ""


def _placement(program: Program, address: int) -> str:
    def size(height: int, width: int, channels: int, kind: str) -> int:
        return LOGIT_BYTES * channels if kind == "logits" else height * width * channels

    names = [
        p.tensor
        for p in program.placements
        if p.address <= address < p.address + size(p.height, p.width, p.channels, p.kind)
    ]
    return f" (of {', '.join(names)} at some time)" if names else ""


def _registers(expectation: Expectation, registers: Registers, exact: bool) -> list[str]:
    records: npt.NDArray[np.void] = expectation.trace.records
    status = registers.values["STATUS"]
    expected = {"ID": IDENTIFIER, "ERROR_CODE": 0, "INSTRUCTIONS": len(records), "IMAGE": expectation.images.count}
    if exact:
        expected["CYCLES"] = expectation.cycles
    for name in UNIT_NAMES:
        completed = int(np.count_nonzero(records["unit"] == Unit[name]))
        # The counts that waits compare have COUNT_BITS bits; the register may show just those.
        if registers.values[f"COMPLETED_{name}"] != completed % (1 << COUNT_BITS):
            expected[f"COMPLETED_{name}"] = completed
    found = [
        f"register {name}: expected {value}, got {registers.values[name]}"
        for name, value in expected.items()
        if registers.values[name] != value
    ]
    if status & (BUSY | DONE | ERROR) != DONE:
        found.append(f"register STATUS: {status:#x} is not done, without busy and error")
    if not registers.interrupt:
        found.append("no interrupt at the end")
    if registers.interrupt_after_clear:
        found.append("the interrupt stays after STATUS was cleared")
    return found
