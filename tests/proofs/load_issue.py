"""LOAD's bursts: those of its rows, in order, each within 4 KiB."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Mux, Signal

from gatewright.contract.axi import BURST_BEATS
from gatewright.hw.load.issue import OFFSET_BITS, ROWS_AHEAD, WORD_ADDRESS, BurstIssue
from gatewright.hw.load.prepare import POSITION_BITS, ROW_BITS, row_beats_bits
from tests.hw.instructions import ARCH
from tests.mutants.mutant import Mutant
from tests.proofs.bus import check_stable
from tests.proofs.harness import Harness
from tests.proofs.inside import Inside
from tests.proofs.proof import Proof
from tests.proofs.queues import held_invariants

_STAGES = 4
"""From a row's request to the push of its address."""


def load_issue() -> Harness:
    """Loads one after the other, taken at will; one row of each, any one, is followed from its request on."""
    h = Harness()
    m = h.m
    issue = BurstIssue(ARCH)
    inside = Inside(issue)
    m.submodules.issue = inside.fragment
    order = issue.order
    h.free(issue.start, issue.boot, order, issue.take, issue.rows.entry)
    h.assume(~issue.start | (~issue.busy & h.steady(order, "order")))
    h.assume(~issue.take | issue.valid)

    # What is left of the load: rows, beats of the row at work, and where that goes on once it has begun.
    rows, beats = Signal(ROW_BITS + 1), Signal(row_beats_bits(ARCH) + 1)
    beats_of_row, word = Signal.like(beats), Signal(WORD_ADDRESS)
    begun, none_yet = Signal(), Signal()
    room, length, ends = Signal(OFFSET_BITS + 1), Signal.like(beats), Signal()
    m.d.comb += [
        room.eq(BURST_BEATS - issue.address[:OFFSET_BITS]),
        length.eq(Mux(beats < room, beats, room)),
        ends.eq(beats <= room),
    ]
    with m.If(issue.start):
        m.d.sync += [rows.eq(order.transfer.rows_left + 1), none_yet.eq(1), begun.eq(0)]
        m.d.sync += [target.eq(order.transfer.beats_left + 1) for target in (beats, beats_of_row)]
    with m.Elif(issue.take):
        m.d.sync += [
            rows.eq(rows - ends),
            beats.eq(Mux(ends, beats_of_row, beats - length)),
            word.eq(issue.address + length),
            begun.eq(~ends),
            none_yet.eq(0),
        ]
    valid = issue.valid
    check_stable(h, "burst", valid, issue.take, Cat(issue.address, issue.length, issue.first, issue.last))
    h.check("length", ~valid | (issue.length + 1 == length))
    h.check("within", ~valid | (issue.address[:OFFSET_BITS] + issue.length < BURST_BEATS))
    h.check("goes_on", ~(valid & begun) | (issue.address == word))
    h.check("last", ~valid | (issue.last == (ends & (rows == 1))))
    h.check("first", ~valid | (issue.first == none_yet))
    h.check("rows", ~valid | (rows != 0))
    h.check("busy", issue.busy == (rows != 0))
    h.cover("second_burst", valid & begun & issue.take)
    h.cover("last_row", valid & issue.last & (rows == 1) & issue.take & h.before(issue.take & (rows == 2), "taken"))
    requests = _requests(h, inside, issue, rows)
    _follow(h, inside, issue, rows, begun, requests)
    # How the registers hold that.
    rest, page = inside.of(issue, "rest"), inside.of(issue, "page")
    held = inside.of(issue, "held")
    transfer = held.transfer
    left = inside.of(issue, "_split_rows.rows_left")
    busy = rows != 0
    h.invariant("inside", inside.of(issue, "inside") == begun)
    h.invariant("begun", ~begun | (busy & issue.valid))
    h.invariant("rest", ~begun | (rest == (beats - 1)[: len(rest)]))
    h.invariant("whole", ~busy | begun | (beats == beats_of_row))
    h.invariant("page", ~begun | (word == Cat(Const(0, OFFSET_BITS), page)))
    h.invariant("beats", ~busy | ((beats != 0) & (beats_of_row == transfer.beats_left + 1) & (beats <= beats_of_row)))
    h.invariant("rows_left", ~busy | (left == (rows - 1)[: len(left)]))
    h.invariant("rows_most", rows <= 1 << ROW_BITS)
    h.invariant("none_yet", ~busy | (issue.first == none_yet))
    return h


def _requests(h: Harness, inside: Inside, issue: BurstIssue, rows: Signal) -> dict[str, Any]:
    """Rows that are still to be asked for, and those under way."""
    queue = inside.of(issue, "queue")
    more, under_way = inside.of(issue, "more"), inside.of(issue, "under_way")
    left, moving = inside.of(issue, "_request_rows.rows_left"), inside.of(issue, "moving")
    request = inside.of(issue, "request")
    to_ask = Signal(ROW_BITS + 1)
    with h.m.If(issue.start):
        h.m.d.sync += to_ask.eq(issue.order.transfer.rows_left)
    with h.m.Elif(request):
        h.m.d.sync += to_ask.eq(to_ask - 1)
    number = Signal(range(ROWS_AHEAD + 1))
    held, entry = held_invariants(h, inside, queue, number, "rows")
    h.check("room", ~queue.push | ~queue.full)
    h.check("asked", ~request | issue.start | (to_ask != 0))
    h.invariant("more", more == (to_ask != 0))
    h.invariant("asks_left", ~more | (left == to_ask))
    flying = sum(moving, start=Const(0, 1))
    h.invariant("under_way", (under_way == flying + held) & (under_way <= ROWS_AHEAD))
    h.invariant("rows_asked", rows == to_ask + under_way)
    return {"to_ask": to_ask, "request": request, "held": held, "moving": moving, "number": number, "entry": entry}


def _follow(h: Harness, inside: Inside, issue: BurstIssue, rows: Signal, begun: Signal, r: dict[str, Any]) -> None:
    """The followed row: ``behind`` rows behind it, ``to_ask`` before it is asked for, ``ahead`` in front of it."""
    m, queue, request = h.m, inside.of(issue, "queue"), r["request"]
    chosen = h.any(ROW_BITS, "chosen")
    on, asked, arrived, tags = Signal(), Signal(), Signal(), Signal(_STAGES)
    behind, to_ask, address = Signal(ROW_BITS), Signal(ROW_BITS + 1), Signal(WORD_ADDRESS)
    number, place = Signal(POSITION_BITS), inside.of(issue, "position")
    asks, gone = Signal(), Signal()
    m.d.comb += [
        asks.eq(Mux(issue.start, chosen == 0, on & ~asked & request & (to_ask == 0))),
        gone.eq(on & queue.take & (rows == behind + 1)),
        # In the queue, this many are in front of it.
        r["number"].eq(rows - behind - 1),
    ]
    m.d.sync += tags.eq(Cat(asks, tags[:-1]))
    with m.If(issue.start):
        m.d.sync += [
            on.eq(chosen <= issue.order.transfer.rows_left),
            behind.eq(issue.order.transfer.rows_left - chosen),
            asked.eq(chosen == 0),
            arrived.eq(0),
            to_ask.eq(chosen - 1),
            number.eq(issue.order.first_row + chosen),
        ]
    with m.Else():
        with m.If(asks):
            m.d.sync += asked.eq(1)
        with m.Elif(request):
            m.d.sync += to_ask.eq(to_ask - 1)
        with m.If(tags[-1]):
            m.d.sync += [arrived.eq(1), address.eq(queue.entry.address)]
        with m.If(gone):
            m.d.sync += on.eq(0)
    waits, queued = on & ~asked, on & arrived
    mine = on & (rows == behind + 1)
    h.check("position", ~(asks & ~issue.start) | (issue.rows.position == number[: len(issue.rows.position)]))
    h.check("address", ~(mine & issue.valid & ~begun) | (arrived & (issue.address == address)))
    h.invariant("f_rows", ~on | (rows > behind))
    h.invariant("f_waits", ~waits | ((r["to_ask"] == to_ask + behind + 1) & (tags == 0) & ~arrived))
    h.invariant("f_number", ~waits | (place == (number - to_ask)[: len(place)]))
    h.invariant("f_tags", (tags == 0) | (on & asked & ~arrived))
    h.invariant("f_somewhere", ~on | ~asked | arrived | (tags != 0))
    h.invariant("f_asked", ~(on & asked) | (r["to_ask"] <= behind))
    for stage in range(_STAGES):
        older = sum(r["moving"][stage + 1 :], start=Const(0, 1))
        there = r["moving"][stage] & (tags == 1 << stage) & (rows - behind - 1 == r["held"] + older)
        h.invariant(f"f_stage_{stage}", ~tags[stage] | there)
    entry = Mux(rows == behind + 1, queue.head.address, r["entry"].address)
    h.invariant("f_queued", ~queued | (asked & (rows - behind - 1 < r["held"]) & (entry == address)))


_FILE = "hw/load/issue.py"

LOAD_ISSUE = Proof(
    "load-issue",
    "LOAD's bursts are those of its rows: in order, each row from its address on, cut at 4 KiB, with first and last.",
    load_issue,
    2,
    (
        Mutant(
            "load-burst-over-a-boundary",
            _FILE,
            "self.length.eq(Mux(row_ends, beats_left, room))",
            "self.length.eq(Mux(row_ends, beats_left, Mux(inside, room, room | 1)))",
            "a row's first burst runs over a 4 KiB boundary",
        ),
        Mutant(
            "load-last-of-each-row",
            _FILE,
            "self.last.eq(row_ends & (rows_left == 0))",
            "self.last.eq(row_ends & (rows_left <= 1))",
            "a load ends before its last row",
        ),
        Mutant(
            "load-row-ends-at-a-boundary",
            _FILE,
            "held.transfer.beats_left <= ~queue.head.address[:OFFSET_BITS]",
            "held.transfer.beats_left < ~queue.head.address[:OFFSET_BITS]",
            "a row that ends at a boundary gets a burst that is no burst of it",
        ),
        Mutant(
            "load-position-held",
            _FILE,
            "position.eq(position + 1)",
            "position.eq(position | 1)",
            "all rows behind the second are that one",
        ),
    ),
    quick=False,
)
