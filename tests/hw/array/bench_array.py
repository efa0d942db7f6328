"""cocotb: ARRAY against its twin: every start, read, write and completion, cycle by cycle."""

from __future__ import annotations

import os
from collections import deque
from itertools import pairwise
from random import Random
from typing import Any

import cocotb
import numpy as np

from gatewright.contract.arch import OPERAND_BANKS
from gatewright.contract.isa import NO_TABLE, Stationary, Unit
from gatewright.contract.timing import DECODE_LATENCY
from gatewright.hw.layouts import head_layout
from gatewright.hw.signatures import TABLE_READ, patch_address_bits, table_counts, weight_address_bits
from gatewright.sim.stepped.array.unit import ArrayUnit
from gatewright.sim.stepped.instruction import Instruction, Work, effective_work
from gatewright.sim.stepped.state import Shared
from tests.hw.array.array_cases import banks_of, lanes_of, machine, make_regions, random_matmul, set_tables
from tests.support.rtl import Bench, pack

INSTRUCTIONS = int(os.environ.get("INSTRUCTIONS", "120"))


class Twin:
    """The stepped ARRAY with its memories, and what happened in this cycle."""

    def __init__(self, rng: Random, name: str) -> None:
        self.arch = arch = machine(name)
        self.shared = shared = Shared(arch, np.zeros(0, np.uint8), np.random.default_rng(rng.getrandbits(32)))
        self.patches = make_regions(rng, arch.patch_words, [(24, 4), (60, 3), (40, 5)])
        self.weights = make_regions(rng, arch.weight_words, [(48, 5), (20, 3), (76, 4)])
        self.patch_banks = banks_of(shared.patch, self.patches, False, rng)
        self.weight_banks = banks_of(shared.weights, self.weights, True, rng)
        self.unit = ArrayUnit(shared)
        self.events: dict[str, Any] = {}
        for name, memory, action in (
            ("read", shared.accumulators, "read"),
            ("write", shared.accumulators, "write"),
            ("retire", shared.completions, "retire"),
        ):
            self._record(name, memory, action)

    def _record(self, name: str, where: Any, action: str) -> None:
        original = getattr(where, action)

        def recorded(*arguments: Any) -> Any:
            assert name not in self.events
            self.events[name] = arguments
            return original(*arguments)

        setattr(where, action, recorded)

    def update_tables(self, rng: Random) -> None:
        set_tables(rng, self.shared, min(region.vectors for region in self.weights))


class Rewriter:
    """Rewrites all tables once the MATMULs before are complete; the one behind waits until they are final."""

    def __init__(self, rng: Random, twin: Twin) -> None:
        self._rng, self._twin = rng, twin
        self._final: tuple[Any, Any] | None = None
        self._needs, self._left = 0, 0
        self.updates = 0

    def plan(self, given: int) -> None:
        """The contents to come (as ``twin``'s tables for the moment, to choose instructions by)."""
        tables = self._twin.shared.tables
        kept = tables._entries.copy(), list(tables._counts)
        self._twin.update_tables(self._rng)
        self._final = tables._entries.copy(), list(tables._counts)
        self._show(kept)
        self._needs, self._left = given, self._rng.randrange(1, 6) + DECODE_LATENCY
        self.updates += 1

    def _show(self, contents: tuple[Any, Any]) -> None:
        tables = self._twin.shared.tables
        tables._entries[:], tables._counts[:] = contents[0], contents[1]

    def look_ahead(self) -> tuple[Any, Any]:
        """Show what the tables will be; returns what they are, for ``put_back``."""
        tables = self._twin.shared.tables
        kept = tables._entries.copy(), list(tables._counts)
        if self._final is not None:
            self._show(self._final)
        return kept

    put_back = _show

    def step(self) -> None:
        """At the end of a cycle: garbage first, then the final contents, then the count of INDEX."""
        completions = self._twin.shared.completions
        if self._final is None or completions._done[Unit.ARRAY] < self._needs:
            return
        self._left -= 1
        if self._left > DECODE_LATENCY:
            self._twin.update_tables(self._rng)
        elif self._left == DECODE_LATENCY:
            self._show(self._final)
        elif self._left == 0:
            completions._done[Unit.INDEX] += 1
            self._final = None


@cocotb.test()
async def is_its_twin(dut: Any) -> None:
    seed = int(os.environ["SEED"])
    rng = Random(seed)
    twin = Twin(rng, os.environ["MACHINE"])
    arch, shared = twin.arch, twin.shared
    twin.update_tables(rng)
    rewriter = Rewriter(rng, twin)
    queue, completions = shared.queues[Unit.ARRAY], shared.completions
    bench = Bench(dut)
    bench.set(queue__valid=0, queue__waits_met=0)
    await bench.reset()
    head = head_layout(Unit.ARRAY)
    patch_bits, weight_bits = patch_address_bits(arch), weight_address_bits(arch)
    patch_words: deque[int] = deque([0, 0])
    weight_words: deque[int] = deque([0, 0])
    entries: deque[int] = deque([0, 0])
    table_entries: deque[int] = deque([0] * TABLE_READ["array"])
    given, loads_done = 0, 0
    pace = 1.0
    seen: dict[str, int] = {}
    oldest: list[Instruction] = []
    works: list[Work] = []

    def count(name: str, condition: Any = True) -> None:
        seen[name] = seen.get(name, 0) + bool(condition)

    def words(banks: list[list[int]], addresses: int, bits: int) -> int:
        value = 0
        for bank in range(OPERAND_BANKS):
            address = addresses >> (bank * bits) & ((1 << bits) - 1)
            value |= (banks[bank][address] if address < len(banks[bank]) else 0) << (bank * 8 * arch.rows)
        return value

    def used_lanes(matmul: Instruction, entry: int) -> int:
        """Mask of the lanes that are compared: those of stationary vectors, not what unused columns hold."""
        standing, streaming = works[matmul.row].vectors(matmul["stationary"])
        block = (entry - matmul["accumulator"]) // streaming
        return (1 << 32 * min(arch.columns, standing - block * arch.columns)) - 1

    while completions._done[Unit.ARRAY] < INSTRUCTIONS:
        cycle = shared.clock.cycle
        assert cycle < 400 * INSTRUCTIONS, "the twin does not end"
        if given < INSTRUCTIONS and not queue.full and rng.random() < pace:
            if rng.random() < 0.1:
                pace = rng.choice((1.0, 1.0, 0.2, 0.02))
            waits = [(Unit.INDEX, rewriter.updates)]
            if rng.random() < 0.15 and rewriter._final is None:
                rewriter.plan(given)
                waits = [(Unit.INDEX, rewriter.updates)]
            if rng.random() < 0.2:
                waits.append((Unit.LOAD, loads_done + rng.randrange(3)))
            kept = rewriter.look_ahead()
            matmul = random_matmul(rng, shared, twin.patches, twin.weights, waits, given)
            work = effective_work(matmul, shared.tables, arch.rows)
            works.append(work)
            rewriter.put_back(kept)
            empty = 0 in (work.pixels, work.filters, work.slices)
            count("empty", empty)
            count("zero", not empty and work.reduction == 0)
            if not empty:
                stands = matmul["stationary"] == Stationary.FILTERS
                listed = matmul["filter_table"] != NO_TABLE
                count(f"{'filters' if stands else 'pixels'} stand, {'listed' if listed else 'in order'}")
                count("blocks", work.vectors(matmul["stationary"])[0] > arch.columns)
                count("slices", work.slices > 1)
            queue.push(matmul)
            given += 1
        if rng.random() < 0.1:
            completions._done[Unit.LOAD] += 1
            loads_done += 1
        # The cycle's inputs.
        first = queue._items[0] if queue._items else None
        visible = queue.head is not None
        met = first is not None and completions.met(first)
        bench.set(
            queue__head=pack(head, {"operands": first.fields}) if first else rng.getrandbits(head.size),
            queue__valid=int(visible),
            queue__waits_met=int(met),
            counts=pack(table_counts(arch), list(shared.tables._counts)),
            filters__entry=table_entries.popleft(),
            patch__words=patch_words.popleft(),
            weights__words=weight_words.popleft(),
            read__lanes=entries.popleft(),
        )
        await bench.settle()
        # The twin's cycle, and what both did in it.
        twin.events.clear()
        done = completions._done[Unit.ARRAY]
        twin.unit.step()
        where = f"seed {seed}, cycle {cycle}, {first}"
        taken = first is not None and first.start == cycle
        assert bench.get("queue__take") == taken, where
        assert bench.get("progress__start") == taken and bench.get("progress__run") == taken, where
        assert bench.get("progress__retire") == ("retire" in twin.events), where
        read = twin.events.get("read")
        assert bench.get("read__valid") == (read is not None), where
        if read:
            assert (bench.get("read__bank"), bench.get("read__entry")) == read[:2], where
            entries.append(lanes_of(shared.accumulators._entries[read[0], read[1]]))
        else:
            entries.append(rng.getrandbits(32 * arch.columns))
        write = twin.events.get("write")
        assert bench.get("write__valid") == (write is not None), where
        if write:
            assert (bench.get("write__bank"), bench.get("write__entry")) == write[:2], where
            matmul, entry = write[3], write[1]
            lanes, expected, used = bench.get("write__lanes"), lanes_of(write[2]), used_lanes(matmul, entry)
            assert lanes & used == expected & used, f"{where}: {matmul} {matmul.fields}, entry {entry}"
        count("writes", write)
        count("reads", read)
        count("several wait for completion", len(twin.unit._order) > 2)
        # The memories' side.
        patch_words.append(words(twin.patch_banks, bench.get("patch__addresses"), patch_bits))
        weight_words.append(words(twin.weight_banks, bench.get("weights__addresses"), weight_bits))
        table = min(bench.get("filters__table"), arch.tables - 1)
        position = bench.get("filters__position") % arch.table_entries
        table_entries.append(int(shared.tables._entries[table, position]))
        if taken and first is not None:
            oldest.append(first)
        assert completions._done[Unit.ARRAY] == done
        shared.clock.tick()
        rewriter.step()
        await bench.step()
    starts = [matmul.start for matmul in oldest]
    count("back to back", any(b - a == DECODE_LATENCY + 1 for a, b in pairwise(starts)))
    print(f"machine {arch.name}, seed {seed}: {shared.clock.cycle} cycles, {rewriter.updates} table updates, {seen}")
    assert len(oldest) == INSTRUCTIONS and rewriter.updates > 0
    assert all(seen.values()) and len(seen) >= 11, seen
