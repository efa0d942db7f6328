"""Fetch: the instructions behind a jump, in order, each with what was found out about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from amaranth import Cat, Const, Mux, Signal

from gatewright.contract.isa import HEADER_BITS, OPCODE_BITS, Opcode
from gatewright.hw.control import fetch as module
from gatewright.hw.control.fetch import ADDRESS_BITS, ENTRY_BITS, FOUND, FROM_FETCHED, Fetch
from gatewright.hw.control.instruction_memory import InstructionMemory
from gatewright.hw.control.legality import operands_of
from gatewright.hw.control.predecode import Predecoder
from gatewright.hw.layouts import INSTRUCTION_BITS
from tests.hw.instructions import ARCH
from tests.mutants.mutant import Mutant
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside
from tests.proofs.proof import Proof
from tests.proofs.queues import held_invariants
from tests.proofs.unknown import unknown_parts

_PIPELINE = InstructionMemory.READ + Predecoder.LATENCY


_ADDRESS = slice(HEADER_BITS, HEADER_BITS + ADDRESS_BITS)


class Places(NamedTuple):
    """What is added to the addresses of the images' rings."""

    inputs: Any
    outputs: Any


@dataclass(frozen=True)
class _Followed:
    """One instruction behind the last jump, any one: ``to_issue`` before it is asked for, ``ahead`` in front of it.

    ``issued``, ``arrived``: it was asked for, is in the queue. ``instruction``, ``found``: what came for it.
    """

    on: Signal
    issued: Signal
    arrived: Signal
    entry: Signal
    to_issue: Signal
    ahead: Signal
    tags: Signal
    instruction: Signal
    found: Any


def fetch() -> Harness:
    """Memory, predecoder and checks give anything; jumps come in any cycle."""
    h = Harness()
    m = h.m
    with unknown_parts(module, "InstructionMemory", "Predecoder", "Legality"):
        dut = Fetch(ARCH)
        inside = Inside(dut)
    m.submodules.fetch = inside.fragment
    h.free(dut.write, dut.given, dut.jump, dut.target, dut.take)
    # Between two jumps the image's places stand still.
    places = Places(h.constant(ADDRESS_BITS, "input_place"), h.constant(ADDRESS_BITS, "output_place"))
    m.d.comb += [dut.input_place.eq(places.inputs), dut.output_place.eq(places.outputs)]
    h.assume(~dut.take | dut.present)

    # The entry of the instruction at the head, and cycles since the last jump, which begins all anew.
    entry, jumped, age = Signal(ENTRY_BITS), Signal(), Signal(range(FROM_FETCHED + 2))
    with m.If(dut.jump):
        m.d.sync += [entry.eq(dut.target), jumped.eq(1), age.eq(1)]
    with m.Else():
        m.d.sync += [entry.eq(entry + dut.take), age.eq(Mux(age == FROM_FETCHED + 1, age, age + jumped))]

    arrives, issue, reserved = (inside.of(dut, name) for name in ("elaborate.arrives", "issue", "reserved"))
    queue, memory = inside.of(dut, "queue"), inside.of(dut, "instructions")
    expected = _in_ring(memory.instruction, places)
    f = _follow(h, dut, len(arrives), issue, reserved, expected, inside.of(dut, "found"))
    asks = Signal()
    m.d.comb += asks.eq(f.on & ~f.issued & issue & (f.to_issue == 0))
    h.check("asked", ~asks | (memory.entry == f.entry[: len(memory.entry)]))
    beyond = inside.of(dut, "legality").beyond
    h.check("beyond", ~f.tags[InstructionMemory.READ - 1] | (beyond == (f.entry >= ARCH.instruction_entries)))
    head = dut.head
    right = (head.instruction == f.instruction) & (head.place == f.found.place) & (head.error == f.found.error)
    h.check("head", ~(f.on & dut.present & (entry == f.entry)) | (f.arrived & right))
    h.cover("second", f.on & f.arrived & dut.take & (f.entry == entry) & (f.entry != 0) & (age == FROM_FETCHED + 1))
    h.cover("many_on_their_way", reserved == 12)
    h.check("before_a_jump", jumped | ~dut.present)
    h.check("in_time", (age != FROM_FETCHED) | dut.present)
    h.check("room", ~queue.push | ~queue.full)
    _invariants(h, inside, dut, entry, f)
    held = inside.of(dut, "queue").present
    for cycle in range(2, FROM_FETCHED):
        first = arrives[cycle - 2] & ~arrives[cycle - 1 :].any() & ~held
        h.invariant(f"first_{cycle}", (age != cycle) | first)
    h.invariant("first_1", (age != 1) | (inside.of(dut, "running") & (reserved == 0)))
    h.invariant("age", ((age != 0) == jumped) & (age <= FROM_FETCHED + 1))
    h.invariant("nothing", jumped | (~inside.of(dut, "running") & (reserved == 0)))
    return h


def _in_ring(instruction: Any, places: Places) -> Any:
    """An instruction as it has to leave fetch: the place of its ring added to the address of a LOAD or STORE in one."""
    place = Const(0, ADDRESS_BITS)
    for opcode, of_image in ((Opcode.LOAD, places.inputs), (Opcode.STORE, places.outputs)):
        mine = (instruction[:OPCODE_BITS] == opcode) & operands_of(opcode, instruction).ring
        place = Mux(mine, of_image, place)
    address = (instruction[_ADDRESS] + place)[:ADDRESS_BITS]
    return Cat(instruction[: _ADDRESS.start], address, instruction[_ADDRESS.stop :])


def _follow(
    h: Harness, dut: Fetch, stages: int, issue: Any, reserved: Signal, instruction: Any, found: Any
) -> _Followed:
    m = h.m
    bits = {"entry": ENTRY_BITS, "to_issue": ENTRY_BITS, "ahead": len(reserved), "tags": stages}
    shapes: dict[str, Any] = {**bits, "instruction": INSTRUCTION_BITS, "found": FOUND}
    f = _Followed(**{name: Signal(shapes.get(name, 1), name=f"f_{name}") for name in _Followed.__dataclass_fields__})
    chosen, asks = h.any(ENTRY_BITS - 1, "chosen"), Signal()
    m.d.comb += asks.eq(f.on & ~f.issued & issue & (f.to_issue == 0))
    with m.If(dut.jump):
        m.d.sync += [f.on.eq(1), f.issued.eq(0), f.arrived.eq(0), f.tags.eq(0)]
        m.d.sync += [f.to_issue.eq(chosen), f.entry.eq(dut.target + chosen)]
    with m.Else():
        m.d.sync += f.tags.eq(Cat(asks, f.tags[:-1]))
        with m.If(asks):
            m.d.sync += [f.issued.eq(1), f.ahead.eq(reserved - dut.take)]
        with m.Elif(f.issued):
            m.d.sync += f.ahead.eq(f.ahead - dut.take)
        with m.If(issue & ~asks & ~f.issued):
            m.d.sync += f.to_issue.eq(f.to_issue - 1)
        with m.If(f.tags[-1]):
            m.d.sync += f.arrived.eq(1)
        with m.If(f.tags[InstructionMemory.READ - 1]):
            m.d.sync += f.instruction.eq(instruction)
        with m.If(f.tags[_PIPELINE - 1]):
            m.d.sync += f.found.eq(found)
        with m.If(f.issued & dut.take & (f.ahead == 0)):
            m.d.sync += f.on.eq(0)
    return f


def _invariants(h: Harness, inside: Inside, dut: Fetch, entry: Signal, f: _Followed) -> None:
    names = ("elaborate.arrives", "reserved", "queue", "last", "first")
    arrives, reserved, queue, last, first = (inside.of(dut, name) for name in names)
    next_entry, running = inside.of(dut, "entry"), inside.of(dut, "running")
    held, place = held_invariants(h, inside, queue, f.ahead, "found")
    h.invariant("reserved", (reserved == held + sum(arrives, start=Const(0, 1))) & (reserved <= 1 << len(first)))
    h.invariant("next", next_entry == entry + reserved)
    h.invariant("most", next_entry <= 1 << (ENTRY_BITS - 1))
    h.invariant("runs", ~running | (next_entry < 1 << (ENTRY_BITS - 1)))
    written = arrives[InstructionMemory.READ :]
    waiting = (last - first)[: len(first)]
    h.invariant("words", waiting == (held - queue.present + sum(written, start=Const(0, 1)))[: len(first)])

    on, issued = f.on, f.on & f.issued
    stale = ~f.on
    h.invariant("f_issued", ~issued | ((f.ahead < reserved) & (f.entry == (entry + f.ahead)[:ENTRY_BITS])))
    h.invariant("f_waits", ~(on & ~f.issued) | ((f.tags == 0) & ~f.arrived))
    h.invariant("f_entry", ~(on & ~f.issued) | (f.entry == (next_entry + f.to_issue)[:ENTRY_BITS]))
    h.invariant("f_no_wrap", ~(on & ~f.issued) | (next_entry + f.to_issue < (1 << ENTRY_BITS)))
    h.invariant("f_tags", (f.tags == 0) | (issued & ~f.arrived))
    h.invariant("f_somewhere", ~issued | f.arrived | (f.tags != 0))
    port, addresses = inside.port(dut, "words"), inside.port(dut, "addresses")
    slot = (first + f.ahead - queue.present)[: len(first)]
    h.m.d.comb += [port.addr.eq(slot), addresses.addr.eq(slot)]
    words = Cat(f.instruction[: _ADDRESS.start], f.instruction[_ADDRESS.stop :])
    made = inside.all_of(dut)
    h.invariant("last_1", ~arrives[InstructionMemory.READ] | (made["last_1"] == (last - 1)[: len(last)]))
    two = (last - 1 - arrives[InstructionMemory.READ])[: len(last)]
    h.invariant("last_2", ~arrives[InstructionMemory.READ + 1] | (made["last_2"] == two))
    # The address is two cycles behind: its parts, their sum, and then the memory.
    summed = (made["dram_address_1"] + made["place_in_ring"])[:ADDRESS_BITS]
    late = {InstructionMemory.READ: summed, InstructionMemory.READ + 1: made["address_in_ring"]}
    for stage in range(len(arrives)):
        older = sum(arrives[stage + 1 :], start=Const(0, 1))
        there = arrives[stage] & (f.tags == 1 << stage) & (f.ahead == held + older)
        if stage >= InstructionMemory.READ:
            there &= (port.data == words) & (late.get(stage, addresses.data) == f.instruction[_ADDRESS])
        h.invariant(f"f_stage_{stage}", stale | ~f.tags[stage] | there)
    at_head = f.ahead == 0
    kept = Cat(port.data[: _ADDRESS.start], addresses.data, port.data[_ADDRESS.start :])
    instruction = Mux(at_head, dut.head.instruction, kept)
    found = Mux(at_head, queue.head.as_value(), place.as_value())
    right = (f.ahead < held) & (instruction == f.instruction) & (found == f.found.as_value())
    h.invariant("f_queued", ~(issued & f.arrived) | right)


_FILE = "hw/control/fetch.py"

FETCH = Proof(
    "fetch",
    "The instructions from a jump's target on are at the head in order, each with its own place and error, the first "
    "after the cycles that the rules of the machine say, and nothing that was fetched before the jump.",
    fetch,
    2,
    (
        Mutant(
            "fetch-jump-keeps-the-pipeline",
            _FILE,
            "[entry.eq(self.target), running.eq(1), reserved.eq(0), arrives.eq(0)]",
            "[entry.eq(self.target), running.eq(1), reserved.eq(0)]",
            "behind a jump come instructions of before",
        ),
        Mutant(
            "fetch-words-kept-over-a-jump",
            _FILE,
            "m.d.sync += [last.eq(0), first.eq(0)]",
            "m.d.sync += first.eq(0)",
            "behind a jump instructions get the words of others",
        ),
        Mutant(
            "fetch-beyond-of-the-one-behind",
            _FILE,
            'delayed(m, beyond, InstructionMemory.READ, "beyond")',
            'delayed(m, beyond, InstructionMemory.READ - 1, "beyond")',
            "the last instruction of the memory is refused",
        ),
        Mutant(
            "fetch-address-of-the-one-behind",
            _FILE,
            "write_address.en.eq(arrives[InstructionMemory.READ - 1 + RING_LATENCY])",
            "write_address.en.eq(arrives[InstructionMemory.READ + RING_LATENCY])",
            "LOADs have the addresses of others",
        ),
    ),
    search=18,
    quick=False,
)
