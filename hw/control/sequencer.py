"""The sequencer: boot, dispatch, and the instructions that it runs itself."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import INSTRUCTION_BEATS
from gatewright.contract.isa import HEADER_BITS, NO_TABLE, QUEUED_UNITS, UNITS, WAITS, Opcode, Space, Unit, column
from gatewright.contract.registers import ErrorCode
from gatewright.contract.timing import CONTROL_LATENCY, DECODE_LATENCY, END_LATENCY, LEFT_OUT_LATENCY
from gatewright.hw.control.fetch import ENTRY_BITS, FETCHED, Fetch
from gatewright.hw.control.legality import ERROR_BITS, operands_of
from gatewright.hw.control.queue import WaitComparison
from gatewright.hw.control.signatures import boot_signature, completions_signature
from gatewright.hw.layouts import COUNTS, HEADER, PLACED, entry_layout, formats_of
from gatewright.hw.signatures import instruction_write, table_counts

COUNT_READ = 2
"""Cycles from a table's count to whether it is above ``most``: the count of the table, the comparison."""

assert WaitComparison.LATENCY <= CONTROL_LATENCY
assert COUNT_READ <= CONTROL_LATENCY and COUNT_READ <= DECODE_LATENCY, "the count is there when an EXIT or a SKIP runs"
assert LEFT_OUT_LATENCY == 2 + WaitComparison.LATENCY, "the register of what is left out, the count, the comparison"
assert END_LATENCY == 1, "the register that holds back what follows"
assert all(column(Opcode.EXIT, name) == column(Opcode.SKIP, name) for name in ("count_table", "most"))


class _Inside(NamedTuple):
    """Whether a SKIP leaves out the instruction in the register ``now``, as far as it can be, and the ``following``."""

    now: Any
    following: Any


class _Lines(NamedTuple):
    """Registers beside the instruction's.

    ``left_out``: a SKIP leaves it out; ``slow``: if so, it waits for LOAD or is a ``load``; ``control``: the sequencer
    runs it, if not; ``decoded``: it has that opcode; ``of_unit``: it is of that unit; ``goes_to``: and not left out.
    """

    left_out: Signal
    slow: Signal
    load: Signal
    control: Signal
    decoded: dict[Opcode, Signal]
    of_unit: dict[Unit, Signal]
    goes_to: dict[Unit, Signal]


class Sequencer(wiring.Component):
    """Boots page 0, hands instructions to the queues in program order, and runs NEXT, EXIT, SKIP and END.

    ``start`` is cycle 0; ``boot_count`` stands still from the cycle before on. ``control``: NEXT, EXIT, SKIP or END
    runs in this cycle; ``image_over``: the image ends in it, and so does the program if it is the ``last`` one, with
    ``stopped``. Otherwise the next image is booted in the next cycle, in which the units' counts have to be 0.
    ``left_out``, a register: a SKIP has left an instruction of this unit out, in the cycle before.

    An illegal instruction sets ``error`` in the cycle behind its
    turn; ``error_code``, ``entry`` (where it lies) and ``dispatched`` (instructions before it, those of the sequencer
    included, and not those that were left out) then hold until reset. ``halt`` stops dispatch at once. After
    ``stopped`` or ``error`` a reset has to come before the next ``start``.
    """

    MEMORY_PORTS: ClassVar[dict[str, str]] = {}

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
                "counts": In(table_counts(arch)),
                "load_idle": In(1),
                "others_idle": In(1),
                "left_out": Out(UNITS),
                "input_place": In(32),
                "output_place": In(32),
                "last": In(1),
                "image_over": Out(1),
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
        m.d.comb += [
            fetch.given.eq(self.given),
            fetch.input_place.eq(self.input_place),
            fetch.output_place.eq(self.output_place),
        ]

        # The instruction register.
        valid, current = Signal(), Signal(FETCHED, reset_less=True)
        bad = Signal(reset_less=True)
        load, advance, jump = Signal(), Signal(), Signal()
        m.d.comb += [load.eq(fetch.present & (advance | ~valid)), fetch.take.eq(load), fetch.jump.eq(jump)]
        with m.If(load):
            m.d.sync += [current.eq(fetch.head), bad.eq(fetch.head.error != ErrorCode.NONE)]
        m.d.sync += valid.eq(~jump & (load | (valid & ~advance)))
        header = data.View(HEADER, current.instruction[:HEADER_BITS])
        skipped = Signal()
        inside = self._inside(m, current.instruction, skipped, advance)
        lines = self._decode(m, fetch.head.instruction, load, Mux(valid, inside.following, inside.now))

        # ``leaving``: END, or an EXIT that was taken, waits for the units, and then for the next image, if there is
        # one: ``over`` says so. ``holding``: a SKIP that was taken waits.
        leaving, over, holding, turn, stops = Signal(), Signal(), Signal(), Signal(), Signal()
        started = self._boot(m)
        m.d.comb += [stops.eq(self.error | self.halt), turn.eq(valid & ~(bad | leaving | holding | stops))]
        age, met = self._control_waits(m, header.waits, load)
        more = self._count_above(m, current.instruction)
        drops = Signal()
        m.d.comb += drops.eq(turn & lines.left_out & (~lines.slow | (age & met & (self.load_idle | ~lines.load))))
        for unit in QUEUED_UNITS:
            m.d.comb += self.push[unit].eq(turn & lines.goes_to[unit] & ~self.full[unit])
            m.d.sync += self.left_out[unit].eq(drops & lines.of_unit[unit])
            self._connect_entry(m, unit, header, current)

        runs, leaves, skips, decoded = Signal(), Signal(), Signal(), lines.decoded
        m.d.comb += [
            runs.eq(turn & age & met & lines.control),
            leaves.eq(runs & (decoded[Opcode.END] | (decoded[Opcode.EXIT] & more))),
            skips.eq(runs & decoded[Opcode.SKIP] & ~more),
            skipped.eq(holding & self.others_idle & ~stops),
            # An EXIT advances, taken or not; ``leaving`` holds back what follows. A SKIP stays while it holds.
            advance.eq(self.push.any() | (runs & ~skips) | skipped | drops),
            self.image_over.eq(leaving & self.completions.idle & ~(over | stops)),
            self.stopped.eq(self.image_over & self.last),
            self.control.eq((runs & ~leaves & ~skips) | skipped | self.image_over),
        ]
        m.d.sync += [
            leaving.eq(leaves | (leaving & ~started)),
            over.eq(self.image_over | (over & ~started)),
            holding.eq(skips | (holding & ~skipped)),
        ]

        m.d.comb += [
            jump.eq(started | (runs & decoded[Opcode.NEXT])),
            fetch.target.eq(Mux(started, 0, operands_of(Opcode.NEXT, current.instruction).entry)),
        ]
        with m.If(jump):
            m.d.sync += self.entry.eq(fetch.target)
        with m.Elif(advance):
            m.d.sync += self.entry.eq(self.entry + 1)
        with m.If(advance & ~drops):
            m.d.sync += self.dispatched.eq(self.dispatched + 1)
        with m.If(valid & bad & ~(leaving | stops)):
            m.d.sync += [self.error.eq(1), self.error_code.eq(current.error)]
        return m

    def _count_above(self, m: Module, instruction: Any) -> Signal:
        """Whether the count of an EXIT's or a SKIP's table is above ``most``, COUNT_READ cycles ago."""
        fields = operands_of(Opcode.EXIT, instruction)
        count, above = Signal.like(self.counts[0], reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            count.eq(Mux(fields.count_table == NO_TABLE, 0, self.counts[fields.count_table])),
            above.eq(count > fields.most),
        ]
        return above

    def _inside(self, m: Module, instruction: Any, begins: Any, advance: Any) -> _Inside:
        """Counts what a SKIP leaves out. ``begins``: the SKIP in the register is taken."""
        count = operands_of(Opcode.SKIP, instruction).instructions
        left, inside, following = Signal.like(count, name="left", reset_less=True), Signal(), Signal()
        m.d.comb += following.eq(Mux(begins, count != 0, inside & (left != 1)))
        with m.If(self.image_over):
            m.d.sync += inside.eq(0)
        with m.Elif(begins | advance):
            m.d.sync += [left.eq(Mux(begins, count, left - 1)), inside.eq(following)]
        return _Inside(inside, following)

    def _decode(self, m: Module, instruction: Any, load: Any, inside: Any) -> _Lines:
        """What dispatch needs to know of an instruction that comes into the register, ``inside`` of a SKIP or not."""
        head = data.View(HEADER, instruction[:HEADER_BITS])
        loads = head.opcode == Opcode.LOAD
        pages = loads & (operands_of(Opcode.LOAD, instruction).space == Space.INSTRUCTIONS)
        control = (Opcode.NEXT, Opcode.EXIT, Opcode.SKIP, Opcode.END)
        left_out = inside & ~(head.opcode.matches(Opcode.NEXT, Opcode.END) | pages)

        def line(name: str, value: Any) -> Signal:
            register = Signal(name=name, reset_less=True)
            with m.If(load):
                m.d.sync += register.eq(value)
            return register

        mine = {unit: head.opcode.matches(*(form.opcode for form in formats_of(unit))) for unit in QUEUED_UNITS}
        return _Lines(
            left_out=line("is_left_out", left_out),
            slow=line("slow", loads | Cat(head.waits[n].unit == Unit.LOAD for n in range(WAITS)).any()),
            load=line("is_load", loads),
            control=line("is_control", head.opcode.matches(*control) & ~left_out),
            decoded={opcode: line(f"is_{opcode.name.lower()}", head.opcode == opcode) for opcode in control},
            of_unit={unit: line(f"of_{unit.name.lower()}", mine[unit]) for unit in QUEUED_UNITS},
            goes_to={unit: line(f"goes_to_{unit.name.lower()}", mine[unit] & ~left_out) for unit in QUEUED_UNITS},
        )

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

    def _control_waits(self, m: Module, waits: Any, load: Signal) -> tuple[Any, Any]:
        """Whether the instruction register has been there for so long that its waits are compared and its table's count
        is read; and whether they hold."""
        m.submodules.comparison = comparison = WaitComparison()
        age = Signal(CONTROL_LATENCY)
        m.d.sync += age.eq(Mux(load, 0, Cat(Const(1, 1), age[:-1])))
        m.d.comb += [
            comparison.waits.eq(waits),
            comparison.counts.eq(self.completions.counts),
            comparison.retires.eq(self.completions.retires),
        ]
        return age[-1], comparison.met

    def _boot(self, m: Module) -> Signal:
        """Asks LOAD for page 0 at the start and behind each image but the last.

        Returns the line that is 1 in the cycle in which it has arrived.
        """
        booting, started, fits = Signal(), Signal(), Signal(reset_less=True)
        again, begins = Signal(), Signal()
        m.d.sync += again.eq(self.image_over & ~self.last)
        m.d.comb += begins.eq(self.start | again)
        # The count stands still before the start, which may come in the cycle behind a reset.
        beats = Signal.like(self.boot.beats, reset_less=True)
        m.d.sync += [
            fits.eq(self.boot_count <= self._arch.page_instructions),
            beats.eq(self.boot_count * INSTRUCTION_BEATS),
        ]
        m.d.comb += self.boot.beats.eq(beats)
        m.d.comb += [
            self.boot.start.eq(begins & fits),
            self.boot.address.eq(self.code_address),
            started.eq(booting & self.boot.done),
        ]
        with m.If(begins):
            # More instructions than a page holds would run into the other page, or beyond the memory.
            m.d.sync += [booting.eq(fits), self.error.eq(~fits)]
            m.d.sync += self.error_code.eq(Mux(fits, ErrorCode.NONE, ErrorCode.FETCH_RANGE))
        with m.If(started):
            m.d.sync += booting.eq(0)
        return started
