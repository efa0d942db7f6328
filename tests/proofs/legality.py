"""Legality: every instruction gets the error that the instruction set says, in its cycle, whatever comes around it."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any
from unittest.mock import patch

from amaranth import Cat, Mux, Signal
from amaranth.lib import data

from gatewright.contract.arch import MASKS
from gatewright.contract.isa import (
    COUNT_BITS,
    FORMATS,
    HEADER_BITS,
    NO_MASK,
    NO_TABLE,
    QUEUED_UNITS,
    WAITS,
    Opcode,
    Unit,
)
from gatewright.contract.registers import ErrorCode
from gatewright.hw.control import legality as module
from gatewright.hw.control.legality import Legality
from gatewright.hw.layouts import HEADER, operand_layout
from tests.hw.instructions import ARCH
from tests.mutants.mutant import Mutant
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside
from tests.proofs.proof import Proof


def legality() -> Harness:
    """Instructions of any bits in any cycle; what the operands' own rules say is anything."""
    h = Harness()
    m = h.m
    rules = {opcode: h.any(1, f"rule_of_{opcode.name.lower()}") for opcode in Opcode}
    with patch.object(module, "OPERAND_RULES", {opcode: lambda _, __, bit=bit: [bit] for opcode, bit in rules.items()}):
        dut = Legality(ARCH)
        inside = Inside(dut)
    m.submodules.legality = inside.fragment
    h.free(dut.instruction, dut.valid, dut.beyond, dut.flush, dut.given)
    given = _given(h, inside, dut)
    header = data.View(HEADER, dut.instruction[:HEADER_BITS])
    error = _error(dut, header, given, rules)
    # What it has to be, and whether nothing was flushed meanwhile.
    due = Signal(dut.LATENCY)
    m.d.sync += due.eq(Mux(dut.flush, 0, Cat(dut.valid, due[:-1])))
    expected = error
    for cycle in range(dut.LATENCY):
        expected = h.before(expected, f"expected_{cycle}")
    h.check("error", ~due[-1] | (dut.error == expected))
    for code in ErrorCode:
        if code <= ErrorCode.FETCH_RANGE:
            h.cover(f"comes_{code.name.lower()}", due[-1] & (dut.error == code) & (due[-2] | (code == ErrorCode.NONE)))
    return h


def _given(h: Harness, inside: Inside, dut: Legality) -> Any:
    """By unit: the instructions that were dispatched before the last flush, and that came since."""
    mine = {unit: _is_of(unit, dut.instruction[: HEADER["opcode"].width]) for unit in QUEUED_UNITS}
    given = {unit: Signal(COUNT_BITS, name=f"expected_{unit.name.lower()}") for unit in QUEUED_UNITS}
    registers = inside.of(dut, "_ahead.given")
    valid, waiting = inside.of(dut, "elaborate.valid"), inside.of(dut, "elaborate.opcode")
    for unit, count in given.items():
        with h.m.If(dut.flush):
            h.m.d.sync += count.eq(dut.given[unit])
        with h.m.Else():
            h.m.d.sync += count.eq(count + (dut.valid & mine[unit]))
        late = (registers[unit] + (valid & _is_of(unit, waiting)))[:COUNT_BITS]
        h.invariant(f"given_{unit.name.lower()}", count == late)
    return given


def _is_of(unit: Unit, opcode: Any) -> Any:
    return opcode.matches(*(form.opcode for form in FORMATS.values() if form.unit == unit))


def _error(dut: Legality, header: Any, given: dict[Unit, Any], rules: dict[Opcode, Any]) -> Any:
    """By the contract: the first code that holds."""
    waits = [header.waits[number] for number in range(WAITS)]
    known = [wait.unit.matches(Unit.NONE, *QUEUED_UNITS) for wait in waits]
    ahead = [
        (wait.unit == unit) & ((count - wait.count)[:COUNT_BITS] >= 1 << (COUNT_BITS - 1))
        for wait in waits
        for unit, count in given.items()
    ]
    stray, operands = [], []
    for opcode, form in FORMATS.items():
        mine = header.opcode == opcode
        stray.append(mine & (dut.instruction[HEADER_BITS + form.bits :] != 0))
        operands.append(mine & (rules[opcode] | _by_name(opcode, dut.instruction)))
    found = {
        ErrorCode.FETCH_RANGE: dut.beyond,
        ErrorCode.ILLEGAL_OPCODE: ~header.opcode.matches(*Opcode),
        ErrorCode.STRAY_BITS: reduce(or_, stray),
        ErrorCode.ILLEGAL_WAIT: ~Cat(*known).all(),
        ErrorCode.WAIT_AHEAD: reduce(or_, ahead),
        ErrorCode.ILLEGAL_OPERANDS: reduce(or_, operands),
    }
    error: Any = ErrorCode.NONE
    for code, holds in reversed(found.items()):
        error = Mux(holds, code, error)
    return error


def _by_name(opcode: Opcode, instruction: Any) -> Any:
    """What the names of fields say: a table or a mask that the machine lacks, a tile of 0."""
    layout = operand_layout(opcode)
    fields = data.View(layout, instruction[HEADER_BITS : HEADER_BITS + layout.size])
    bad: Any = instruction[0] & ~instruction[0]
    for field in FORMATS[opcode].fields:
        value = fields[field.name]
        if field.name.endswith("_table"):
            bad |= (value >= ARCH.tables) & (value != NO_TABLE)
        elif field.name.endswith("_mask"):
            bad |= (value >= MASKS) & (value != NO_MASK)
        elif field.name == "tile":
            bad |= value == 0
    return bad


_FILE = "hw/control/legality.py"

LEGALITY = Proof(
    "legality",
    "Each instruction has its error LATENCY cycles later, the first that holds: entry, opcode, stray bits, waits for "
    "no unit or ahead, operands; whatever came before it, and behind any jump.",
    legality,
    Legality.LATENCY + 2,
    (
        Mutant(
            "legality-counts-what-was-dropped",
            _FILE,
            "valid.eq(self.valid & ~self.flush)",
            "valid.eq(self.valid)",
            "behind a NEXT a wait for an instruction that was dropped is legal, and never met",
        ),
        Mutant(
            "legality-counts-the-instruction-itself",
            _FILE,
            "before.eq(of_unit(given, waits[number].unit)),",
            "before.eq(of_unit(given, waits[number].unit) + valid),",
            "an instruction that waits for itself is legal, and the machine hangs",
        ),
        Mutant(
            "legality-stray-bits-of-others",
            _FILE,
            "self.instruction[HEADER_BITS + FORMATS[opcode].bits :].any()",
            "self.instruction[HEADER_BITS + FORMATS[opcode].bits + 1 :].any()",
            "a bit behind the fields is ignored",
        ),
        Mutant(
            "legality-last-code-that-holds",
            _FILE,
            "for code, holds in reversed(found.items()):",
            "for code, holds in found.items():",
            "the error's code is another one than the documents say",
        ),
        Mutant(
            "legality-operands-a-cycle-late",
            _FILE,
            'delayed(m, operands, late, "operands_late")',
            'delayed(m, operands, late + 1, "operands_late")',
            "the instruction behind an illegal one is refused",
        ),
    ),
    search=Legality.LATENCY + 6,
)
