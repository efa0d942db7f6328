"""Encoding of instructions, against an encoder that works on Python integers."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.contract.errors import GatewrightError
from gatewright.contract.instruction_words import decode, encode
from gatewright.contract.isa import COLUMNS, FORMATS, Opcode, Unit, column
from gatewright.listing.isa_page import isa_page

OPERANDS = 7  # opcode and three pairs of wait unit and count
DOCS = Path(__file__).parents[2] / "docs"


def random_row(opcode: Opcode, rng: random.Random) -> list[int]:
    """A legal row with the fields' extremes drawn as often as anything else."""
    row = [int(opcode)]
    for _ in range(3):
        row += [rng.randrange(7), rng.choice([0, 1, 2**16 - 1, rng.randrange(2**16)])]
    for field in FORMATS[opcode].fields:
        row.append(rng.choice([0, 1, 2**field.bits - 1, rng.randrange(2**field.bits)]))
    return row + [0] * (COLUMNS - len(row))


def packed(row: list[int]) -> int:
    """The instruction as one number: opcode 5, three times (unit 4, count 16), then the fields, low bits first."""
    widths = [5, 4, 16, 4, 16, 4, 16] + [field.bits for field in FORMATS[Opcode(row[0])].fields]
    number, low = 0, 0
    for value, width in zip(row, widths, strict=False):
        number |= value << low
        low += width
    return number


@pytest.mark.parametrize("opcode", list(Opcode))
@given(seed=st.integers(0, 2**32 - 1))
def test_encoding_is_the_documented_one_and_comes_back(opcode: Opcode, seed: int) -> None:
    rng = random.Random(seed)
    rows = [random_row(opcode, rng) for _ in range(8)]
    data = encode(np.array(rows, np.int64))
    assert data == b"".join(packed(row).to_bytes(48, "little") for row in rows)
    assert decode(data).tolist() == rows


def test_programs_that_mix_opcodes_keep_their_order() -> None:
    rng = random.Random(7)
    rows = [random_row(rng.choice(list(Opcode)), rng) for _ in range(200)]
    assert decode(encode(np.array(rows, np.int64))).tolist() == rows


def test_no_instructions_are_no_bytes() -> None:
    assert encode(np.zeros((0, COLUMNS), np.int64)) == b""
    assert decode(b"").shape == (0, COLUMNS)


@pytest.mark.parametrize(("opcode", "name"), [(o, f.name) for o in Opcode for f in FORMATS[o].fields])
def test_a_value_one_beyond_its_field_is_refused_by_name(opcode: Opcode, name: str) -> None:
    where = column(opcode, name)
    bits = {f.name: f.bits for f in FORMATS[opcode].fields}[name]
    for value in (2**bits, -1):
        code = np.zeros((3, COLUMNS), np.int64)
        code[:, 0] = opcode
        code[2, where] = value
        with pytest.raises(GatewrightError, match=rf"instruction 2 \({opcode.name}\): {name} = {value} does not fit"):
            encode(code)


@pytest.mark.parametrize("value", [0, *range(len(Opcode) + 1, 32)])
def test_every_illegal_opcode_is_refused(value: int) -> None:
    legal = packed([int(Opcode.END)] + [0] * (COLUMNS - 1)).to_bytes(48, "little")
    with pytest.raises(GatewrightError, match=f"instruction 1: illegal opcode {value}"):
        decode(legal + value.to_bytes(48, "little"))
    code = np.zeros((1, COLUMNS), np.int64)
    code[0, 0] = value
    with pytest.raises(GatewrightError, match=f"illegal opcode {value}"):
        encode(code)


@pytest.mark.parametrize("opcode", list(Opcode))
def test_every_stray_bit_is_refused(opcode: Opcode) -> None:
    used = 5 + 3 * 20 + sum(field.bits for field in FORMATS[opcode].fields)
    for bit in range(used, 384):
        data = (int(opcode) | 1 << bit).to_bytes(48, "little")
        with pytest.raises(GatewrightError, match=rf"instruction 0 \({opcode.name}\): unused bits"):
            decode(data)


@pytest.mark.parametrize("wait", range(3))
@pytest.mark.parametrize("unit", [int(Unit.SEQUENCER), *range(8, 16)])
def test_waiting_for_what_is_no_unit_with_a_queue_is_refused(wait: int, unit: int) -> None:
    data = (int(Opcode.MATMUL) | unit << 5 + 20 * wait).to_bytes(48, "little")
    with pytest.raises(GatewrightError, match="waits on no unit"):
        decode(data)


@pytest.mark.parametrize("length", [1, 47, 49])
def test_a_fraction_of_an_instruction_is_refused(length: int) -> None:
    with pytest.raises(GatewrightError, match=f"{length} bytes is not a whole number"):
        decode(bytes(length))


def test_a_field_that_is_not_there_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError, match="END has no field rows"):
        column(Opcode.END, "rows")


def test_the_page_in_the_repository_is_the_generated_one() -> None:
    assert (DOCS / "isa.md").read_text() == isa_page()


def test_the_page_tells_every_field_with_its_bits() -> None:
    page = isa_page()
    for opcode, layout in FORMATS.items():
        section = page.split(f"\n## {opcode.name}\n")[1].split("\n## ")[0]
        low = 65
        for field in layout.fields:
            bits = str(low) if field.bits == 1 else f"{low + field.bits - 1}:{low}"
            assert f"| {bits} | `{field.name}` | {field.bits} | " in section
            low += field.bits
