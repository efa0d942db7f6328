"""The control registers: what is written stays and is read, and a run starts, stops and is cleared as its rules say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Const, Mux, Signal, Value

from gatewright.contract.registers import CONTROL as CONTROL_REGISTER
from gatewright.contract.registers import IDENTIFIER, REGISTERS, STATUS, ErrorCode, Register
from gatewright.hw.control import registers as module
from gatewright.hw.control.images import IMAGE_BITS
from gatewright.hw.control.registers import CODE_BITS, Control
from tests.hw.instructions import ARCH
from tests.mutants.mutant import Mutant
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside
from tests.proofs.proof import Proof
from tests.proofs.unknown import unknown_parts

_NARROW = {"INTERRUPT_ENABLE": 1, "BOOT_COUNT": 16, "IMAGES": IMAGE_BITS, "INPUT_SLOTS": 16, "OUTPUT_SLOTS": 16}
"""Bits of the registers that have fewer than 32."""

_PHASES = ("clearing", "idle", "starting", "running", "halting")


@dataclass(frozen=True)
class _Run:
    """What software and the machine see of a run: its phase, one of five, and how the last one ended.

    ``beyond``: a cycle ago it had run for CYCLE_LIMIT cycles; ``since``: it was started and not cleared since.
    """

    clearing: Signal
    idle: Signal
    starting: Signal
    running: Signal
    halting: Signal
    done: Signal
    failed: Signal
    code: Signal
    instruction: Signal
    entry: Signal
    cycles: Signal
    beyond: Signal
    since: Signal


def control() -> Harness:
    """Any writes and reads of words (``axi-lite`` shows that they are the bus's), a machine that does what it likes."""
    h = Harness()
    with unknown_parts(module, "AxiLiteSlave"):
        dut = Control(ARCH)
        inside = Inside(dut)
    h.m.submodules.control = inside.fragment
    h.free(dut.image, dut.stopped, dut.quiet, dut.masks_busy, dut.fault, dut.fault_code, dut.dispatched, dut.entry)
    h.free(dut.starts, dut.retires)
    slave = inside.of(dut, "slave")
    h.assume(~slave.write | slave.write_known)
    values = _plain(h, dut, slave)
    run = _run(h, dut, slave, values)
    values |= _seen(dut, run, slave)
    for register in REGISTERS:
        there = slave.read_address == register.offset // 4
        if register.name in values:
            h.check(f"reads_{register.name.lower()}", ~there | (slave.read_data == values[register.name]))
    h.check("known_reads", slave.read_known == _any_of(slave.read_address, REGISTERS))
    writable = [register for register in REGISTERS if register.access != "ro"]
    h.check("known_writes", slave.write_known == _any_of(slave.write_address, writable))
    _invariants(h, inside, dut, run, values)
    return h


def _any_of(word: Any, registers: Any) -> Any:
    return reduce(or_, (word == register.offset // 4 for register in registers))


def _written(slave: Any, register: Register) -> Any:
    return slave.write & (slave.write_address == register.offset // 4)


def _plain(h: Harness, dut: Control, slave: Any) -> dict[str, Any]:
    """Registers that software writes: each holds what was written last, and the machine sees it."""
    values: dict[str, Any] = {}
    for register in REGISTERS:
        if register.access != "rw":
            continue
        name = register.name.lower()
        values[register.name] = value = Signal(_NARROW.get(register.name, 32), name=f"last_{name}")
        with h.m.If(_written(slave, register)):
            h.m.d.sync += value.eq(slave.write_data)
        ring, _, member = name.partition("_")
        port = getattr(getattr(dut, f"{ring}_ring"), member) if ring in ("input", "output") else None
        port = getattr(dut, name, None) if port is None else port
        if port is not None:
            h.check(f"shows_{name}", port == value)
    return values


def _run(h: Harness, dut: Control, slave: Any, values: dict[str, Any]) -> _Run:
    """The phases, and what ends each."""
    m = h.m
    bits = {"code": CODE_BITS, "instruction": 32, "entry": 16, "cycles": 32}
    run = _Run(**{n: Signal(bits.get(n, 1), name=f"run_{n}", init=n == "clearing") for n in _Run.__dataclass_fields__})
    control, status = (_written(slave, register) for register in (CONTROL_REGISTER, STATUS))
    on, data = run.starting | run.running, slave.write_data
    asked, aborted = (control & data[CONTROL_REGISTER.bit(name).position] for name in ("START", "ABORT"))
    limit = values["CYCLE_LIMIT"]
    starts, fails, ends = Signal(), Signal(), Signal()
    m.d.comb += [
        starts.eq(run.idle & asked & ~dut.masks_busy),
        fails.eq(run.running & (dut.fault | aborted | run.beyond)),
        ends.eq(run.running & dut.stopped & ~fails),
    ]
    halted = run.halting & dut.quiet
    cleared = {name: status & data[STATUS.bit(name).position] for name in ("DONE", "ERROR")}
    m.d.sync += [
        run.beyond.eq(on & (limit != 0) & (run.cycles >= limit)),
        run.since.eq(~dut.clear & (dut.start | run.since)),
        run.clearing.eq(ends | halted),
        run.idle.eq(run.clearing | (run.idle & ~starts)),
        run.starting.eq(starts),
        run.running.eq(run.starting | (run.running & ~fails & ~ends)),
        run.halting.eq(fails | (run.halting & ~dut.quiet)),
        # An end is not lost to software that clears the one before.
        run.done.eq(ends | (run.done & ~starts & ~cleared["DONE"])),
        run.failed.eq(halted | (run.failed & ~starts & ~cleared["ERROR"])),
        run.cycles.eq(Mux(starts, 0, run.cycles + on)),
    ]
    with m.If(starts):
        m.d.sync += run.code.eq(ErrorCode.NONE)
    with m.If(fails):
        why = Mux(dut.fault, dut.fault_code, Mux(aborted, ErrorCode.NONE, ErrorCode.CYCLE_LIMIT))
        m.d.sync += [run.code.eq(why), run.instruction.eq(dut.dispatched), run.entry.eq(dut.entry)]
    h.check("start", dut.start == run.starting)
    h.check("halt", dut.halt == run.halting)
    h.check("clear", dut.clear == run.clearing)
    h.check("interrupt", dut.interrupt == (values["INTERRUPT_ENABLE"] & (run.done | run.failed)))
    _promises(h, dut, run)
    h.cover("ends", ends & (run.cycles == 3))
    h.cover("fails", run.failed & (run.code == ErrorCode.CYCLE_LIMIT))
    h.cover("starts_behind_an_error", starts & run.failed)
    h.cover("cleared_as_it_ends", ends & cleared["DONE"])
    h.cover("not_ready", run.idle & asked & dut.masks_busy)
    return run


def _promises(h: Harness, dut: Control, run: _Run) -> None:
    """What the proofs of the sequencer and of the units assume of their surroundings."""
    h.check("one_start", ~dut.start | ~run.since)
    ports = Cat(dut.boot_count, dut.images, *(Value.cast(ring.slots) for ring in (dut.input_ring, dut.output_ring)))
    h.check("stands_still", ~dut.start | h.steady(ports, "ports"))
    falls = h.before(dut.halt, "halt_before") & ~dut.halt
    h.check("halt_until_quiet", ~falls | (dut.clear & h.before(dut.quiet, "quiet_before")))


def _seen(dut: Control, run: _Run, slave: Any) -> dict[str, Any]:
    """What else software reads."""
    ready = run.idle & ~dut.masks_busy
    lines = {"BUSY": run.starting | run.running | run.halting, "DONE": run.done, "ERROR": run.failed, "READY": ready}
    return {
        "ID": IDENTIFIER,
        "STATUS": reduce(or_, (lines[bit.name] << bit.position for bit in STATUS.bits)),
        "CONTROL": Const(0),
        "ERROR_CODE": run.code,
        "ERROR_INSTRUCTION": run.instruction,
        "ERROR_ENTRY": run.entry,
        "CYCLES": run.cycles,
        "ROWS": ARCH.rows,
        "COLUMNS": ARCH.columns,
        "INSTRUCTION_ENTRIES": ARCH.instruction_entries,
    }


def _invariants(h: Harness, inside: Inside, dut: Control, run: _Run, values: dict[str, Any]) -> None:
    state = inside.all_of(dut)["fsm_state"]
    for number, phase in enumerate(_PHASES):
        h.invariant(phase, getattr(run, phase) == (state == number))
    h.invariant("phases", state < len(_PHASES))
    for name, value in values.items():
        h.invariant(f"holds_{name.lower()}", dut._values[name] == value)
    h.invariant("over", inside.of(dut, "over") == run.beyond)
    h.invariant("since", ~run.since | run.running | run.halting | run.clearing)


_FILE = "hw/control/registers.py"

CONTROL = Proof(
    "control",
    "A register that software writes holds what was written last; a run starts once, when asked and ready, an error "
    "halts it until the bus is quiet, and its end or error is shown until software clears it.",
    control,
    2,
    (
        Mutant(
            "control-start-while-masks-are-cleared",
            _FILE,
            'data[CONTROL.bit("START").position] & ready',
            'data[CONTROL.bit("START").position]',
            "a run that is started at once finds masks of the one before",
        ),
        Mutant(
            "control-clear-before-the-bus-is-quiet",
            _FILE,
            "with m.If(self.quiet):\n                    m.d.sync += failed.eq(1)",
            "with m.If(1):\n                    m.d.sync += failed.eq(1)",
            "an error resets LOAD while bursts are in flight; their beats go to the next run",
        ),
        Mutant(
            "control-stopped-before-a-fault",
            _FILE,
            "with m.If(self.fault | aborted | over):",
            "with m.If((self.fault | aborted | over) & ~self.stopped):",
            "an error of the last cycle is not reported",
        ),
        Mutant(
            "control-abort-as-a-limit",
            _FILE,
            "Mux(aborted, ErrorCode.NONE, ErrorCode.CYCLE_LIMIT)",
            "ErrorCode.CYCLE_LIMIT",
            "an abort looks like a run that took too long",
        ),
        Mutant(
            "control-register-of-the-word-behind",
            _FILE,
            "read = Array([self._values[r.name] if r else zero for r in by_word])",
            "read = Array([self._values[r.name] if r and r.name != 'BOOT_COUNT' else zero for r in by_word])",
            "a register is written and not read",
        ),
    ),
    search=12,
)
