"""cocotb: the sequencer against its twin, cycle by cycle, with units of random speed around both."""

from __future__ import annotations

import os
import random
from types import SimpleNamespace
from typing import Any

import cocotb
import numpy as np

from gatewright.contract.images import Images, Ring
from gatewright.contract.isa import (
    COUNT_BITS,
    FORMATS,
    HEADER_BITS,
    OPCODE_BITS,
    QUEUED_UNITS,
    WAITS,
    Opcode,
    Space,
    Unit,
    column,
)
from gatewright.hw.layouts import COUNTS, PLACE, head_layout
from gatewright.hw.signatures import table_counts
from gatewright.sim.stepped.control.sequencer import Sequencer as Twin
from gatewright.sim.stepped.state import Shared
from gatewright.verify.kit.programs import Row, row
from tests.hw.instructions import ARCH, UNIT_OPCODES, bits_of, has_place, place_of, random_row
from tests.support.rtl import Bench, pack

PAGE = ARCH.page_instructions
WAIT_BITS = HEADER_BITS - OPCODE_BITS
BEATS = 3
"""Of 16 bytes in an instruction."""


def random_program(rng: random.Random, pages: int, exits: float) -> list[list[Row]]:
    """Pages that load each other; waits name any earlier instruction, mostly recent ones."""
    given = dict.fromkeys(QUEUED_UNITS, 0)

    def waits() -> list[tuple[Unit, int]]:
        units = rng.choices(QUEUED_UNITS, k=rng.choice((0, 0, 0, 1, 2, WAITS)))
        return [(unit, max(0, given[unit] - rng.choice((0, 0, 1, 2, 5, 40)))) for unit in units]

    program = []
    for page in range(pages):
        rows: list[Row] = []
        if page + 1 < pages:
            target = (page + 1) % 2 * PAGE
            rows.append(row(Opcode.LOAD, waits(), space=Space.INSTRUCTIONS, address=target, dram_address=page + 1))
            given[Unit.LOAD] += 1
            loaded = given[Unit.LOAD]
        favourite = rng.choice(QUEUED_UNITS)
        for _ in range(rng.choice((0, 3, PAGE - 2, rng.randrange(PAGE - 1)))):
            if rng.random() < exits:
                rows.append(decision(rng, waits()))
                continue
            unit = rng.choice((favourite, *QUEUED_UNITS))
            rows.append(random_row(rng, rng.choice(UNIT_OPCODES[unit]), waits()))
            given[unit] += 1
        if page + 1 < pages:
            rows.append(row(Opcode.NEXT, [*waits()[:2], (Unit.LOAD, loaded)], entry=target))
        else:
            rows.append(row(Opcode.END, waits()))
        program.append(rows)
    return program


def decision(rng: random.Random, waits: list[tuple[Unit, int]]) -> Row:
    """An EXIT, or a SKIP of some instructions or of nearly all, by counts as tables have them here."""
    opcode = rng.choice((Opcode.EXIT, Opcode.SKIP, Opcode.SKIP))
    result = random_row(rng, opcode, waits)
    result[column(opcode, "most")] = rng.choice((0, 1, 3) if opcode == Opcode.SKIP else (1, 3, 5))
    if opcode == Opcode.SKIP:
        result[column(opcode, "instructions")] = rng.choice((0, 1, 2, rng.randrange(30), rng.randrange(100)))
    return result


def entry_bits(bits: int, unit: Unit, place: int) -> int:
    """The queue entry of an encoded instruction; ``place`` is added to the address of one of the images' rings."""
    opcode = Opcode(bits & ((1 << OPCODE_BITS) - 1))
    fields = {f.name: low for f, low in zip(FORMATS[opcode].fields, lows(opcode), strict=True)}
    if "ring" in fields and bits >> fields["ring"] & 1:
        low = fields["dram_address"]
        address = bits >> low & 0xFFFF_FFFF
        bits += ((address + place) % (1 << 32) - address) << low
    size = head_layout(unit)["operands"].width
    entry = bits >> OPCODE_BITS & ((1 << WAIT_BITS) - 1)
    entry |= (bits >> HEADER_BITS & ((1 << size) - 1)) << WAIT_BITS
    low = WAIT_BITS + size
    if len(UNIT_OPCODES[unit]) > 1:
        entry |= (bits & ((1 << OPCODE_BITS) - 1)) << low
        low += OPCODE_BITS
    if has_place(unit):
        entry |= pack(PLACE, place_of(bits)) << low
    return entry


class Units:
    """Takes instructions from the twin's queues and completes them, each unit at its speed; LOAD brings pages."""

    def __init__(self, shared: Shared, rng: random.Random, pages: list[list[Row]]) -> None:
        self._shared, self._rng = shared, rng
        self._pages = [[bits_of(r) for r in page] for page in pages]
        self._speed = {unit: rng.choice((1.0, 1.0, 0.6, 0.15)) for unit in QUEUED_UNITS}
        self._under_way: dict[Unit, list[Any]] = {unit: [] for unit in QUEUED_UNITS}
        self._beats: list[tuple[int, int]] = []
        self.retires = 0
        """Bits of the units that complete an instruction in this cycle."""
        self.page_writes: list[tuple[int, int]] = []
        """(beat's number in the instruction memory, data): one for each cycle to come."""

    def load_page(self, number: int) -> None:
        first = number % 2 * PAGE
        for i, bits in enumerate(self._pages[number]):
            parts = (bits >> 128 * part & ((1 << 128) - 1) for part in range(BEATS))
            self.page_writes += [(BEATS * (first + i) + part, data) for part, data in enumerate(parts)]

    def step(self) -> tuple[int, int] | None:
        """One cycle; returns the beat that is written to the instruction memory in it."""
        self.retires = 0
        for unit in QUEUED_UNITS:
            queue, under_way = self._shared.queues[unit], self._under_way[unit]
            brings = [i for i in under_way if unit == Unit.LOAD and i["space"] == Space.INSTRUCTIONS]
            if under_way and not (brings and self.page_writes) and self._rng.random() < self._speed[unit]:
                self._shared.completions.retire(under_way.pop(0))
                self.retires |= 1 << unit
            head = queue.head
            free = len(under_way) < 3 and not brings
            if (
                head is not None
                and free
                and self._shared.completions.met(head)
                and self._rng.random() < self._speed[unit]
            ):
                queue.pop()
                under_way.append(head)
                if unit == Unit.LOAD and head["space"] == Space.INSTRUCTIONS:
                    self.load_page(head["dram_address"])
        if not self.page_writes:
            return None
        beat, data = self.page_writes.pop(0)
        self._shared.instructions.write(16 * beat, np.frombuffer(data.to_bytes(16, "little"), np.uint8), None)  # type: ignore[arg-type]
        return beat, data


def lows(opcode: Opcode) -> list[int]:
    """The low bit of each field of an opcode."""
    return [HEADER_BITS + sum(f.bits for f in FORMATS[opcode].fields[:n]) for n in range(len(FORMATS[opcode].fields))]


def drive(bench: Bench, shared: Shared, done: bool, write: tuple[int, int] | None) -> None:
    """The registers around the sequencer, in this cycle."""
    completions = shared.completions
    modulus = 1 << COUNT_BITS
    bench.set(
        full=sum(1 << unit for unit in QUEUED_UNITS if shared.queues[unit].full),
        completions__counts=pack(COUNTS, [completions._done[u] % modulus for u in Unit]),
        completions__idle=int(completions.idle),
        load_idle=int(completions._done[Unit.LOAD] == completions._given[Unit.LOAD]),
        others_idle=int(completions.idle_but_load),
        given=pack(COUNTS, [completions._given[u] % modulus for u in Unit]),
        boot__done=int(done),
        write__valid=int(write is not None),
    )
    if write is not None:
        bench.set(write__entry=write[0] // BEATS, write__part=write[0] % BEATS, write__data=write[1])


PROGRAMS = 30


@cocotb.test()
async def dispatches_like_its_twin(dut: Any) -> None:
    """Every push with its entry, every NEXT, EXIT, SKIP and END, and what is left out, in the same cycles."""
    rng = random.Random(int(os.environ["SEED"]))
    bench = Bench(dut)
    total = np.zeros(5, np.int64)
    for _ in range(PROGRAMS):
        total += await run_program(bench, rng)
    print(
        f"seed {os.environ['SEED']}: {PROGRAMS} programs, {total[0]} instructions, {total[1]} cycles, "
        f"{total[2]} of them with a full queue and no dispatch, {total[3]} left out, {total[4]} images"
    )
    assert total[2] > 0, "no queue was ever full"
    assert total[3] > 100 and total[4] > PROGRAMS, "too few SKIPs, or images"


async def run_program(bench: Bench, rng: random.Random) -> tuple[int, int, int, int, int]:
    """Reset, and one random program; returns instructions, cycles, stalls, what was left out, and images."""
    pages = random_program(rng, rng.randint(1, 7), rng.choice((0.0, 0.05, 0.4)))
    shared = Shared(ARCH, np.zeros(64, np.uint8), None)
    images = random_images(rng)
    # Counts that pass 2**16 on the way, and waits relative to them; behind an image they begin at 0.
    offset = rng.choice((0, 0, 65500)) if images.count == 1 else 0
    for unit in QUEUED_UNITS:
        shared.completions._done[unit] = shared.completions._given[unit] = offset
    shared.tables._counts[:] = [rng.randrange(5) for _ in shared.tables._counts]
    for page in pages:
        for instruction in page:
            shift_waits(instruction, offset)
    code = np.array([instruction for page in pages for instruction in page])
    encoded = [bits_of(instruction) for instruction in code]
    program = SimpleNamespace(code=code, opcode_name=lambda n: Opcode(int(code[n, 0])).name)
    twin = Twin(shared, program, images)  # type: ignore[arg-type]
    units = Units(shared, rng, pages)
    units.load_page(0)

    bench.set(boot_count=len(pages[0]), boot__done=0, start=0)
    await bench.reset()
    address = rng.getrandbits(32)
    bench.set(start=1, code_address=address, halt=0)
    done, stalls, left_out, left_before, boots, begun = False, 0, 0, 0, True, 0
    while not twin.stopped:
        assert bench.cycle < 60000, "the twin has not ended"
        done = not boots and (done or (bench.cycle > begun + 3 and not units.page_writes))
        write = units.step()
        drive(bench, shared, done, write)
        places = images.inputs.place(twin.image), images.outputs.place(twin.image)
        counts = pack(table_counts(ARCH), shared.tables._counts)
        last = int(twin.image + 1 == images.count)
        bench.set(input_place=places[0], output_place=places[1], last=last, counts=counts)
        await bench.settle()
        bench.set(completions__retires=units.retires)
        await bench.settle()
        assert bench.get("boot__start") == boots
        if boots:
            assert bench.get("boot__address") == address and bench.get("boot__beats") == BEATS * len(pages[0])
        before, full = len(twin.executed), any(shared.queues[unit].full for unit in QUEUED_UNITS)
        row_before, image = twin._row, twin.image
        twin.step(done)
        executed = twin.executed[before:]
        push = control = 0
        for instruction in executed:
            if instruction.unit == Unit.SEQUENCER:
                control = 1
            else:
                push = 1 << instruction.unit
                place = places[instruction.unit == Unit.STORE]
                expected = entry_bits(encoded[instruction.row], instruction.unit, place)
                assert bench.get(f"entry_{instruction.unit.name.lower()}") == expected, instruction
        leaves = twin._row > row_before and not executed
        unit = FORMATS[Opcode(int(code[row_before, 0]))].unit
        where = f"cycle {bench.cycle}, {[str(i) for i in executed]}"
        assert bench.get("push") == push, where
        assert bench.get("left_out") == left_before, where
        left_before = (leaves and unit != Unit.SEQUENCER) << unit
        assert bench.get("control") == control, where
        assert bench.get("image_over") == twin.image - image, where
        assert bench.get("stopped") == int(twin.stopped), where
        assert bench.get("error") == 0, where
        stalls += full and not executed
        left_out += leaves
        shared.clock.tick()
        await bench.step()
        bench.set(start=0)
        boots = twin.boots
        if boots:
            done, begun = False, bench.cycle
            units.load_page(0)
    assert bench.get("dispatched") == len(twin.executed)
    cycles = bench.cycle
    for _ in range(20):
        await bench.settle()
        assert not any(bench.get(name) for name in ("push", "control", "stopped", "error", "left_out"))
        await bench.step()
    return len(twin.executed), cycles, stalls, left_out, images.count


def random_images(rng: random.Random) -> Images:
    """One image, or a few, in rings that begin anywhere."""
    rings = [Ring(16 * rng.getrandbits(28), 16 * rng.getrandbits(28), rng.randrange(4)) for _ in range(2)]
    return Images(rng.choice((1, 1, 2, 3)), *rings)


def shift_waits(instruction: Row, offset: int) -> None:
    """Adds ``offset`` to every wait's count, modulo 2**16."""
    for wait in range(WAITS):
        if instruction[1 + 2 * wait]:
            instruction[2 + 2 * wait] = (instruction[2 + 2 * wait] + offset) % (1 << COUNT_BITS)
