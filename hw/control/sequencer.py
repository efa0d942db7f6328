"""The sequencer: boot, dispatch, and the instructions that it runs itself."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any, ClassVar

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import INSTRUCTION_BEATS
from gatewright.contract.isa import HEADER_BITS, QUEUED_UNITS, UNITS, Opcode, Unit
from gatewright.contract.registers import ErrorCode
from gatewright.contract.timing import CONTROL_LATENCY, END_LATENCY
from gatewright.hw.control.fetch import ENTRY_BITS, FETCHED, Fetch
from gatewright.hw.control.legality import ERROR_BITS, operands_of
from gatewright.hw.control.queue import WaitComparison
from gatewright.hw.layouts import COUNTS, HEADER, PLACED, entry_layout, formats_of
from gatewright.hw.signatures import (
    MASK_BIT_READ,
    boot_signature,
    completions_signature,
    instruction_write,
    mask_read_bit,
)

assert WaitComparison.LATENCY <= CONTROL_LATENCY
assert MASK_BIT_READ <= CONTROL_LATENCY, "an EXIT's mask bit is there when it runs"
assert END_LATENCY == 1, "the register that holds back what follows"


class Sequencer(wiring.Component):
    """Boots page 0, hands instructions to the queues in program order, and runs NEXT, EXIT and END.

    ``start`` is cycle 0; ``boot_count`` stands still from the cycle before on. ``control``: NEXT, EXIT or END runs in
    this cycle; ``stopped``: the program ends in it. An illegal instruction sets ``error`` in the cycle behind its
    turn; ``error_code``, ``entry`` (where it lies) and ``dispatched`` (instructions before it, those of the sequencer
    included) then hold until reset. ``halt`` stops dispatch at once. After ``stopped`` or ``error`` a reset has to
    come before the next ``start``.
    """

    MEMORY_PORTS: ClassVar = {"mask": "masks.exit"}

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "start": In(1),
                "halt": In(1),
                "code_address": In(32),
                "boot_count": In(16),
                "boot": Out(boot_signature(arch)),
                "write": In(instruction_write(arch)),
                "push": Out(UNITS),
                **{f"entry_{unit.name.lower()}": Out(entry_layout(unit)) for unit in QUEUED_UNITS},
                "full": In(UNITS),
                "completions": Out(completions_signature()),
                "given": In(COUNTS),
                "mask": Out(mask_read_bit()),
                "control": Out(1),
                "stopped": Out(1),
                "error": Out(1),
                "error_code": Out(ERROR_BITS),
                "entry": Out(ENTRY_BITS),
                "dispatched": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fetch = fetch = Fetch(self._arch)
        wiring.connect(m, wiring.flipped(self.write), fetch.write)
        m.d.comb += fetch.given.eq(self.given)

        # The instruction register, decoded as far as dispatch needs it.
        valid, current = Signal(), Signal(FETCHED, reset_less=True)
        bad = Signal(reset_less=True)
        decoded = {opcode: Signal(name=f"is_{opcode.name.lower()}", reset_less=True) for opcode in Opcode}
        load, advance, jump = Signal(), Signal(), Signal()
        m.d.comb += [load.eq(fetch.present & (advance | ~valid)), fetch.take.eq(load), fetch.jump.eq(jump)]
        with m.If(load):
            opcode = fetch.head.instruction[: HEADER["opcode"].width]
            m.d.sync += [current.eq(fetch.head), bad.eq(fetch.head.error != ErrorCode.NONE)]
            m.d.sync += [line.eq(opcode == number) for number, line in decoded.items()]
        m.d.sync += valid.eq(~jump & (load | (valid & ~advance)))
        header = data.View(HEADER, current.instruction[:HEADER_BITS])

        # ``leaving``: END, or an EXIT that was taken, waits for the units. ``ended``: it is over.
        leaving, ended, turn = Signal(), Signal(), Signal()
        m.d.comb += turn.eq(valid & ~(bad | leaving | ended | self.error | self.halt))
        for unit in QUEUED_UNITS:
            mine = reduce(or_, (decoded[form.opcode] for form in formats_of(unit)))
            m.d.comb += self.push[unit].eq(turn & mine & ~self.full[unit])
            self._connect_entry(m, unit, header, current)

        met = self._control_waits(m, header.waits, load)
        runs, leaves = Signal(), Signal()
        m.d.comb += [
            runs.eq(turn & met & (decoded[Opcode.NEXT] | decoded[Opcode.EXIT] | decoded[Opcode.END])),
            # An EXIT advances, taken or not; ``leaving`` holds back what follows.
            advance.eq(self.push.any() | runs),
            self.mask.mask.eq(operands_of(Opcode.EXIT, current.instruction).mask),
            self.mask.bit.eq(operands_of(Opcode.EXIT, current.instruction).bit),
            leaves.eq(runs & (decoded[Opcode.END] | (decoded[Opcode.EXIT] & self.mask.value))),
            self.stopped.eq(leaving & self.completions.idle & ~(ended | self.error | self.halt)),
            self.control.eq((runs & ~leaves) | self.stopped),
        ]
        with m.If(leaves):
            m.d.sync += leaving.eq(1)
        with m.If(self.stopped):
            m.d.sync += ended.eq(1)

        started = self._boot(m)
        m.d.comb += [
            jump.eq(started | (runs & decoded[Opcode.NEXT])),
            fetch.target.eq(Mux(started, 0, operands_of(Opcode.NEXT, current.instruction).entry)),
        ]
        with m.If(jump):
            m.d.sync += self.entry.eq(fetch.target)
        with m.Elif(advance):
            m.d.sync += self.entry.eq(self.entry + 1)
        with m.If(advance):
            m.d.sync += self.dispatched.eq(self.dispatched + 1)
        with m.If(valid & bad & ~(leaving | ended | self.error | self.halt)):
            m.d.sync += [self.error.eq(1), self.error_code.eq(current.error)]
        return m

    def _connect_entry(self, m: Module, unit: Unit, header: Any, current: Any) -> None:
        """The instruction register as a unit's queue entry."""
        entry = getattr(self, f"entry_{unit.name.lower()}")
        operands = Value.cast(entry.head.operands)
        m.d.comb += [
            entry.waits.eq(header.waits),
            operands.eq(current.instruction[HEADER_BITS : HEADER_BITS + len(operands)]),
        ]
        if len(formats_of(unit)) > 1:
            m.d.comb += entry.head.opcode.eq(header.opcode)
        if unit in PLACED:
            m.d.comb += entry.head.place.eq(current.place)

    def _control_waits(self, m: Module, waits: Any, load: Signal) -> Any:
        """Whether the instruction register's waits hold; never before they have been compared and its mask bit read."""
        m.submodules.comparison = comparison = WaitComparison()
        age = Signal(CONTROL_LATENCY)
        m.d.sync += age.eq(Mux(load, 0, Cat(Const(1, 1), age[:-1])))
        m.d.comb += [
            comparison.waits.eq(waits),
            comparison.counts.eq(self.completions.counts),
            comparison.retires.eq(self.completions.retires),
        ]
        return age[-1] & comparison.met

    def _boot(self, m: Module) -> Signal:
        """Asks LOAD for page 0 and returns the line that is 1 in the cycle in which it has arrived."""
        booting, started, fits = Signal(), Signal(), Signal(reset_less=True)
        # The count stands still before the start, which may come in the cycle behind a reset.
        beats = Signal.like(self.boot.beats, reset_less=True)
        m.d.sync += [
            fits.eq(self.boot_count <= self._arch.page_instructions),
            beats.eq(self.boot_count * INSTRUCTION_BEATS),
        ]
        m.d.comb += self.boot.beats.eq(beats)
        m.d.comb += [
            self.boot.start.eq(self.start & fits),
            self.boot.address.eq(self.code_address),
            started.eq(booting & self.boot.done),
        ]
        with m.If(self.start):
            # More instructions than a page holds would run into the other page, or beyond the memory.
            m.d.sync += [booting.eq(fits), self.error.eq(~fits)]
            m.d.sync += self.error_code.eq(Mux(fits, ErrorCode.NONE, ErrorCode.FETCH_RANGE))
        with m.If(started):
            m.d.sync += booting.eq(0)
        return started
