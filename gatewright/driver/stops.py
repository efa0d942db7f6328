"""What a machine that has stopped says: which error, where, and what a user reads of it."""

from __future__ import annotations

from .counters import Counters
from .errors import AbortedError, DriverError, StoppedError
from .machine import Registers
from .program import Program
from .registers import ERROR, ERRORS


def stop_of(registers: Registers, program: Program, counters: Counters, runs: int) -> DriverError:
    """The error of a start of so many runs of the program, read and cleared."""
    code, instruction, entry = (registers[f"ERROR_{name}"] for name in ("CODE", "INSTRUCTION", "ENTRY"))
    registers["STATUS"] = ERROR
    name, text = ERRORS.get(code, (f"code {code}", "an error that this driver does not know"))
    if name == "NONE":
        return AbortedError(f"aborted in run {counters.images}, behind {counters.instructions:,} instructions")
    rows = program.rows_at(instruction, entry, counters.images)
    lines = [program.line(row) for row in rows]
    where = "\n  ".join(["; it was at one of" if len(rows) > 1 else "; it was at", *lines]) if rows else ""
    message = (
        f"the machine stopped with {name} (code {code}: {text.rstrip('.')}) behind {instruction:,} instructions of "
        f"the start, in run {counters.images} of {runs} (from 0), at entry {entry}{where}\n  A unit may have found it "
        "in an instruction a little before. The error is cleared, and the machine can be started again"
    )
    return StoppedError(message, code, name, instruction, entry, counters.images, rows, lines)
