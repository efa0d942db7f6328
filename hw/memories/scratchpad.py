"""The scratchpad: four word-interleaved banks with two ports; any 49 consecutive bytes in a cycle on each.

Port A serves GATHER alone. Port B serves one request of its users in a cycle; more than one is the program's mistake
(``conflict``), and what is then read or written is undefined.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import Layout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import BEAT_BYTES, PORT_BYTES, SCRATCHPAD_BANKS, ArchConfig
from gatewright.contract.registers import ErrorCode
from gatewright.hw.lib.delay import delayed
from gatewright.hw.lib.rotation import rotate_down, rotate_up
from gatewright.hw.signatures import SCRATCHPAD_ADDRESS_BITS, SCRATCHPAD_READ, SCRATCHPAD_WRITE

RING_BYTES = SCRATCHPAD_BANKS * BEAT_BYTES
"""Bytes of one word of every bank."""

RING_BITS, WORD_BITS = ceil_log2(RING_BYTES), ceil_log2(BEAT_BYTES)

assert (SCRATCHPAD_READ, SCRATCHPAD_WRITE) == (4, 1)

PORT_A = "gather"
RESIDUAL = "epilogue_read"
"""The read of port B whose address stands there while nobody asks: whether it is read is known too late."""


def _width(asked: wiring.Signature) -> int:
    """The bytes of a request."""
    return Layout.cast(asked.members["data"].shape).size // 8


def writes(asked: wiring.Signature) -> bool:
    """Whether it is the signature of a write."""
    return "count" in asked.members


class Scratchpad(wiring.Component):
    """Four banks of 16-byte words; byte address = word * 16 + byte, word w in bank w mod 4.

    A request sets registers: the banks' addresses, and for a write its bytes, turned to their places. The banks work
    in the next cycle. A read goes on through the banks' output registers and a rotation into the aligned register.
    Addresses wrap at the next power of two from the scratchpad's size.

    ``asked`` are its ports: the signature of a ``scratchpad_read`` or ``scratchpad_write`` for each user, by name. Two
    have to be there: ``gather``, the user of port A, and ``epilogue_read``.
    """

    CONFLICT = ErrorCode.SCRATCHPAD_PORT

    def __init__(self, arch: ArchConfig, asked: Mapping[str, wiring.Signature]) -> None:
        self._depth = arch.scratchpad_bytes // RING_BYTES
        widest_first = sorted(asked, key=lambda name: -_width(asked[name]))
        self._widths = {name: _width(asked[name]) for name in widest_first}
        self._writers = [name for name in widest_first if writes(asked[name])]
        self._readers = [name for name in widest_first if name not in (PORT_A, *self._writers)]
        self._askers = [name for name in widest_first if name not in (PORT_A, RESIDUAL)]
        super().__init__({**{name: In(asked[name]) for name in widest_first}, "conflict": Out(1)})

    def _port(self, name: str) -> Any:
        return getattr(self, name)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = 8 * BEAT_BYTES
        address_b = self._request(m)
        rows_a = self._bank_addresses(m, self.gather.address, "a")
        rows_b = self._bank_addresses(m, address_b, "b")
        enables, words = self._turned_write(m)
        reading_a = Signal(reset_less=True)
        m.d.sync += reading_a.eq(self.gather.valid)
        read_a: list[Value] = []
        read_b: list[Value] = []
        for number in range(SCRATCHPAD_BANKS):
            bank = Memory(shape=bits, depth=self._depth, init=[])
            m.submodules[f"bank_{number}"] = bank
            port_a, port_b, write_b = bank.read_port(), bank.read_port(), bank.write_port(granularity=8)
            m.d.comb += [
                port_a.addr.eq(rows_a[number]),
                port_a.en.eq(reading_a),
                # One address for reading and writing, and no read enable, make the two one port of the block memory.
                port_b.addr.eq(rows_b[number]),
                write_b.addr.eq(rows_b[number]),
                write_b.data.eq(words[number]),
                write_b.en.eq(enables[number]),
            ]
            for port, read, side in ((port_a, read_a, "a"), (port_b, read_b, "b")):
                output = Signal(bits, name=f"output_{side}_{number}", reset_less=True)
                m.d.sync += output.eq(port.data)
                read.append(output)
        aligned_a = self._aligned(m, read_a, self.gather.address, PORT_BYTES, "a")
        aligned_b = self._aligned(m, read_b, address_b, max(self._widths[name] for name in self._readers), "b")
        m.d.comb += self.gather.data.eq(aligned_a)
        m.d.comb += [self._port(name).data.eq(aligned_b[: 8 * self._widths[name]]) for name in self._readers]
        return m

    def _request(self, m: Module) -> Signal:
        """Port B's address; looks for more than one request."""
        askers, residual = [self._port(name) for name in self._askers], self._port(RESIDUAL)
        address = Signal(SCRATCHPAD_ADDRESS_BITS)
        # An OR of gated addresses, not a chain of choices: only one of them asks. When none does, the address is that
        # of the residual: whether it is read is known too late to be waited for, and a read that nobody wants is none.
        gated = [user.address & user.valid.replicate(SCRATCHPAD_ADDRESS_BITS) for user in askers]
        requests = [user.valid for user in (*askers, residual)]
        pairs = [requests[i] & requests[j] for i in range(len(requests)) for j in range(i)]
        m.d.comb += [
            address.eq(Mux(Cat(requests[:-1]).any(), reduce(or_, gated), residual.address)),
            self.conflict.eq(Cat(pairs).any()),
        ]
        return address

    def _bank_addresses(self, m: Module, address: Value, side: str) -> list[Signal]:
        """Registers: each bank's word address for the ring of bytes that begins at a byte address."""
        first_bank = address[WORD_BITS:RING_BITS]
        row = address[RING_BITS : RING_BITS + ceil_log2(self._depth)]
        rows = []
        for number in range(SCRATCHPAD_BANKS):
            register = Signal(ceil_log2(self._depth), name=f"row_{side}_{number}", reset_less=True)
            m.d.sync += register.eq(row + (number < first_bank))
            rows.append(register)
        return rows

    def _turned_write(self, m: Module) -> tuple[list[Signal], list[Signal]]:
        """Registers: each bank's byte enables and word of port B's write."""
        writers = [self._port(name) for name in self._writers]
        count = reduce(or_, (w.count & w.valid.replicate(len(w.count)) for w in writers))
        # The writers' own address: readers come later in their cycle.
        amount = reduce(or_, (w.address[:RING_BITS] & w.valid.replicate(RING_BITS) for w in writers))
        # A byte of the ring is written if it lies before the end, and not before the begin; or either, across 64 bytes.
        end = Signal(RING_BITS + 1)
        # Kept, so that behind the sum there are a table for a byte's end, and one more.
        behind_begin, before_end = (
            Signal(RING_BYTES, name=name, attrs={"keep": 1}) for name in ("behind_begin", "before_end")
        )
        m.d.comb += [
            end.eq(amount + count),
            behind_begin.eq(Cat(amount <= place for place in range(RING_BYTES))),
            before_end.eq(Cat(end[:RING_BITS] > place for place in range(RING_BYTES))),
        ]
        enabled = Mux(end[RING_BITS], behind_begin | before_end, behind_begin & before_end)
        turned = rotate_up(m, Cat(*self._written(), Const(0, 8 * (RING_BYTES - PORT_BYTES))), 8, amount, "turn")
        enables, words = [], []
        for number in range(SCRATCHPAD_BANKS):
            enable = Signal(BEAT_BYTES, name=f"enable_{number}")
            word = Signal(8 * BEAT_BYTES, name=f"word_{number}", reset_less=True)
            m.d.sync += [
                enable.eq(enabled.word_select(number, BEAT_BYTES)),
                word.eq(turned.word_select(number, 8 * BEAT_BYTES)),
            ]
            enables.append(enable)
            words.append(word)
        return enables, words

    def _written(self) -> list[Value]:
        """The bytes of port B's write from lane 0 on, cut where a writer's lanes end."""
        parts, low = [], 0
        for high in sorted({self._widths[name] for name in self._writers}):
            wide = [self._port(name) for name in self._writers if self._widths[name] >= high]
            bytes_ = [writer.data.as_value()[8 * low : 8 * high] for writer in wide]
            if len(wide) > 1:
                gates = [writer.valid.replicate(8 * (high - low)) for writer in wide]
                bytes_ = [part & gate for part, gate in zip(bytes_, gates, strict=True)]
            # The bytes that only one user writes need no gate: the count is 0 for the others.
            parts.append(reduce(or_, bytes_))
            low = high
        return parts

    def _aligned(self, m: Module, outputs: list[Value], address: Value, count: int, side: str) -> Signal:
        """The first ``count`` bytes from a read's byte address on, SCRATCHPAD_READ cycles after its request."""
        amount = delayed(m, address[:RING_BITS], SCRATCHPAD_READ - 1, f"amount_{side}", early=True)
        register = Signal(8 * count, name=f"aligned_{side}", reset_less=True)
        m.d.sync += register.eq(rotate_down(m, Cat(outputs), 8, amount, f"align_{side}")[: 8 * count])
        return register
