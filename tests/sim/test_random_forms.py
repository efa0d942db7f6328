"""The random programs hold every form of windows, digits, pieces of a reduction and rings, and its limits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gatewright.contract.isa import FORMATS, NO_TABLE, OPERAND_COLUMN, EpilogueKind, Opcode
from gatewright.contract.program import Program
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.generate.random_programs import random_network

SEEDS = range(160)


def fields(row: Any) -> dict[str, int]:
    """The operands of a decoded instruction, by name."""
    names = (field.name for field in FORMATS[Opcode(int(row[0]))].fields)
    return {name: int(row[OPERAND_COLUMN + i]) for i, name in enumerate(names)}


def forms_of_windows(one: dict[str, int], columns: int) -> Counter[str]:
    """What an EPILOGUE of kinds MAX, AVERAGE and DIGITS has of the limits."""
    kind, window, step, inset = EpilogueKind(one["kind"]).name, one["window"], one["step"], one["inset"]
    first = one["first_tile"] + one["first_pixel"]
    last = first + min(one["tile_count"] - one["first_pixel"], one["pixel_count"]) - 1
    last_top = last // one["out_width"] * step - inset
    return Counter(
        {
            kind: 1,
            f"{kind} of one pixel": window == 1,
            f"{kind} with an inset of all but one pixel": 0 < inset == window - 1,
            f"{kind} with the last row partly outside": last_top < one["source_height"] < last_top + window,
            f"{kind} with the last row outside": last_top >= one["source_height"],
            f"{kind} with a block of one channel": one["filter_count"] % columns == 1,
            f"{kind} of some channels": one["filter_count"] < one["channels"],
            f"{kind} of pixels below the map": last >= one["out_height"] * one["out_width"],
            f"{kind} of a ring": one["wrap_row"] > 0,
        }
    )


def forms(program: Program) -> Counter[str]:
    """The forms that a program's instructions have."""
    seen: Counter[str] = Counter()
    for row in program.code:
        opcode = Opcode(int(row[0]))
        one = fields(row)
        if opcode == Opcode.LOAD and one["rows"]:
            seen["LOAD from a later row"] += one["first_row"] > 0 and one["row_table"] == NO_TABLE
            seen["LOAD from a later place of a list"] += one["first_row"] > 0 and one["row_table"] != NO_TABLE
        if opcode == Opcode.GATHER and one["tile_count"]:
            run = one["kernel_width"] * one["channels"]
            wide = one["kernel_width"] > 1
            seen["GATHER of the first channels"] += wide and one["pixel_channels"] > one["channels"]
            seen["GATHER of the first channels, one column"] += one["pixel_channels"] > one["channels"] and not wide
            seen["GATHER dilated"] += wide and one["kernel_height"] > 1 and one["dilation"] > 1
            seen["GATHER dilated, padded"] += one["dilation"] > 1 and one["padding_x"] > 0
            begin = one["first_slice"] * program.arch.rows
            seen["GATHER from a later slice"] += one["first_slice"] > 0
            seen["GATHER from inside a kernel row"] += begin % max(1, run) > 0 and begin < one["kernel_height"] * run
            ends = begin + one["slice_count"] * program.arch.rows
            seen["GATHER of the first slices only"] += begin == 0 and ends < one["kernel_height"] * run
            seen["GATHER for filters of a list"] += one["filter_table"] != NO_TABLE
            seen["GATHER for later filters of a list"] += one["filter_table"] != NO_TABLE and one["first_filter"] > 0
            seen["GATHER of a ring"] += one["wrap_row"] > 0
            seen["GATHER of a ring, wider tiles"] += one["wrap_row"] > 0 and one["tile"] > 1
        elif opcode == Opcode.MATMUL:
            seen["MATMUL in order"] += one["in_order"]
            seen["MATMUL in order, from a later filter"] += one["in_order"] and one["first_filter"] > 0
        elif opcode == Opcode.INDEX:
            seen["INDEX from a later bit"] += 0 < one["first_bit"] < one["bits"]
        elif opcode == Opcode.EPILOGUE and one["pixel_count"] and one["filter_count"]:
            if one["kind"] > EpilogueKind.THRESHOLD:
                seen += forms_of_windows(one, program.arch.columns)
            seen[f"digits of {EpilogueKind(one['kind']).name}"] += one["digits"]
            if one["kind"] == EpilogueKind.STORE and one["wrap_row"]:
                seen["STORE into a ring"] += 1
                seen["STORE into a ring, transposed"] += one["stationary"]
                seen["STORE into a ring, residual"] += one["residual"]
                seen["STORE into a ring inside a tile"] += one["wrap_row"] % one["tile"] != 0
    return seen


@pytest.mark.parametrize("generate", [random_network, random_corners])
def test_every_form_occurs_in_several_programs(generate: Any) -> None:
    programs: Counter[str] = Counter()
    for seed in SEEDS:
        programs.update({name for name, count in forms(generate(seed)[1]).items() if count})
    for name, count in sorted(programs.items()):
        print(f"{count} of {len(SEEDS)}: {name}")
    names = ["GATHER from a later slice", "GATHER from inside a kernel row", "GATHER of the first slices only"]
    names += ["GATHER of a ring", "GATHER of a ring, wider tiles", "digits of REDUCE_RAW"]
    names += ["STORE into a ring", "STORE into a ring, transposed", "STORE into a ring, residual"]
    names += ["STORE into a ring inside a tile", "MATMUL in order", "MATMUL in order, from a later filter"]
    names += ["GATHER for filters of a list", "GATHER for later filters of a list"]
    for kind in ("MAX", "AVERAGE", "DIGITS"):
        names += [kind, f"{kind} of one pixel", f"{kind} with an inset of all but one pixel"]
        names += [f"{kind} with the last row partly outside", f"{kind} with the last row outside"]
        names += [f"{kind} with a block of one channel", f"{kind} of some channels"]
        names += [f"{kind} of pixels below the map"]
    if generate is random_network:
        names += ["GATHER of the first channels", "GATHER of the first channels, one column"]
        names += ["GATHER dilated", "GATHER dilated, padded"]
    if generate is random_corners:
        names += ["INDEX from a later bit", "LOAD from a later row", "LOAD from a later place of a list"]
    missing = [name for name in names if programs[name] < 2]
    assert not missing
    assert sum(programs[f"{kind} of a ring"] for kind in ("MAX", "AVERAGE", "DIGITS")) >= 2
