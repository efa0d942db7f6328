"""Instruction queues, and the comparison of waits with the completion counts."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import COUNT_BITS, UNITS, WAITS, Unit
from gatewright.contract.timing import DECODE_LATENCY
from gatewright.hw.control.signatures import completions_signature, head_signature
from gatewright.hw.layouts import COUNTS, WAIT, entry_layout

WAIT_LIST = data.ArrayLayout(WAIT, WAITS)


def of_unit(values: Any, unit: Value) -> Any:
    """Of ``values`` by ``Unit``, that of ``unit``; a unit that there is not gives any of them."""
    return Array(values)[unit[: ceil_log2(UNITS)]]


class WaitComparison(wiring.Component):
    """Whether ``waits`` are ``met`` now, right from LATENCY cycles after they stand still on.

    Stages: the counts of the waits' units; how far they are from the waits; whether that is met. Meanwhile a count may
    have risen by one in each cycle, and rises by the ``retires`` of this one: so it is known how many of the last three
    are needed, and ``met`` is a register that is true in the cycle in which the ``counts`` have come to the waits.
    """

    LATENCY = 3

    def __init__(self) -> None:
        super().__init__(
            {
                "waits": In(WAIT_LIST),
                "counts": In(COUNTS),
                "retires": In(UNITS),
                "met": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        met = []
        for number in range(WAITS):
            wait = self.waits[number]
            count, limit, near = (
                Signal(COUNT_BITS, name=f"{name}_{number}", reset_less=True) for name in ("count", "limit", "near")
            )
            reached, close, low = (
                Signal(width, name=f"{name}_{number}", reset_less=True)
                for name, width in (("reached", 1), ("close", 1), ("low", 2))
            )
            # Completions in this cycle, the one before, and the one before that.
            now, before, earlier = (Signal(name=f"{name}_{number}") for name in ("now", "before", "earlier"))
            m.d.comb += now.eq(of_unit(self.retires, wait.unit))
            m.d.sync += [
                count.eq(of_unit(self.counts, wait.unit)),
                limit.eq(wait.count),
                near.eq(wait.count - 4),
                # Two comparisons and two bits of a difference: nothing is looked at behind the subtraction.
                reached.eq(~(count - limit)[COUNT_BITS - 1] | (wait.unit == Unit.NONE)),
                close.eq(~(count - near)[COUNT_BITS - 1]),
                low.eq(count[:2] - limit[:2]),
                before.eq(now),
                earlier.eq(before),
            ]
            # Close, the count of two cycles ago fell short by 4 - low.
            one, two = before | earlier, before & earlier
            holds = reached | (close & (((low == 3) & one) | ((low == 2) & two)))
            needs = close & ((low == 3) | ((low == 2) & one) | ((low == 1) & two))
            met.append(holds | (needs & now))
        m.d.sync += self.met.eq(Cat(*met).all())
        return m


class HeadQueue(wiring.Component):
    """A queue of ``depth`` entries with its head in a register.

    What is pushed in a cycle is at the head in the next if nothing is in front of it; after a ``take`` the next entry
    is at the head in the next cycle. ``push`` is allowed while not ``full``, ``take`` while ``present``. ``flush``
    empties the queue, whatever is pushed or taken with it. ``moves``: an entry comes to the head in the next cycle.
    """

    def __init__(self, layout: data.Layout, depth: int) -> None:
        self._layout, self._depth = layout, depth
        super().__init__(
            {
                "push": In(1),
                "entry": In(layout),
                "full": Out(1),
                "head": Out(layout),
                "present": Out(1),
                "take": In(1),
                "flush": In(1),
                "moves": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Behind the head register: small memory in LUTs, read without delay.
        places = 1 << max(1, ceil_log2(self._depth - 1))
        m.submodules.behind = behind = memory.Memory(shape=self._layout, depth=places, init=[])
        write, read = behind.write_port(), behind.read_port(domain="comb")
        count = Signal(range(self._depth))
        first, last, others = Signal(range(places)), Signal(range(places)), Signal()
        passes, loads = Signal(), Signal()
        m.d.comb += [
            others.eq(count != 0),
            self.full.eq(self.present & (count == self._depth - 1)),
            # An entry that is pushed into an empty queue, or while the only one leaves, goes to the head at once.
            passes.eq(~others & (self.take | ~self.present)),
            loads.eq(self.take & others),
            self.moves.eq((self.take | ~self.present) & (others | self.push)),
            write.addr.eq(last),
            write.data.eq(self.entry),
            write.en.eq(self.push & ~passes),
            read.addr.eq(first),
        ]
        with m.If(self.take | ~self.present):
            m.d.sync += [
                self.head.eq(Mux(others, read.data, self.entry)),
                self.present.eq(others | self.push),
            ]
        with m.If(loads):
            m.d.sync += first.eq(first + 1)
        with m.If(write.en):
            m.d.sync += last.eq(last + 1)
        with m.If(write.en & ~loads):
            m.d.sync += count.eq(count + 1)
        with m.Elif(loads & ~write.en):
            m.d.sync += count.eq(count - 1)
        with m.If(self.flush):
            m.d.sync += [self.present.eq(0), count.eq(0), first.eq(0), last.eq(0)]
        return m


assert WaitComparison.LATENCY <= DECODE_LATENCY


class InstructionQueue(wiring.Component):
    """The instructions that wait in front of a unit: ``queue_depth`` of them, the head included.

    ``unit.valid`` is 1 from DECODE_LATENCY cycles after an instruction came to the head; ``waits``: the head's.
    """

    def __init__(self, unit: Unit, arch: ArchConfig) -> None:
        self._unit, self._depth = unit, arch.queue_depth
        super().__init__(
            {
                "push": In(1),
                "entry": In(entry_layout(unit)),
                "full": Out(1),
                "completions": Out(completions_signature()),
                "unit": In(head_signature(unit)),
                "waits": Out(WAIT_LIST),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = HeadQueue(entry_layout(self._unit), self._depth)
        m.submodules.comparison = comparison = WaitComparison()
        # One bit for each cycle at the head.
        age = Signal(DECODE_LATENCY)
        m.d.sync += age.eq(Mux(self.unit.take, 0, Cat(queue.present, age[:-1])))
        m.d.comb += [
            queue.push.eq(self.push),
            queue.entry.eq(self.entry),
            queue.take.eq(self.unit.take),
            self.full.eq(queue.full),
            self.waits.eq(queue.head.waits),
            self.unit.head.eq(queue.head.head),
            self.unit.valid.eq(age[-1]),
            comparison.waits.eq(queue.head.waits),
            comparison.counts.eq(self.completions.counts),
            comparison.retires.eq(self.completions.retires),
            self.unit.waits_met.eq(comparison.met),
        ]
        return m
