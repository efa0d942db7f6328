"""Fetch: instructions ahead of their dispatch, through memory, checks and predecoder."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import FORMATS, HEADER_BITS, OPCODE_BITS, OPERAND_COLUMN, Opcode, column
from gatewright.contract.registers import ErrorCode
from gatewright.contract.timing import FETCH_LATENCY
from gatewright.hw.control.instruction_memory import InstructionMemory
from gatewright.hw.control.legality import ERROR_BITS, Legality, operands_of, splits_a_tile
from gatewright.hw.control.predecode import Predecoder
from gatewright.hw.control.queue import HeadQueue
from gatewright.hw.layouts import COUNTS, INSTRUCTION_BITS, PLACE, operand_layout
from gatewright.hw.lib.delay import delayed
from gatewright.hw.signatures import instruction_write

FETCHED = data.StructLayout({"instruction": INSTRUCTION_BITS, "place": PLACE, "error": ERROR_BITS})
"""An instruction, and what was found out about it."""

TARGET_BITS = sum(field.bits for field in FORMATS[Opcode.NEXT].fields)
ENTRY_BITS = TARGET_BITS + 1
"""One more than the entry of NEXT has: fetching may run past the largest."""

FROM_FETCHED = FETCH_LATENCY - 1
"""Cycles from a jump to the first instruction at ``head``: a register follows it at dispatch."""

FOUND = data.StructLayout({"place": PLACE, "error": ERROR_BITS})
"""What is found out about an instruction while it waits."""

ADDRESS_BITS = operand_layout(Opcode.LOAD)["dram_address"].width
RING_LATENCY = 2
"""Cycles from an instruction to its address in the images' rings: the place to be added, and the sum."""
assert column(Opcode.LOAD, "dram_address") == column(Opcode.STORE, "dram_address") == OPERAND_COLUMN, "both are first"

_PIPELINE = InstructionMemory.READ + Predecoder.LATENCY
_SPARE = FROM_FETCHED - (1 + _PIPELINE + 1)
"""Cycles of FETCH_LATENCY that the address, the pipeline and the queue behind it do not need."""
assert RING_LATENCY <= Predecoder.LATENCY, "the address is there before its instruction goes to the head"
assert _SPARE >= 0, f"fetch takes {FETCH_LATENCY - _SPARE} cycles"


class Fetch(wiring.Component):
    """The instructions from entry ``target`` of a ``jump`` on, in order, at ``head`` while ``present``.

    The pipeline never stalls: an instruction is fetched only if the queue behind it has a place for it. It goes to its
    place at once, and there waits for what the pipeline finds out about it. ``jump`` drops everything that is on its
    way. What was fetched past a NEXT is dropped so; nothing here looks at opcodes but for the addresses of the images'
    rings, to which the image's place is added.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "write": In(instruction_write(arch)),
                "given": In(COUNTS),
                "jump": In(1),
                "target": In(TARGET_BITS),
                "input_place": In(32),
                "output_place": In(32),
                "head": Out(FETCHED),
                "present": Out(1),
                "take": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Enough places to cover the way from the address to dispatch at one instruction a cycle.
        places = 1 << ceil_log2(FETCH_LATENCY)
        m.submodules.memory = instructions = InstructionMemory(self._arch)
        m.submodules.predecoder = predecoder = Predecoder()
        m.submodules.legality = legality = Legality(self._arch)
        m.submodules.queue = queue = HeadQueue(FOUND, places)
        m.submodules.words = words = memory.Memory(shape=INSTRUCTION_BITS - ADDRESS_BITS, depth=places, init=[])
        m.submodules.addresses = addresses = memory.Memory(shape=ADDRESS_BITS, depth=places, init=[])
        wiring.connect(m, wiring.flipped(self.write), instructions.write)

        entry, running, beyond, issue = Signal(ENTRY_BITS), Signal(), Signal(), Signal()
        # Instructions on their way or in the queue: one counter with a bit that means full.
        reserved = Signal(range(places + 1))
        m.d.comb += [
            issue.eq(running & ~reserved[-1]),
            beyond.eq(entry >= self._arch.instruction_entries),
            instructions.entry.eq(entry),
        ]
        with m.If(issue & ~queue.take):
            m.d.sync += reserved.eq(reserved + 1)
        with m.Elif(queue.take & ~issue):
            m.d.sync += reserved.eq(reserved - 1)
        with m.If(issue):
            m.d.sync += [entry.eq(entry + 1), running.eq(~beyond)]

        arrives = Signal(_PIPELINE + _SPARE)
        m.d.sync += arrives.eq(Cat(issue, arrives[:-1]))
        instruction = instructions.instruction
        m.d.comb += [
            predecoder.instruction.eq(instruction),
            legality.instruction.eq(instruction),
            legality.valid.eq(arrives[InstructionMemory.READ - 1]),
            legality.beyond.eq(delayed(m, beyond, InstructionMemory.READ, "beyond")),
            legality.flush.eq(self.jump),
            legality.given.eq(self.given),
        ]
        self._hold(m, words, addresses, arrives, queue.moves, instruction)
        found = Signal(FOUND)
        along = delayed(m, instruction, Predecoder.LATENCY, "instruction", early=True)
        split = (legality.error == ErrorCode.NONE) & splits_a_tile(along, predecoder.place)
        m.d.comb += [
            found.place.eq(predecoder.place),
            found.error.eq(Mux(split, ErrorCode.ILLEGAL_OPERANDS, legality.error)),
            queue.push.eq(arrives[-1]),
            queue.entry.eq(delayed(m, found, _SPARE, "found")),
            queue.take.eq(self.take),
            queue.flush.eq(self.jump),
            self.head.place.eq(queue.head.place),
            self.head.error.eq(queue.head.error),
            self.present.eq(queue.present),
        ]
        with m.If(self.jump):
            m.d.sync += [entry.eq(self.target), running.eq(1), reserved.eq(0), arrives.eq(0)]
        return m

    def _hold(
        self,
        m: Module,
        words: memory.Memory,
        addresses: memory.Memory,
        arrives: Value,
        moves: Value,
        instruction: Value,
    ) -> None:
        """Puts instructions into their places, one behind the other, and takes out the one that goes to the head.

        The address of LOAD and STORE follows RING_LATENCY cycles behind the rest.
        """
        last, first = (Signal(range(words.depth), name=name) for name in ("last", "first"))
        write, read = words.write_port(), words.read_port(domain="comb")
        write_address, read_address = addresses.write_port(), addresses.read_port(domain="comb")
        head = Signal(INSTRUCTION_BITS, name="head_instruction", reset_less=True)
        there = arrives[InstructionMemory.READ - 1]
        m.d.comb += [
            write.addr.eq(last),
            write.data.eq(Cat(instruction[:HEADER_BITS], instruction[HEADER_BITS + ADDRESS_BITS :])),
            write.en.eq(there),
            write_address.addr.eq(delayed(m, last, RING_LATENCY, "last")),
            write_address.data.eq(self._address(m, instruction)),
            write_address.en.eq(arrives[InstructionMemory.READ - 1 + RING_LATENCY]),
            read.addr.eq(first),
            read_address.addr.eq(first),
            self.head.instruction.eq(head),
        ]
        with m.If(there):
            m.d.sync += last.eq(last + 1)
        with m.If(moves):
            m.d.sync += [
                head.eq(Cat(read.data[:HEADER_BITS], read_address.data, read.data[HEADER_BITS:])),
                first.eq(first + 1),
            ]
        with m.If(self.jump):
            m.d.sync += [last.eq(0), first.eq(0)]

    def _address(self, m: Module, instruction: Value) -> Value:
        """The first operand of LOAD and STORE, RING_LATENCY cycles later, and of the others as it is."""
        opcode, place = instruction[:OPCODE_BITS], Signal(ADDRESS_BITS, name="place_in_ring", reset_less=True)
        load, store = operands_of(Opcode.LOAD, instruction), operands_of(Opcode.STORE, instruction)
        loads, stores = (opcode == Opcode.LOAD) & load.ring, (opcode == Opcode.STORE) & store.ring
        m.d.sync += place.eq(Mux(loads, self.input_place, Mux(stores, self.output_place, 0)))
        address = Signal(ADDRESS_BITS, name="address_in_ring", reset_less=True)
        m.d.sync += address.eq(delayed(m, load.dram_address, 1, "dram_address") + place)
        return address
