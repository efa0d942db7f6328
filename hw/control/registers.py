"""The control registers: start and stop, status, errors, counters, interrupt; and the state of a run."""

from __future__ import annotations

from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import QUEUED_UNITS, UNITS, VERSION
from gatewright.contract.registers import (
    ADDRESS_BITS,
    CONTROL,
    IDENTIFIER,
    REGISTERS,
    STATUS,
    ErrorCode,
    Register,
)
from gatewright.hw.control.axi_lite import AxiLiteSlave, axi_lite_signature
from gatewright.hw.control.images import IMAGE_BITS, ring_signature

CODE_BITS = 4
RINGS = ("input", "output")
IN_FLIGHT_BITS = 8
"""Instructions of one unit between start and completion."""

_BY_NAME = {register.name: register for register in REGISTERS}


class Control(wiring.Component):
    """Registers behind AXI4-Lite (``contract.registers``), and the machine that starts, watches and clears a run.

    States: idle (``ready`` once the masks are clear) - run - halt (an error: no more dispatch, no more addresses, until
    the DMA is quiet) - clear (one cycle of reset for all but this component) - idle. A program that ends is cleared in
    the cycle behind its last, so that the next one finds masks and table counts zero.

    ``start`` is 1 in cycle 0. ``fault`` and ``fault_code`` report an error of the machine in any cycle.
    """

    def __init__(self, arch: ArchConfig, source_hash: int = 0) -> None:
        self._arch = arch
        self._source_hash = source_hash & 0xFFFF_FFFF
        super().__init__(
            {
                "bus": Out(axi_lite_signature(ADDRESS_BITS)),
                "interrupt": Out(1),
                "start": Out(1),
                "halt": Out(1),
                "clear": Out(1),
                "base": Out(32),
                "code_address": Out(32),
                "boot_count": Out(16),
                "images": Out(IMAGE_BITS),
                "image": In(IMAGE_BITS),
                **{f"{ring}_ring": Out(ring_signature()) for ring in RINGS},
                "stopped": In(1),
                "quiet": In(1),
                "masks_busy": In(1),
                "fault": In(1),
                "fault_code": In(CODE_BITS),
                "dispatched": In(32),
                "entry": In(16),
                "starts": In(UNITS),
                "retires": In(UNITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.slave = self._slave = slave = AxiLiteSlave(ADDRESS_BITS)
        wiring.connect(m, wiring.flipped(self.bus), slave.bus)
        self._values: dict[str, object] = {
            "ID": Const(IDENTIFIER, 32),
            "VERSION": Const(VERSION, 32),
            "CONTROL": Const(0, 32),
            "ROWS": Const(self._arch.rows, 32),
            "COLUMNS": Const(self._arch.columns, 32),
            "SCRATCHPAD_KIB": Const(self._arch.scratchpad_kib, 32),
            "PATCH_KIB": Const(self._arch.patch_kib, 32),
            "WEIGHT_KIB": Const(self._arch.weight_kib, 32),
            "ACCUMULATOR_DEPTH": Const(self._arch.accumulator_depth, 32),
            "TABLE_ENTRIES": Const(self._arch.table_entries, 32),
            "INSTRUCTION_ENTRIES": Const(self._arch.instruction_entries, 32),
            "SOURCE_HASH": Const(self._source_hash, 32),
        }
        cycles, running = self._run(m)
        self._count_units(m, running)
        self._values["CYCLES"] = cycles
        self._connect_registers(m)
        return m

    def _written(self, m: Module, name: str) -> Signal:
        """1 in the cycle in which a register is written."""
        hit = Signal(name=f"write_{name.lower()}")
        m.d.comb += hit.eq(self._slave.write & (self._slave.write_address == _BY_NAME[name].offset // 4))
        return hit

    def _plain(self, m: Module, name: str, width: int = 32) -> Signal:
        """A register that software writes and the machine reads."""
        register = Signal(width, name=name.lower())
        with m.If(self._written(m, name)):
            m.d.sync += register.eq(self._slave.write_data)
        self._values[name] = register
        return register

    def _run(self, m: Module) -> tuple[Signal, Signal]:
        """The states of a run, the status bits and the error registers; returns the cycle counter and ``running``."""
        enable = self._plain(m, "INTERRUPT_ENABLE", 1)
        limit = self._plain(m, "CYCLE_LIMIT")
        m.d.comb += [
            self.base.eq(self._plain(m, "BASE")),
            self.code_address.eq(self._plain(m, "CODE_ADDRESS")),
            self.boot_count.eq(self._plain(m, "BOOT_COUNT", 16)),
        ]
        m.d.comb += self.images.eq(self._plain(m, "IMAGES", IMAGE_BITS))
        self._values["IMAGE"] = ended = Signal(IMAGE_BITS, name="ended")
        for ring in RINGS:
            outer = getattr(self, f"{ring}_ring")
            for name in outer.signature.members:
                port = getattr(outer, name)
                m.d.comb += port.eq(self._plain(m, f"{ring}_{name}".upper(), len(port)))
        done, failed, running, ready = Signal(), Signal(), Signal(), Signal()
        code, instruction, entry = Signal(CODE_BITS), Signal(32), Signal(16)
        cycles, instructions = Signal(32), Signal(32)
        self._values["INSTRUCTIONS"] = instructions
        control, status = self._written(m, "CONTROL"), self._written(m, "STATUS")
        data = self._slave.write_data
        with m.If(status):
            m.d.sync += [
                done.eq(done & ~data[STATUS.bit("DONE").position]),
                failed.eq(failed & ~data[STATUS.bit("ERROR").position]),
            ]
        aborted = Signal()
        m.d.comb += aborted.eq(control & data[CONTROL.bit("ABORT").position])
        over = Signal()
        m.d.sync += over.eq(running & (limit != 0) & (cycles >= limit))
        with m.FSM():
            with m.State("CLEAR"):
                m.d.comb += self.clear.eq(1)
                # The count of the last instruction and image, in the cycle before they are cleared.
                m.d.sync += [instructions.eq(self.dispatched), ended.eq(self.image)]
                m.next = "IDLE"
            with m.State("IDLE"):
                m.d.comb += ready.eq(~self.masks_busy)
                with m.If(control & data[CONTROL.bit("START").position] & ready):
                    m.d.sync += [done.eq(0), failed.eq(0), code.eq(ErrorCode.NONE), cycles.eq(0)]
                    m.next = "START"
            with m.State("START"):
                m.d.comb += [self.start.eq(1), running.eq(1)]
                m.d.sync += cycles.eq(1)
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += running.eq(1)
                m.d.sync += [cycles.eq(cycles + 1), instructions.eq(self.dispatched), ended.eq(self.image)]
                with m.If(self.fault | aborted | over):
                    m.d.sync += [
                        code.eq(Mux(self.fault, self.fault_code, Mux(aborted, ErrorCode.NONE, ErrorCode.CYCLE_LIMIT))),
                        instruction.eq(self.dispatched),
                        entry.eq(self.entry),
                    ]
                    m.d.sync += self.halt.eq(1)
                    m.next = "HALT"
                with m.Elif(self.stopped):
                    m.d.sync += done.eq(1)
                    m.next = "CLEAR"
            with m.State("HALT"):
                m.d.sync += self.halt.eq(~self.quiet)
                with m.If(self.quiet):
                    m.d.sync += failed.eq(1)
                    m.next = "CLEAR"
        m.d.comb += self.interrupt.eq(enable & (done | failed))
        busy = Signal()
        m.d.comb += busy.eq(running | self.halt)
        lines = {"BUSY": busy, "DONE": done, "ERROR": failed, "READY": ready}
        self._values["STATUS"] = Cat(*(lines[bit.name] for bit in STATUS.bits))
        assert [bit.position for bit in STATUS.bits] == list(range(len(lines)))
        self._values["ERROR_CODE"] = code
        self._values["ERROR_INSTRUCTION"] = instruction
        self._values["ERROR_ENTRY"] = entry
        return cycles, running

    def _count_units(self, m: Module, running: Signal) -> None:
        """Cycles with work under way, and completed instructions, of each unit; zero again at each start.

        All of it is counted a cycle late, which a program's end leaves time for.
        """
        starts, retires = Signal(UNITS), Signal(UNITS)
        m.d.sync += [starts.eq(self.starts), retires.eq(self.retires)]
        for unit in QUEUED_UNITS:
            in_flight = Signal(IN_FLIGHT_BITS, name=f"in_flight_{unit.name.lower()}")
            busy = Signal(32, name=f"busy_{unit.name.lower()}")
            completed = Signal(32, name=f"completed_{unit.name.lower()}")
            with m.If(self.start | self.clear):
                m.d.sync += in_flight.eq(0)
            with m.Else():
                m.d.sync += in_flight.eq(in_flight + starts[unit] - retires[unit])
            with m.If(self.start):
                m.d.sync += [busy.eq(0), completed.eq(0)]
            with m.Elif(running):
                m.d.sync += [
                    busy.eq(busy + ((in_flight != 0) | starts[unit])),
                    completed.eq(completed + retires[unit]),
                ]
            self._values[f"BUSY_{unit.name}"] = busy
            self._values[f"COMPLETED_{unit.name}"] = completed

    def _connect_registers(self, m: Module) -> None:
        """The read multiplexer, and which addresses there are."""
        words = 1 << (ADDRESS_BITS - 2)
        zero = Const(0, 32)
        by_word: list[Register | None] = [None] * words
        for register in REGISTERS:
            by_word[register.offset // 4] = register
        read = Array([self._values[r.name] if r else zero for r in by_word])
        readable = Const(sum(1 << w for w, r in enumerate(by_word) if r), words)
        writable = Const(sum(1 << w for w, r in enumerate(by_word) if r and r.access != "ro"), words)
        m.d.comb += [
            self._slave.read_data.eq(read[self._slave.read_address]),
            self._slave.read_known.eq(readable.bit_select(self._slave.read_address, 1)),
            self._slave.write_known.eq(writable.bit_select(self._slave.write_address, 1)),
        ]
