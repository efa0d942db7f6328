"""Whether an instruction may be dispatched, found out while it is on its way to dispatch."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
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
from gatewright.hw.control.operand_rules import OPERAND_RULES, lacks_mask, lacks_table
from gatewright.hw.control.predecode import Predecoder
from gatewright.hw.control.queue import of_unit
from gatewright.hw.layouts import COUNTS, HEADER, INSTRUCTION_BITS, formats_of, operand_layout
from gatewright.hw.lib.delay import delayed

ERROR_BITS = max(ErrorCode).bit_length()


def operands_of(opcode: Opcode, instruction: Any) -> Any:
    """A view of an instruction's operand fields."""
    layout = operand_layout(opcode)
    return data.View(layout, instruction[HEADER_BITS : HEADER_BITS + layout.size])


class Legality(wiring.Component):
    """The ``error`` of an ``instruction``, LATENCY cycles later; NONE if it may be dispatched.

    Instructions come in program order, one in a cycle with ``valid``; ``beyond``: its entry does not exist. Since the
    order is known, so is the number of instructions that each unit will have been given when this one's turn comes:
    ``given`` at the last ``flush``, and those that came since. ``flush`` forgets all instructions on their way.
    """

    LATENCY = Predecoder.LATENCY

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "instruction": In(INSTRUCTION_BITS),
                "valid": In(1),
                "beyond": In(1),
                "flush": In(1),
                "given": In(COUNTS),
                "error": Out(ERROR_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        header = data.View(HEADER, self.instruction[:HEADER_BITS])

        # Stage 1: every opcode's conditions, as if the instruction had that opcode.
        opcode = delayed(m, header.opcode, 1, "opcode")
        waits = delayed(m, header.waits, 1, "waits")
        beyond = delayed(m, self.beyond, 1, "beyond")
        valid = Signal()
        m.d.sync += valid.eq(self.valid & ~self.flush)
        is_opcode = {op: opcode == op for op in Opcode}
        stray = self._chosen(m, is_opcode, "stray", {op: self._stray(op) for op in Opcode})
        operands = self._chosen(m, is_opcode, "operands", {op: self._bad_operands(op) for op in Opcode})

        # Stage 2: those of its opcode; the number of instructions given before it.
        ahead = self._ahead(m, is_opcode, valid, waits)
        late = 2
        illegal_wait = ~Cat(waits[n].unit.matches(Unit.NONE, *QUEUED_UNITS) for n in range(WAITS)).all()
        found = {
            ErrorCode.FETCH_RANGE: delayed(m, beyond, late, "beyond_late"),
            ErrorCode.ILLEGAL_OPCODE: delayed(m, ~Cat(*is_opcode.values()).any(), late, "illegal_opcode"),
            ErrorCode.STRAY_BITS: delayed(m, stray, late, "stray_late"),
            ErrorCode.ILLEGAL_WAIT: delayed(m, illegal_wait, late, "illegal_wait"),
            ErrorCode.WAIT_AHEAD: ahead,
            ErrorCode.ILLEGAL_OPERANDS: delayed(m, operands, late, "operands_late"),
        }

        # Stage 4: the first that holds.
        error: Any = ErrorCode.NONE
        for code, holds in reversed(found.items()):
            error = Mux(holds, code, error)
        m.d.comb += self.error.eq(delayed(m, error, self.LATENCY - 1 - late, "error"))
        return m

    def _chosen(self, m: Module, is_opcode: dict[Opcode, Any], name: str, conditions: dict[Opcode, Any]) -> Any:
        """The condition of the instruction's opcode, in stage 1."""
        stages = {op: delayed(m, condition, 1, f"{name}_{op.name.lower()}") for op, condition in conditions.items()}
        return reduce(or_, (is_opcode[op] & stages[op] for op in Opcode))

    def _ahead(self, m: Module, is_opcode: dict[Opcode, Any], valid: Any, waits: Any) -> Any:
        """Whether a wait names an instruction that is not dispatched before this one; two stages behind ``waits``."""
        given = Signal(COUNTS)
        for unit in QUEUED_UNITS:
            mine = reduce(or_, (is_opcode[form.opcode] for form in formats_of(unit)))
            m.d.sync += given[unit].eq(given[unit] + (valid & mine))
        with m.If(self.flush):
            m.d.sync += given.eq(self.given)
        result = []
        counts = delayed(m, waits, 1, "waits_late")
        for number in range(WAITS):
            before = Signal(COUNT_BITS, name=f"given_{number}", reset_less=True)
            behind = Signal(COUNT_BITS, name=f"behind_{number}")
            ahead = Signal(name=f"ahead_{number}", reset_less=True)
            m.d.comb += behind.eq(before - counts[number].count)
            m.d.sync += [
                before.eq(of_unit(given, waits[number].unit)),
                ahead.eq(behind[-1] & (counts[number].unit != Unit.NONE)),
            ]
            result.append(ahead)
        return Cat(*result).any()

    def _stray(self, opcode: Opcode) -> Any:
        """Whether a bit is set behind the opcode's fields."""
        return self.instruction[HEADER_BITS + FORMATS[opcode].bits :].any()

    def _bad_operands(self, opcode: Opcode) -> Any:
        """Whether the operands exclude each other, or name what this machine lacks."""
        fields = operands_of(opcode, self.instruction)
        lacking = [
            lacks_table(self._arch, fields[field.name]) & (fields[field.name] != NO_TABLE)
            for field in FORMATS[opcode].fields
            if field.name.endswith("_table")
        ]
        lacking += [
            lacks_mask(fields[field.name]) & (fields[field.name] != NO_MASK)
            for field in FORMATS[opcode].fields
            if field.name.endswith("_mask")
        ]
        lacking += [fields.tile == 0 for field in FORMATS[opcode].fields if field.name == "tile"]
        if opcode in OPERAND_RULES:
            lacking += OPERAND_RULES[opcode](self._arch, fields)
        return Cat(*lacking).any()


def splits_a_tile(instruction: Any, place: Any) -> Any:
    """Whether an EPILOGUE with ``pool`` begins inside a tile: known once its ``place`` is."""
    pools = (instruction[: HEADER["opcode"].width] == Opcode.EPILOGUE) & operands_of(Opcode.EPILOGUE, instruction).pool
    return pools & ((place.inside_y != 0) | (place.inside_x != 0))
