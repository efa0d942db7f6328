"""The accelerator: every unit and memory, wired, with the ports of the outside world."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from gatewright.contract.arch import ArchConfig
from gatewright.contract.axi import BURST_SIZE, INCREMENTING
from gatewright.contract.isa import QUEUED_UNITS, UNITS, Unit
from gatewright.contract.registers import ErrorCode
from gatewright.hw.array.unit import ArrayUnit
from gatewright.hw.connections import Connection, conflicts, connect, connections, memories_for, scratchpad_writers
from gatewright.hw.control.completions import Completions
from gatewright.hw.control.images import Images
from gatewright.hw.control.queue import InstructionQueue
from gatewright.hw.control.registers import Control
from gatewright.hw.control.sequencer import Sequencer
from gatewright.hw.epilogue.unit import EpilogueUnit
from gatewright.hw.gather.unit import GatherUnit
from gatewright.hw.index.unit import IndexUnit
from gatewright.hw.load.unit import LoadUnit
from gatewright.hw.ports import BUS_PORTS, LITE_PORTS, port_members
from gatewright.hw.store.unit import StoreUnit

QUEUED: dict[Unit, tuple[str, Any]] = {
    Unit.LOAD: ("load", LoadUnit),
    Unit.GATHER: ("gather", GatherUnit),
    Unit.ARRAY: ("array", ArrayUnit),
    Unit.EPILOGUE: ("epilogue", EpilogueUnit),
    Unit.INDEX: ("index_unit", IndexUnit),
    Unit.STORE: ("store", StoreUnit),
}
"""The submodule's name and the class of each unit with a queue."""
assert tuple(QUEUED) == QUEUED_UNITS


class Accelerator(wiring.Component):
    """The whole machine. Ports: AXI4-Lite ``s_axi_*``, AXI4 ``m_axi_*``, ``interrupt``, and ``trace_*``.

    The trace ports show each instruction's cycles and each write to the scratchpad; nothing depends on them, and
    synthesis removes what only they need.
    """

    def __init__(self, arch: ArchConfig, source_hash: int = 0) -> None:
        self._arch = arch
        self._source_hash = source_hash
        super().__init__(port_members())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        arch = self._arch
        control = Control(arch, self._source_hash)
        m.submodules.control = control
        clear = Signal()
        m.d.comb += clear.eq(control.clear)

        def add(name: str, component: Any) -> Any:
            """A part that the end of a run, or an error, resets."""
            m.submodules[name] = ResetInserter(clear)(component)
            return component

        completions = add("completions", Completions())
        sequencer = add("sequencer", Sequencer(arch))
        images = add("images", Images())
        queues = {unit: add(f"queue_{unit.name.lower()}", InstructionQueue(unit, arch)) for unit in QUEUED_UNITS}
        units = {unit: add(name, made(arch)) for unit, (name, made) in QUEUED.items()}
        self._connect_control(m, control, sequencer, units)
        self._connect_images(m, control, sequencer, images)
        self._connect_instructions(m, sequencer, completions, queues, units)
        users = [sequencer, *units.values()]
        memories = {name: add(name, made(arch)) for name, made in memories_for(users).items()}
        made = connections(users, {**memories, "sequencer": sequencer})
        connect(m, made)
        for user in users:
            if "counts" in user.signature.members:
                m.d.comb += user.counts.eq(memories["tables"].counts)
        faults: list[tuple[Any, int]] = [
            *conflicts(memories),
            (units[Unit.LOAD].error, ErrorCode.READ_BUS),
            (units[Unit.STORE].error, ErrorCode.WRITE_BUS),
            (units[Unit.GATHER].error, ErrorCode.ILLEGAL_OPERANDS),
        ]
        m.d.comb += [control.fault.eq(sequencer.error), control.fault_code.eq(sequencer.error_code)]
        for number, (line, code) in enumerate(faults):
            seen = Signal(name=f"fault_{number}")
            m.d.sync += seen.eq(line)
            with m.If(seen):
                m.d.comb += [control.fault.eq(1), control.fault_code.eq(code)]
        m.d.comb += control.masks_busy.eq(memories["masks"].busy)
        self._connect_buses(m, control, units)
        self._connect_trace(m, control, sequencer, units, scratchpad_writers(made))
        return m

    def _connect_control(self, m: Module, control: Control, sequencer: Any, units: dict[Unit, Any]) -> None:
        load, store = units[Unit.LOAD], units[Unit.STORE]
        m.d.comb += [
            sequencer.start.eq(control.start),
            sequencer.code_address.eq(control.code_address),
            sequencer.boot_count.eq(control.boot_count),
            sequencer.halt.eq(control.halt),
            load.base.eq(control.base),
            store.base.eq(control.base),
            load.halt.eq(control.halt),
            store.halt.eq(control.halt),
            control.quiet.eq(load.quiet & store.quiet),
            control.stopped.eq(sequencer.stopped),
            control.dispatched.eq(sequencer.dispatched),
            control.entry.eq(sequencer.entry),
        ]
        wiring.connect(m, sequencer.boot, load.boot)

    def _connect_images(self, m: Module, control: Control, sequencer: Any, images: Any) -> None:
        """What is added to the addresses of the rings, and which image is the last."""
        m.d.comb += [
            images.start.eq(control.start),
            images.over.eq(sequencer.image_over),
            images.images.eq(control.images),
            control.image.eq(images.number),
            sequencer.last.eq(images.last),
            sequencer.input_place.eq(images.input_place),
            sequencer.output_place.eq(images.output_place),
        ]
        for name in ("input_ring", "output_ring"):
            wiring.connect(m, getattr(control, name), getattr(images, name))

    def _connect_instructions(
        self,
        m: Module,
        sequencer: Any,
        completions: Any,
        queues: dict[Unit, Any],
        units: dict[Unit, Any],
    ) -> None:
        """Dispatch, queues, completion counts."""
        m.d.comb += [
            completions.give.eq(sequencer.push),
            completions.left_out.eq(sequencer.left_out),
            completions.clear.eq(sequencer.image_over),
            sequencer.given.eq(completions.given),
            sequencer.load_idle.eq(completions.load_idle),
            sequencer.others_idle.eq(completions.others_idle),
        ]
        self._retires, self._starts, self._runs = Signal(UNITS), Signal(UNITS), Signal(UNITS)
        for number, queue in queues.items():
            unit = units[number]
            m.d.comb += [
                queue.push.eq(sequencer.push[number]),
                queue.entry.eq(getattr(sequencer, f"entry_{number.name.lower()}")),
                sequencer.full[number].eq(queue.full),
                self._starts[number].eq(unit.progress.start),
                self._runs[number].eq(unit.progress.run),
                self._retires[number].eq(unit.progress.retire),
            ]
            wiring.connect(m, queue.unit, unit.queue)
        epilogue = units[Unit.EPILOGUE]
        for reader in (sequencer, *queues.values(), epilogue):
            m.d.comb += [
                reader.completions.counts.eq(completions.view.counts),
                reader.completions.retires.eq(completions.view.retires),
                reader.completions.idle.eq(completions.view.idle),
            ]
        m.d.comb += [
            completions.retire.eq(self._retires),
            epilogue.waits.eq(queues[Unit.EPILOGUE].waits),
        ]

    def _connect_buses(self, m: Module, control: Control, units: dict[Unit, Any]) -> None:
        """The flat AXI ports, and what is constant on them."""
        for name in LITE_PORTS:
            inner, outer = getattr(control.bus, name), getattr(self, f"s_axi_{name}")
            m.d.comb += inner.eq(outer) if LITE_PORTS[name].flow == In else outer.eq(inner)
        m.d.comb += self.interrupt.eq(control.interrupt)
        buses = {"read": units[Unit.LOAD].bus, "write": units[Unit.STORE].bus}
        for name, (bus, member, port) in BUS_PORTS.items():
            inner, outer = getattr(buses[bus], member), getattr(self, f"m_axi_{name}")
            m.d.comb += inner.eq(outer) if port.flow == In else outer.eq(inner)
        m.d.comb += [
            self.m_axi_arsize.eq(BURST_SIZE),
            self.m_axi_awsize.eq(BURST_SIZE),
            self.m_axi_arburst.eq(INCREMENTING),
            self.m_axi_awburst.eq(INCREMENTING),
            self.m_axi_wstrb.eq(~0),
        ]

    def _connect_trace(
        self, m: Module, control: Control, sequencer: Any, units: dict[Unit, Any], writers: list[Connection]
    ) -> None:
        """The observation ports, and the same events for the counters."""
        m.d.comb += [
            control.starts.eq(self._starts),
            control.retires.eq(self._retires),
            self.trace_boot.eq(control.start),
            self.trace_dispatch.eq(sequencer.push.any()),
            self.trace_control.eq(sequencer.control),
            self.trace_start.eq(self._starts),
            self.trace_run.eq(self._runs),
            self.trace_retire.eq(self._retires),
            self.trace_stop.eq(sequencer.stopped),
            self.trace_error.eq(control.fault),
            self.trace_write.eq(reduce(or_, (writer.asking.valid for writer in writers))),
        ]
        number = {id(unit): name for name, unit in units.items()}
        *others, last = writers
        which: Any = number[id(last.user)]
        address, count, data = last.asking.address, last.asking.count, Cat(*last.asking.data)
        for writer in reversed(others):
            write = writer.asking
            which = Mux(write.valid, number[id(writer.user)], which)
            address = Mux(write.valid, write.address, address)
            count = Mux(write.valid, write.count, count)
            data = Mux(write.valid, Cat(*write.data), data)
        m.d.comb += [
            self.trace_write_unit.eq(which),
            self.trace_write_address.eq(address),
            self.trace_write_count.eq(count),
            self.trace_write_data.eq(data),
        ]
        for unit in units:
            with m.If(sequencer.push[unit]):
                m.d.comb += self.trace_dispatch_unit.eq(unit)
