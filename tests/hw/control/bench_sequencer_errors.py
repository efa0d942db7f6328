"""cocotb: the sequencer stops at every kind of illegal instruction, with its code and its place."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb

from gatewright.contract.isa import QUEUED_UNITS, Opcode, Unit
from gatewright.contract.registers import ErrorCode
from gatewright.contract.timing import CONTROL_LATENCY
from gatewright.hw.layouts import COUNTS
from gatewright.verify.kit.programs import row
from tests.hw.instructions import ARCH, UNIT_OPCODES, bits_of, illegal_kinds, random_row
from tests.support.rtl import Bench, pack

BEAT = (1 << 128) - 1
PAGE = ARCH.page_instructions


class Machine:
    """The sequencer with units that complete everything a cycle after its dispatch."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.given = dict.fromkeys(QUEUED_UNITS, 0)
        self.pushes = 0
        self.controls = 0

    async def boot(self, code: list[int], boot_count: int = 1) -> None:
        """Reset, write the instruction memory from entry 0 on, and start."""
        bench = self.bench
        bench.set(halt=0, full=0, boot__done=0, counts=0, last=1, start=0, boot_count=boot_count)
        await bench.reset()
        for number, bits in enumerate(code):
            for part in range(3):
                data = bits >> (128 * part) & BEAT
                bench.set(write__valid=1, write__entry=number, write__part=part, write__data=data)
                await bench.step()
        bench.set(write__valid=0, start=1)
        await self.step()
        bench.set(start=0, boot__done=1)

    async def step(self) -> None:
        """One cycle."""
        bench = self.bench
        counts = pack(COUNTS, [self.given.get(unit, 0) for unit in Unit])
        bench.set(given=counts, completions__counts=counts, completions__idle=1, load_idle=1, others_idle=1)
        await bench.settle()
        push = bench.get("push")
        bench.set(completions__retires=push)
        self.pushes += bool(push)
        self.controls += bench.get("control")
        for unit in QUEUED_UNITS:
            self.given[unit] += push >> unit & 1
        await bench.step()

    async def run(self, cycles: int) -> None:
        """Until the error, at most so many cycles."""
        for _ in range(cycles):
            if self.bench.get("error"):
                return
            await self.step()

    async def check(self, code: ErrorCode, before: int, entry: int, name: str) -> None:
        """Stopped with this error behind ``before`` instructions, and nothing happens any more."""
        bench = self.bench
        for _ in range(2):
            found = ErrorCode(bench.get("error_code"))
            assert bench.get("error") == 1, f"{name}: no error"
            assert found == code, f"{name}: {found.name}"
            assert (bench.get("entry"), bench.get("dispatched")) == (entry, before), name
            assert self.pushes + self.controls == before, name
            bench.set(full=0)
            for _ in range(30):
                await self.step()


def prefix(rng: random.Random, length: int) -> tuple[list[int], dict[Unit, int]]:
    """Legal instructions with waits up to the last instruction given, and what they give each unit."""
    given, code = dict.fromkeys(QUEUED_UNITS, 0), []
    for _ in range(length):
        waits = [(unit, rng.choice((given[unit], 0))) for unit in rng.choices(QUEUED_UNITS, k=3)]
        unit = rng.choice(QUEUED_UNITS)
        opcode = rng.choice((*UNIT_OPCODES[unit] * 2, Opcode.EXIT))
        code.append(bits_of(random_row(rng, opcode, waits)))
        given[unit] += opcode != Opcode.EXIT
    return code, given


@cocotb.test()
async def stops_at_every_illegal_instruction(dut: Any) -> None:
    rng = random.Random(int(os.environ["SEED"]))
    bench = Bench(dut)
    kinds = len(illegal_kinds(dict.fromkeys(QUEUED_UNITS, 0)))
    for number in range(kinds):
        length = rng.choice((0, 1, rng.randrange(20)))
        code, given = prefix(rng, length)
        name, opcode, change, error = illegal_kinds(given)[number]
        legal = bits_of(random_row(rng, opcode, []))
        bad = change(legal)
        assert bad != legal, name
        # What follows is fetched, and must not be seen: legal, or cleared memory.
        following = [bits_of(random_row(rng, Opcode.GATHER, []))] * rng.choice((0, 4)) + [0, 0]
        machine = Machine(bench)
        await machine.boot([*code, bad, *following])
        await machine.run(60 + CONTROL_LATENCY * length)
        await machine.check(error, length, length, name)
    print(f"seed {os.environ['SEED']}: {kinds} kinds of illegal instructions")


@cocotb.test()
async def a_full_queue_does_not_hide_an_error(dut: Any) -> None:
    bench = Bench(dut)
    machine = Machine(bench)
    await machine.boot([bits_of(row(Opcode.STORE)), bits_of(row(Opcode.STORE)) | 1 << 200])
    bench.set(full=(1 << Unit.STORE))
    await machine.run(40)
    assert bench.get("error") == 0 and machine.pushes == 0
    bench.set(full=0)
    await machine.run(1)
    bench.set(full=(1 << Unit.STORE))
    await machine.run(5)
    await machine.check(ErrorCode.STRAY_BITS, 1, 1, "stray bits behind a full queue")


@cocotb.test()
async def running_off_the_end_is_an_error(dut: Any) -> None:
    """Past the last entry, and by a NEXT to entries that do not exist."""
    rng = random.Random(int(os.environ["SEED"]))
    bench = Bench(dut)
    entries = ARCH.instruction_entries
    code, _ = prefix(rng, entries)
    machine = Machine(bench)
    await machine.boot(code, PAGE)
    await machine.run((1 + CONTROL_LATENCY) * entries + 40)
    await machine.check(ErrorCode.FETCH_RANGE, entries, entries, "the memory's end")
    for target in (entries, 127, 8191):
        machine = Machine(bench)
        await machine.boot([*code[:3], bits_of(row(Opcode.NEXT, entry=target))])
        await machine.run(60)
        await machine.check(ErrorCode.FETCH_RANGE, 4, target, f"NEXT to {target}")


@cocotb.test()
async def a_page_that_does_not_fit_is_an_error(dut: Any) -> None:
    bench = Bench(dut)
    for count in (PAGE + 1, 1 << 15, (1 << 16) - 1):
        bench.set(start=0, boot__done=0, boot_count=count)
        await bench.reset()
        bench.set(start=1)
        await bench.settle()
        assert bench.get("boot__start") == 0
        await bench.step()
        bench.set(start=0, boot__done=1)
        await Machine(bench).check(ErrorCode.FETCH_RANGE, 0, 0, f"{count} instructions")


@cocotb.test()
async def halt_stops_dispatch_at_once_and_nothing_is_lost(dut: Any) -> None:
    rng = random.Random(int(os.environ["SEED"]))
    bench = Bench(dut)
    code, _ = prefix(rng, 30)
    machine = Machine(bench)
    await machine.boot([*code, bits_of(row(Opcode.END))])
    for _ in range(200):
        halt = rng.random() < 0.5
        before = machine.pushes + machine.controls
        bench.set(halt=int(halt))
        await machine.step()
        assert not halt or machine.pushes + machine.controls == before
    assert machine.pushes + machine.controls == 31
    assert bench.get("dispatched") == 31 and bench.get("error") == 0


@cocotb.test()
async def what_was_fetched_past_a_next_is_not_counted_as_given(dut: Any) -> None:
    """Instructions behind a NEXT are fetched and dropped: a wait for one of them is a wait ahead."""
    rng = random.Random(int(os.environ["SEED"]))
    bench = Bench(dut)
    for ahead in (0, 1):
        for unit in QUEUED_UNITS:
            code, given = prefix(rng, rng.randrange(8))
            dropped = [bits_of(random_row(rng, rng.choice(UNIT_OPCODES[unit]), []))] * 12
            length = len(code) + 1
            target = length + len(dropped)
            waits = [(unit, given[unit] + ahead)]
            last = bits_of(random_row(rng, Opcode.GATHER, waits))
            machine = Machine(bench)
            await machine.boot([*code, bits_of(row(Opcode.NEXT, entry=target)), *dropped, last, 0])
            await machine.run(80)
            if ahead:
                await machine.check(ErrorCode.WAIT_AHEAD, length, target, unit.name)
            else:
                await machine.check(ErrorCode.ILLEGAL_OPCODE, length + 1, target + 1, unit.name)
