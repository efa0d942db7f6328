"""cocotb: a unit's queue against its twin, with random pushes, takes and completions of other units."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb

from gatewright.contract.isa import COUNT_BITS, QUEUED_UNITS, WAITS, Unit
from gatewright.hw.layouts import COUNTS, PLACE, entry_layout, head_layout
from gatewright.sim.stepped.control.queue import Clock, Completions, Queue
from gatewright.sim.stepped.instruction import Instruction
from gatewright.verify.kit.programs import row
from tests.hw.instructions import UNIT_OPCODES, has_place, random_row
from tests.support.rtl import Bench, pack

CYCLES = 1000


def pack_entry(instruction: Instruction, place: int) -> tuple[int, int, int]:
    """(entry, its head, its waits) of an instruction."""
    unit = instruction.unit
    waits = [{"unit": u, "count": c} for u, c in instruction.waits]
    head: dict[str, Any] = {"operands": instruction.fields, **({"place": place} if has_place(unit) else {})}
    if len(UNIT_OPCODES[unit]) > 1:
        head |= {"operands": {instruction.opcode.name.lower(): instruction.fields}, "opcode": instruction.opcode}
    layout = entry_layout(unit)
    return (
        pack(layout, {"waits": waits, "head": head}),
        pack(head_layout(unit), head),
        pack(layout["waits"].shape, waits),
    )


@cocotb.test()
async def behaves_like_its_twin(dut: Any) -> None:
    """Head, valid, full and waits in every cycle."""
    unit, rng = Unit[os.environ["UNIT"]], random.Random(int(os.environ["SEED"]))
    bench = Bench(dut)
    retired = {other: Instruction(0, row(UNIT_OPCODES[other][0])) for other in QUEUED_UNITS}
    seen = {"full": 0, "waiting": 0, "taken": 0, "straight": 0}
    for offset, pushes, takes in ((0, 0.9, 0.9), (65400, 0.9, 0.2), (32700, 0.1, 1.0), (0, 0.5, 0.5)):
        await bench.reset()
        clock = Clock()
        completions, queue = Completions(clock), Queue(clock, int(os.environ["DEPTH"]))
        for other in QUEUED_UNITS:
            completions._done[other] = offset
        packed: dict[int, tuple[int, int, int]] = {}
        for cycle in range(CYCLES):
            done = [completions._done[u] for u in Unit]
            # Waits for what is complete, nearly complete, or a little ahead.
            units = rng.choices(QUEUED_UNITS, k=rng.choice((0, 0, 1, 2, 3)))
            waits = [(u, max(0, done[u] + rng.choice((-20, -1, 0, 1, 2, 3, 4)))) for u in units]
            code = random_row(rng, rng.choice(UNIT_OPCODES[unit]), [])
            for number, (other, count) in enumerate(waits):
                code[1 + 2 * number : 3 + 2 * number] = other, count % (1 << COUNT_BITS)
            instruction = Instruction(cycle, code)
            packed[cycle] = pack_entry(instruction, rng.getrandbits(PLACE.size))
            head = queue.head
            met = head is not None and completions.met(head)
            push = not queue.full and rng.random() < pushes
            take = met and rng.random() < takes
            retires = [other for other in QUEUED_UNITS if rng.random() < 0.3]
            bench.set(
                push=int(push),
                entry=packed[cycle][0],
                completions__counts=pack(COUNTS, [count % (1 << COUNT_BITS) for count in done]),
                completions__retires=sum(1 << other for other in retires),
                unit__take=int(take),
            )
            await bench.settle()
            assert bench.get("full") == int(queue.full), cycle
            assert bench.get("unit__valid") == int(head is not None), cycle
            if queue._items:
                # The head stands still from its first cycle on, whether it is valid or not.
                _, expected, its_waits = packed[queue._items[0].row]
                assert bench.get("unit__head") == expected, cycle
                assert bench.get("waits") == its_waits, cycle
            if head is not None:
                assert bench.get("unit__waits_met") == int(met), cycle
            seen["full"] += queue.full
            seen["waiting"] += head is not None and not met
            seen["taken"] += take
            seen["straight"] += take and push and len(queue._items) == 1
            if push:
                queue.push(instruction)
            if take:
                queue.pop()
            for other in retires:
                completions.retire(retired[other])
            clock.tick()
            await bench.step()
    print(f"seed {os.environ['SEED']}: {seen}")
    assert all(seen.values()) and WAITS == 3
