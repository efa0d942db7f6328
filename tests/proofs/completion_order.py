"""ARRAY's completions: in order, each once and in its cycle, and room for all that are under way."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from amaranth import Cat, Mux, Signal

from gatewright.contract.timing import DECODE_LATENCY, EMPTY_LATENCY
from gatewright.hw.array import completion_order as order_module
from gatewright.hw.array import unit as module
from gatewright.hw.array.unit import ArrayUnit
from tests.hw.instructions import ARCH
from tests.mutants.mutant import Mutant
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside
from tests.proofs.proof import Proof
from tests.proofs.unknown import unknown_parts

_CYCLES = 32
"""From the reset on."""

_PLACES = 3
"""Fewer than a machine has: they are all taken within the cycles that the proof looks at."""

_UNDER_WAY = range(4 * _PLACES)


def completion_order() -> Harness:
    """ARRAY's loader, streamer and pipeline as they are, with MATMULs of any sizes; no data."""
    h = Harness(resets=False)
    m = h.m
    with (
        unknown_parts(module, "ArrayPrepare", "OperandWalk", "OperandTurn", "Grid"),
        patch.object(order_module, "array_order_depth", lambda rows, columns: _PLACES),
    ):
        unit = ArrayUnit(ARCH)
        inside = Inside(unit)
    m.submodules.array = inside.fragment
    queue, prepare = unit.queue, inside.of(unit, "prepare")
    h.free(queue.head, queue.valid, queue.waits_met)
    matmul = prepare.matmul
    # A head's sizes stand still from the cycle before it is valid on, which is DECODE_LATENCY cycles behind a take.
    rests = Signal(range(DECODE_LATENCY + 1))
    m.d.sync += rests.eq(Mux(queue.take, DECODE_LATENCY, Mux(rests == 0, 0, rests - 1)))
    h.assume((rests == 0) | ~queue.valid)
    h.assume(~queue.valid | h.steady(Cat(matmul, prepare.empty), "sizes"))
    h.assume(~queue.valid | prepare.empty | ((matmul.first_block != 0) & (matmul.first_block <= ARCH.columns)))
    # What lasts longer than the proof looks is all one.
    for size, least in ((matmul.length, 1), (matmul.slices, 1), (matmul.rest, 0)):
        h.assume(~queue.valid | prepare.empty | ((size >= least) & (size <= _CYCLES)))
    order = inside.of(unit, "order")
    _follow(h, queue.take, prepare.empty, order.done, order.retire)
    h.cover("no_place", ~order.room)
    h.check("room", ~inside.of(order, "pushes") | (inside.of(order, "place") != _PLACES))
    return h


def _follow(h: Harness, take: Any, empty: Any, done: Any, retire: Any) -> None:
    """Any one MATMUL, from its take on: ``ahead`` and ``works_ahead`` have not retired, and not come to their ends."""
    m = h.m
    under_way, works = Signal(_UNDER_WAY), Signal(_UNDER_WAY)
    on, work, ahead, works_ahead = Signal(), Signal(), Signal(_UNDER_WAY), Signal(_UNDER_WAY)
    age, finished = Signal(range(EMPTY_LATENCY)), Signal()
    begins, ends = Signal(), Signal()
    m.d.comb += [
        begins.eq(take & ~on & h.any(1, "begin")),
        ends.eq(on & retire & (ahead == 0)),
    ]
    m.d.sync += [
        under_way.eq(under_way + take - retire),
        works.eq(works + (take & ~empty) - done),
        finished.eq(on & work & done & (works_ahead == 0)),
        on.eq(begins | (on & ~ends)),
    ]
    with m.If(begins):
        m.d.sync += [work.eq(~empty), ahead.eq(under_way - retire), works_ahead.eq(works - done), age.eq(1)]
    with m.Else():
        m.d.sync += [
            ahead.eq(ahead - retire),
            works_ahead.eq(works_ahead - (done & (works_ahead != 0))),
            age.eq(Mux(age == EMPTY_LATENCY - 1, age, age + 1)),
        ]
    h.check("of_some", (~retire | (under_way != 0)) & (~done | (works != 0)))
    h.check("with_work", ~(on & work) | (ends == finished))
    h.check("without_work", ~on | work | (ends == ((ahead == 0) & (age == EMPTY_LATENCY - 1))))
    h.cover("between_two_with_work", ends & ~work & h.before(retire, "was") & (works != 0))
    h.cover("waits_for_others", on & ~work & (ahead == 2) & (works != under_way))


_ORDER, _UNIT = "hw/array/completion_order.py", "hw/array/unit.py"

COMPLETION_ORDER = Proof(
    "completion-order",
    "ARRAY's MATMULs retire in order, each once: with work in the cycle behind their end, without as soon as those "
    "before them have; there is room for all that are under way.",
    completion_order,
    _CYCLES,
    (
        Mutant(
            "order-lost-behind-an-empty-one",
            _ORDER,
            "place.eq(count - pops)",
            "place.eq(count)",
            "the order of completions is lost: cycles differ, or the machine hangs",
        ),
        Mutant(
            "order-room-a-place-too-many",
            _ORDER,
            "self.room.eq(count != self._depth)",
            "self.room.eq(count <= self._depth)",
            "while one MATMUL streams, more without work are taken than there are places for",
        ),
        Mutant(
            "order-room-not-asked-for",
            _UNIT,
            "order.room\n                & ~loader.loading",
            "~loader.loading",
            "while one MATMUL streams, more without work are taken than there are places for",
        ),
    ),
    search=_CYCLES,
    bounded=True,
    quick=False,
)
