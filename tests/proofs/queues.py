"""Queues: order, contents, and when they say that they are full or have a head."""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth import Mux, Signal
from amaranth.lib import data

from gatewright.hw.control.queue import HeadQueue
from tests.mutants.mutant import Mutant
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside
from tests.proofs.proof import Proof

_FILE = "hw/control/queue.py"
_BITS = 8
"""Of an entry. The queue looks at no bit of it, so all bits fare alike."""


def head_queue(depth: int) -> Harness:
    """One entry, any one, is followed from its push to its take."""
    h = Harness()
    m = h.m
    queue = HeadQueue(data.StructLayout({"value": _BITS}), depth)
    inside = Inside(queue)
    m.submodules.queue = inside.fragment
    h.free(queue.push, queue.take, queue.flush, queue.entry)
    h.assume(~queue.push | ~queue.full)
    h.assume(~queue.take | queue.present)

    # What a queue is: how many entries there are; the followed one, and how many are in front of it.
    held, stay = Signal(range(depth + 1)), Signal(range(depth + 1))
    follows, value, ahead = Signal(), Signal(_BITS), Signal(range(depth + 1))
    begin = h.any(1, "begin")
    m.d.comb += stay.eq(held - queue.take)
    m.d.sync += held.eq(Mux(queue.flush, 0, stay + queue.push))
    with m.If(queue.flush | (follows & queue.take & (ahead == 0))):
        m.d.sync += follows.eq(0)
    with m.Elif(follows):
        m.d.sync += ahead.eq(ahead - queue.take)
    with m.Elif(queue.push & begin):
        m.d.sync += [follows.eq(1), value.eq(queue.entry.value), ahead.eq(stay)]

    h.check("present", queue.present == (held != 0))
    h.check("full", queue.full == (held == depth))
    h.check("moves", queue.moves == ((queue.take | ~queue.present) & ((stay != 0) | queue.push)))
    h.check("order", ~follows | (ahead < held))
    h.check("head", ~(follows & (ahead == 0)) | (queue.head.value == value))
    h.cover("full", queue.full & follows & (ahead == depth - 1))
    h.cover("flushed", h.before(queue.flush & follows, "flushed") & queue.push)
    there, entry = held_invariants(h, inside, queue, ahead, "queue")
    h.invariant("held", there == held)
    h.invariant("memory", ~(follows & (ahead != 0)) | (entry.value == value))
    return h


def held_invariants(h: Harness, inside: Inside, queue: HeadQueue, number: Any, name: str) -> tuple[Signal, Any]:
    """How many entries ``queue`` holds, told from its registers, and entry ``number`` of them behind the head.

    States how its registers agree: induction needs it wherever a queue is part of a component.
    """
    count, first, last = (inside.of(queue, name) for name in ("count", "first", "last"))
    port = inside.port(queue, "behind")
    held = Signal(len(count) + 1)
    bits = len(first)
    h.m.d.comb += [held.eq(queue.present + count), port.addr.eq(first + number - 1)]
    h.invariant(f"pointers_{name}", (last - first)[:bits] == count[:bits])
    h.invariant(f"count_{name}", queue.present | (count == 0))
    return held, port.data


_FAULTS = (
    Mutant(
        "queue-passes-beside-others",
        _FILE,
        "passes.eq(~others & (self.take | ~self.present))",
        "passes.eq(self.take | ~self.present)",
        "an entry pushed while the head leaves is lost",
    ),
    Mutant(
        "queue-full-late",
        _FILE,
        "self.full.eq(self.present & (count == self._depth - 1))",
        "self.full.eq(self.present & (count == self._depth - 1) & ~self.take)",
        "full falls a cycle before there is room",
    ),
    Mutant(
        "queue-flush-keeps-places",
        _FILE,
        "[self.present.eq(0), count.eq(0), first.eq(0), last.eq(0)]",
        "[self.present.eq(0), count.eq(0), first.eq(0)]",
        "behind a jump the queue gives what was there before",
    ),
)

QUEUES = tuple(
    Proof(
        f"head-queue-{depth}",
        f"A queue of {depth} gives its entries in order and unchanged; full, present and moves are right.",
        partial(head_queue, depth),
        2,
        _FAULTS,
        search=depth + 8,
    )
    for depth in (2, 3, 8, 16)
)
