"""A small design with one of each of what the machine is built of: memories, multipliers, an adder, a queue."""

from amaranth import Module, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

ROWS, BANK_WORDS = 22, 2048


class Bank(wiring.Component):
    """A scratchpad bank: one port reads, one reads or writes bytes."""

    address: In(11)
    port: In(11)
    enable: In(8)
    data: In(64)
    read: Out(64)
    port_read: Out(64)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = bank = memory.Memory(shape=data.ArrayLayout(8, 8), depth=BANK_WORDS, init=[])
        write, both, read = bank.write_port(granularity=1), bank.read_port(), bank.read_port()
        m.d.comb += [
            write.addr.eq(self.port),
            write.en.eq(self.enable),
            write.data.eq(self.data),
            both.addr.eq(self.port),
            read.addr.eq(self.address),
            self.read.eq(read.data),
            self.port_read.eq(both.data),
        ]
        return m


class Column(wiring.Component):
    """A column of processing elements, longer than the chip's longest cascade."""

    stream: In(data.ArrayLayout(signed(8), ROWS))
    weights: In(data.ArrayLayout(signed(8), ROWS))
    load: In(1)
    swap: In(1)
    total: Out(signed(32))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        partial: Signal | None = None
        for row in range(ROWS):
            value = Signal(signed(8), reset_less=True)
            shadow, active = Signal(signed(8), reset_less=True), Signal(signed(8), reset_less=True)
            product, total = Signal(signed(16), reset_less=True), Signal(signed(32), reset_less=True)
            m.d.sync += [value.eq(self.stream[row]), product.eq(value * active)]
            m.d.sync += total.eq(product if partial is None else partial + product)
            with m.If(self.load):
                m.d.sync += shadow.eq(self.weights[row])
            with m.If(self.swap):
                m.d.sync += active.eq(shadow)
            partial = total
        m.d.comb += self.total.eq(partial)
        return m


class Sum(wiring.Component):
    """An adder of 20 bits between registers, and a queue of 4 words."""

    a: In(20)
    b: In(20)
    place: In(2)
    total: Out(20)
    word: Out(20)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = memory.Memory(shape=20, depth=4, init=[])
        write, read = queue.write_port(), queue.read_port(domain="comb")
        a, b = Signal(20, reset_less=True), Signal(20, reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b), self.total.eq(a + b)]
        m.d.comb += [write.addr.eq(self.place), write.en.eq(1), write.data.eq(a)]
        m.d.comb += [read.addr.eq(self.place), self.word.eq(read.data)]
        return m


class Prototype(wiring.Component):
    """One of each, side by side."""

    def __init__(self) -> None:
        self._parts = {"bank": Bank(), "column": Column(), "sum": Sum()}
        members = {}
        for name, part in self._parts.items():
            members |= {f"{name}_{port}": member for port, member in part.signature.members.items()}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, part in self._parts.items():
            m.submodules[name] = part
            for port, member in part.signature.members.items():
                outer, inner = getattr(self, f"{name}_{port}"), getattr(part, port)
                m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        return m
