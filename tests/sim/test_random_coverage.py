"""The random programs reach machines of every kind, and on them every memory from its first place to its last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from gatewright.contract.isa import FORMATS, NO_TABLE, Opcode, column
from gatewright.contract.program import Program
from gatewright.sim.audit.accesses import accesses
from gatewright.sim.fast.run import Run
from gatewright.sim.fast.touched import Places, nothing_touched, places
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.generate.random_machines import random_machine
from gatewright.verify.kit.generate.random_programs import random_network

SEEDS = range(70)
MACHINES = range(400)


def uses(program: Program) -> tuple[Places, np.ndarray]:
    """The numbers of all places, and for each how the program uses it (READ | WRITE | EARLY_READ)."""
    run = Run(program, program.with_sample(None))
    at = places(run.geometry, run.state)
    touched = nothing_touched(at)
    total, finished = np.zeros(at.total, np.uint8), False
    while not finished:
        fetched_from = run.pc
        finished = run.advance(run.count + 2)
        row, work = run.executed[run.count], run.work[run.count]
        accesses(run.geometry, run.state, at, row, work, fetched_from, touched)
        total |= touched.use
    return at, total


def tables(program: Program) -> set[int]:
    """The numbers of the tables that the program's instructions name."""
    named = {
        int(value)
        for opcode in FORMATS
        for field in FORMATS[opcode].fields
        if field.name in ("table", "tile_table", "filter_table", "channel_table", "row_table", "count_table")
        for value in program.code[program.code[:, 0] == opcode, column(opcode, field.name)]
    }
    return named - {NO_TABLE}


def programs() -> Iterator[Program]:
    """Of both generators, each on a machine of its own."""
    for seed in SEEDS:
        yield (random_corners if seed % 2 else random_network)(seed)[1]


def test_machines_have_every_number_of_tables_and_memories_of_every_size() -> None:
    machines = [random_machine(seed) for seed in MACHINES]
    counts = Counter(machine.tables for machine in machines)
    print(sorted(counts.items()))
    assert sorted(counts) == list(range(2, 32)) and min(counts.values()) > 2
    ends = {
        "scratchpad_kib": (4, 256),
        "patch_kib": (1, 64),
        "weight_kib": (1, 256),
        "accumulator_depth": (16, 1024),
        "parameter_entries": (128, 4096),
        "table_entries": (16, 4096),
        "instruction_entries": (64, 8192),
        "queue_depth": (2, 64),
    }
    for name, (low, high) in ends.items():
        sizes = [getattr(machine, name) for machine in machines]
        assert sizes.count(low) > 20 and sizes.count(high) > 20 and len(set(sizes)) > 20, name
        assert any(size % 2 for size in sizes), name
    assert {machine.rows for machine in machines} == set(range(4, 17))
    assert {machine.columns for machine in machines} == set(range(4, 33))
    assert len({(machine.dram.beats, machine.dram.per_cycles) for machine in machines}) > 200


def test_programs_use_every_memory_to_its_ends() -> None:
    seen: Counter[str] = Counter()
    numbers: Counter[int] = Counter()
    for program in programs():
        at, use = uses(program)
        bounds = [*at]
        for memory, first, end in zip(Places._fields[:-1], bounds[:-1], bounds[1:], strict=True):
            seen[f"first {memory}"] += bool(use[first])
            seen[f"last {memory}"] += bool(use[end - 1])
        seen["last table"] += program.arch.tables - 1 in tables(program)
        epilogues = program.code[program.code[:, 0] == Opcode.EPILOGUE]
        parameters = epilogues[:, column(Opcode.EPILOGUE, "parameters")]
        worked = epilogues[:, column(Opcode.EPILOGUE, "pixel_count")] > 0
        pooled = epilogues[:, column(Opcode.EPILOGUE, "pool")] > 0
        seen["filter 0 in parameter entry 0"] += bool(np.any(worked & ~pooled & (parameters == 0)))
        seen["pooling in parameter entry 0"] += bool(np.any(pooled & (parameters == 1)))
        seen["pooling in an odd parameter entry"] += bool(np.any(pooled & (parameters % 2 == 0)))
        numbers.update(tables(program))
    print(sorted(seen.items()), sorted(numbers.items()))
    assert set(numbers) == set(range(31))
    for memory in ("scratchpad", "patch", "weight", "accumulator", "parameter"):
        assert seen[f"first {memory}"] > 5 and seen[f"last {memory}"] > 5, memory
    assert seen["last table"] > 20 and seen["last instruction"] > 2
    assert seen["filter 0 in parameter entry 0"] > 5
    assert seen["pooling in parameter entry 0"] > 3 and seen["pooling in an odd parameter entry"] > 5
