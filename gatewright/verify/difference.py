"""The monitor's findings as a report: both sides, the cycle, the unit, the instruction and its line of assembler."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import QUEUED_UNITS, Opcode, Unit
from gatewright.contract.registers import ErrorCode
from gatewright.listing.assembler import format_instruction
from gatewright.verify.expectations import Expectation
from gatewright.verify.rules import rule_text

EVENT_MEANINGS = {
    "dispatch": "handed to its queue",
    "control": "runs in the sequencer",
    "start": "taken from its queue",
    "run": "waits met, work begins",
    "retire": "counted as complete at the end of this cycle",
}


@dataclass(frozen=True)
class Finding:
    """A line of ``result.txt`` that begins with ``difference``: its words by name."""

    fields: dict[str, str]

    @property
    def kind(self) -> str:
        return self.fields["kind"]

    @property
    def cycle(self) -> int:
        return int(self.fields["cycle"])

    def number(self, name: str) -> int | None:
        """A field as an integer; None where it is a word or missing."""
        value = self.fields.get(name, "")
        return int(value) if value.isdecimal() else None


@dataclass(frozen=True)
class Outcome:
    """What the monitor wrote for one image."""

    finding: Finding | None
    totals: dict[str, int]
    events: int
    """Dispatches, starts, runs and retirements seen."""
    writes: int
    """Writes to the scratchpad seen."""


def _words(line: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def read_outcome(path: Path) -> Outcome:
    """Read ``result.txt``."""
    if not path.is_file():
        raise GatewrightError(f"the monitor wrote no {path.name}: the simulation ended before the program did")
    finding, totals, events, writes = None, {}, 0, 0
    for line in path.read_text().splitlines():
        words = _words(line)
        if line.startswith("difference "):
            finding = Finding(words)
        elif line.startswith("totals "):
            totals = {name: int(value) for name, value in words.items()}
        elif line.startswith("unit="):
            events += sum(int(words[name]) for name in ("dispatch", "start", "run", "retire"))
            writes += int(words["write"])
    if not totals:
        raise GatewrightError(f"{path.name} is incomplete")
    return Outcome(finding, totals, events, writes)


def read_events(path: Path) -> npt.NDArray[np.int64]:
    """Read ``events_seen.txt``, int64 [events, 3]: unit, kind of event, cycle."""
    return np.array(path.read_text().split(), np.int64).reshape(-1, 3)


def report(finding: Finding, expectation: Expectation, registers: dict[str, int]) -> str:
    """Several lines for people."""
    lines = [f"first difference in cycle {finding.cycle}: {_headline(finding)}"]
    instruction = _instruction(finding, expectation)
    if instruction is not None:
        lines.append("  " + _listing(expectation, instruction))
    lines += ["  " + line for line in _sides(finding, expectation, registers)]
    for unit in _units(finding):
        lines.append("  " + _under_way(expectation, unit, finding.cycle))
    return "\n".join(lines)


def _unit(finding: Finding) -> Unit | None:
    if finding.kind == "dram":
        return Unit.STORE
    number = finding.number("unit")
    return None if number is None else Unit(number)


def _units(finding: Finding) -> list[Unit]:
    """Whose state at that cycle the report shows: the one concerned, or all."""
    unit = _unit(finding)
    return [unit] if unit is not None and unit in QUEUED_UNITS else list(QUEUED_UNITS)


def _headline(finding: Finding) -> str:
    unit = _unit(finding)
    name = unit.name if unit is not None else ""
    number = finding.fields.get("number", "")
    if finding.kind in EVENT_MEANINGS:
        return f"{finding.kind} of {name} instruction {number} of that unit ({EVENT_MEANINGS[finding.kind]})"
    return {
        "write": f"scratchpad write {number} of {name}",
        "dram": f"beat {number} that STORE writes to DRAM",
        "order": f"dispatch {number} goes to another unit",
        "stop": "the end of the program",
        "boot": "the machine boots a second time",
        "rule": "AXI: " + rule_text(finding.number("code") or 0),
        "error": "the machine stopped with an error",
        "limit": "the program does not end",
        "total": f"at the end the number of {finding.fields.get('event', '')} events of {name}",
        "unfinished": "the program ends within a write burst, or with an offer on the bus",
    }[finding.kind]


def _instruction(finding: Finding, expectation: Expectation) -> int | None:
    """The program's row that the difference belongs to."""
    unit, number = _unit(finding), finding.number("number")
    records = expectation.trace.records
    if finding.kind == "order" and number is not None:
        return int(records[number]["instruction"]) if number < len(records) else None
    if finding.kind == "stop":
        return int(records[-1]["instruction"])
    if unit is None or number is None:
        return None
    if finding.kind in EVENT_MEANINGS:
        return expectation.instruction(unit, number)
    if finding.kind in ("write", "dram") and expectation.writes is not None:
        writes = expectation.writes
        sequence = writes.dram if finding.kind == "dram" else writes.scratchpad.get(unit)
        return int(sequence.instructions[number]) if sequence is not None and number < len(sequence) else None
    return None


def _listing(expectation: Expectation, instruction: int) -> str:
    program = expectation.program
    layer = f" ; {program.layers[instruction]}" if instruction < len(program.layers) else ""
    return f"{instruction:>5} {format_instruction(program.code[instruction])}{layer}"


def _sides(finding: Finding, expectation: Expectation, registers: dict[str, int]) -> list[str]:
    f = finding.fields
    if finding.kind in ("write", "dram"):
        return _write_sides(finding)
    if finding.kind == "order":
        names = [Unit(int(f[side])).name for side in ("expected", "got")]
        return [f"expected {names[0]}", f"got      {names[1]}"]
    if finding.kind == "rule":
        return [f"address  {int(f['value']):#x}"]
    if finding.kind == "error":
        code = registers.get("ERROR_CODE", 0)
        known = code in ErrorCode.__members__.values()
        entry, dispatched = registers.get("ERROR_ENTRY", 0), registers.get("ERROR_INSTRUCTION", 0)
        return [
            f"error    {ErrorCode(code).name if known else code}",
            f"after    {dispatched} dispatched instructions, at instruction memory entry {entry}",
        ]
    if "expected" not in f:
        return []
    got = f["got"]
    if got == "late":
        late = finding.number("late")
        got = "not yet" if late is None else f"{late}, {_cycles(late - finding.cycle)} late"
    elif finding.kind in EVENT_MEANINGS and finding.number("expected") is not None:
        got = f"{got}, {_cycles(int(f['expected']) - int(got))} early"
    return [f"expected {f['expected']}", f"got      {got}"]


def _cycles(count: int) -> str:
    return f"{count} cycle" + "s" * (count != 1)


def _write_sides(finding: Finding) -> list[str]:
    """Address and bytes of both sides, and the lanes in which they differ."""
    f, lines, data = finding.fields, [], {}
    for side in ("expected", "got"):
        if f"{side}_address" not in f:
            lines.append(f"{side:<8} {'nothing more' if f.get(side) is None else f[side]}")
            continue
        raw = bytes.fromhex(f[f"{side}_data"])[::-1]
        count = int(f.get(f"{side}_count", len(raw)))
        data[side] = raw[:count]
        where = f"address {int(f[f'{side}_address']):#x}"
        lines.append(f"{side:<8} {where}, {count} bytes: {raw[:count].hex(' ')}")
    if len(data) == 2:
        lanes = [i for i, (a, b) in enumerate(zip(data["expected"], data["got"], strict=False)) if a != b]
        if lanes:
            lines.append(f"lanes    {', '.join(map(str, lanes))} differ")
    return lines


def _under_way(expectation: Expectation, unit: Unit, cycle: int) -> str:
    """What the simulator has a unit do in a cycle."""
    records = expectation.of_unit(unit)
    active = records[(records["start"] <= cycle) & (records["done"] > cycle)]
    if not len(active):
        return f"{unit.name}: idle in the simulator"
    parts = []
    for record in active:
        number = int(record["instruction"])
        opcode = Opcode(int(expectation.program.code[number, 0])).name
        parts.append(f"{number} {opcode} (start {record['start']}, run {record['run']}, done {record['done']})")
    return f"{unit.name}: in the simulator " + "; ".join(parts)
