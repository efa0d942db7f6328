"""cocotb: effective sizes against the stepped simulator's, LATENCY cycles after the inputs stand still."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import cocotb
import numpy as np

from gatewright.contract.isa import COLUMNS, FORMATS, NO_TABLE, OPERAND_COLUMN, Format, Only, Opcode
from gatewright.hw.control.sizes import Sizes
from gatewright.hw.layouts import operand_layout
from gatewright.hw.signatures import table_counts
from gatewright.sim.stepped.edge import Edge
from gatewright.sim.stepped.instruction import (
    Instruction,
    effective_channels,
    effective_tiles,
    effective_work,
    has_filters,
)
from gatewright.sim.stepped.memories.tables import Tables
from tests.hw.array.array_cases import machine
from tests.support.rtl import Bench, pack

CASES = 1500


def random_instruction(rng: Random, form: Format, tables: int) -> Instruction:
    """Random fields, often at the ends of their ranges."""
    code = np.zeros(COLUMNS, np.int64)
    code[0] = form.opcode
    small = rng.random() < 0.5
    for number, field in enumerate(form.fields):
        top = (1 << field.bits) - 1
        value = rng.choice((0, 1, top, rng.randint(0, top), rng.randint(0, min(top, 40))))
        if small:
            value = rng.randint(0, min(top, 12))
        if field.name.endswith("_table"):
            value = rng.choice((NO_TABLE, rng.randrange(tables)))
        if field.name == "only":
            value = rng.randrange(len(Only))
        code[OPERAND_COLUMN + number] = value
    return Instruction(0, code)


def expected_sizes(opcode: Opcode, instruction: Instruction, tables: Tables, rows: int) -> dict[str, int]:
    """What the outputs have to be; a dimension that nothing is left of makes the instruction empty."""
    tiles = effective_tiles(instruction, tables)
    sizes = {"tiles": tiles, "chunk": tiles * instruction["tile"] ** 2}
    if opcode == Opcode.GATHER:
        channels = effective_channels(instruction, tables)
        taps = instruction["kernel_height"] * instruction["kernel_width"]
        reduction = taps * channels
        pixel = instruction["pixel_channels"] or channels
        empty = sizes["chunk"] * reduction == 0 or not has_filters(instruction, tables)
        return sizes | {"channels": channels, "pixel": pixel, "empty": empty}
    work = effective_work(instruction, tables, rows)
    sizes |= {"pixels": work.pixels, "filters": work.filters, "empty": 0 in (work.pixels, work.filters)}
    if opcode == Opcode.EPILOGUE:
        if not instruction["compact"]:
            sizes["stored"] = instruction["channels"]
        elif instruction["filter_table"] != NO_TABLE:
            sizes["stored"] = tables.count(instruction["filter_table"])
        return sizes
    sizes |= {"channels": effective_channels(instruction, tables), "reduction": work.reduction, "slices": work.slices}
    return sizes | {"empty": 0 in (work.pixels, work.filters, work.slices)}


class NoEdge(Edge):
    """Counts are set directly; nothing is written at a clock edge."""

    def later(self, action: Any, *arguments: Any) -> None:
        raise AssertionError("the tables are not written here")


@cocotb.test()
async def agree_with_the_simulator(dut: Any) -> None:
    opcode, seed = Opcode[os.environ["OPCODE"]], int(os.environ["SEED"])
    rng, arch = Random(seed), machine(os.environ["MACHINE"])
    form = FORMATS[opcode]
    head, counts = operand_layout(form.opcode), table_counts(arch)
    tables = Tables(NoEdge(), arch, None)
    bench = Bench(dut)
    await bench.reset()
    seen = {"empty": 0, "busy": 0, "counts alone": 0}
    instruction = random_instruction(rng, form, arch.tables)
    for case in range(CASES):
        # The head stands still while counts go on changing, or both change at once.
        alone = rng.random() < 0.3
        if not alone:
            instruction = random_instruction(rng, form, arch.tables)
        top = arch.table_entries
        tables._counts[:] = [rng.choice((0, 1, top, rng.randint(0, top), rng.randint(0, 20))) for _ in tables._counts]
        bench.set(head=pack(head, instruction.fields), counts=pack(counts, tables._counts))
        await bench.step(Sizes.LATENCY)
        expected = expected_sizes(opcode, instruction, tables, arch.rows)
        for name, value in expected.items():
            got = bench.get(name)
            assert got == value, f"seed {seed}, case {case}: {name} is {got}, not {value}; {instruction.fields}"
        seen["empty"] += expected["empty"]
        seen["busy"] += not expected["empty"]
        seen["counts alone"] += alone
    print(f"{opcode.name} on {arch.name}, seed {seed}: {seen}")
    assert all(seen.values())
