"""cocotb: index tables and counts against arrays, with all five readers at once."""

from __future__ import annotations

import os
import random
from collections import deque
from dataclasses import replace
from typing import Any

import cocotb

from gatewright.hw.signatures import TABLE_READ, count_bits, table_counts
from tests.hw.instructions import ARCH
from tests.support.rtl import Bench, unpack

CYCLES = 1200


def in_flight() -> dict[str, deque[int | None]]:
    """What each reader will see, from this cycle on; None is not compared."""
    return {reader: deque([None] * latency) for reader, latency in TABLE_READ.items()}


@cocotb.test()
async def keeps_entries_and_counts(dut: Any) -> None:
    rng = random.Random(int(os.environ["SEED"]))
    arch = replace(ARCH, table_entries=int(os.environ["ENTRIES"]))
    bench = Bench(dut)
    await bench.reset()
    # Undefined until written: compared from then on only.
    entries: dict[tuple[int, int], int] = {}
    counts = [0] * arch.tables
    reads = in_flight()
    compared = conflicts = 0
    for cycle in range(CYCLES):
        rows = -(-arch.table_entries // 8)
        index = {
            "enable": rng.choice((0, rng.getrandbits(4))),
            "table": rng.randrange(arch.tables),
            "position": rng.randrange(arch.table_entries - 3),
            "entries": rng.getrandbits(64),
            "set_count": rng.random() < 0.2,
            "count": rng.randint(0, arch.table_entries),
        }
        load = {
            "valid": rng.random() < 0.3,
            "table": rng.randrange(arch.tables),
            "row": rng.randrange(rows),
            "enable": rng.choice((255, rng.getrandbits(8))),
            "entries": rng.getrandbits(128),
            "set_count": rng.random() < 0.2,
            "count": rng.randint(0, arch.table_entries),
        }
        clash = (index["enable"] or index["set_count"]) and (load["valid"] or load["set_count"])
        if clash and rng.random() < 0.9:
            clash = False
            quiet = rng.choice((index, load))
            quiet["enable" if quiet is index else "valid"] = quiet["set_count"] = False
        written = list(entries)
        addresses = [
            rng.choice(written) if written and rng.random() < 0.9 else (load["table"], 8 * load["row"])
            for _ in TABLE_READ
        ]
        for name, values in (("index", index), ("load", load)):
            bench.set(**{f"{name}__{key}": int(value) for key, value in values.items()})
        for reader, (table, position) in zip(TABLE_READ, addresses, strict=True):
            bench.set(**{f"{reader}__table": table, f"{reader}__position": position})
        await bench.settle()
        assert bench.get("conflict") == int(clash), cycle
        found = bench.get("counts")
        assert [unpack(table_counts(arch), found, t) for t in range(arch.tables)] == counts, cycle
        for reader, expected in ((reader, entries_read.popleft()) for reader, entries_read in reads.items()):
            if expected is not None:
                assert bench.get(f"{reader}__entry") == expected, (cycle, reader)
                compared += 1
        if clash:
            # The machine stops; what is written is not defined.
            conflicts += 1
            await bench.reset()
            entries, counts, reads = {}, [0] * arch.tables, in_flight()
            continue
        # A read in the cycle of the write finds the old entry.
        for reader, address in zip(TABLE_READ, addresses, strict=True):
            reads[reader].append(entries.get(address))
        for writer in (index, load):
            if writer["set_count"]:
                counts[writer["table"]] = writer["count"]
        for lane in range(4):
            if index["enable"] >> lane & 1:
                place = index["position"] + (lane - index["position"]) % 4
                entries[index["table"], place] = index["entries"] >> (16 * lane) & 0xFFFF
        if load["valid"]:
            for lane in range(8):
                if load["enable"] >> lane & 1:
                    entries[load["table"], 8 * load["row"] + lane] = load["entries"] >> (16 * lane) & 0xFFFF
        await bench.step()
    print(f"seed {os.environ['SEED']}: {compared} entries, {conflicts} conflicts, counts of {count_bits(arch)} bits")
    assert compared > CYCLES and conflicts
