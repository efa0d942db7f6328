"""Room for regions over time, and the fields that name places."""

from __future__ import annotations

import pytest

from gatewright.compiler.interleave.places import Place, places
from gatewright.compiler.interleave.pools import Pool
from gatewright.compiler.interleave.recording import Region
from gatewright.contract.isa import FORMATS, Opcode, Space


def region(number: int, size: int) -> Region:
    return Region(number, "patch", 0, size)


def test_programs_take_from_both_ends() -> None:
    pool = Pool(size=100, granule=1, share=100)
    assert pool.earliest(region(0, 30), 0, 5) == (5, 0)
    assert pool.earliest(region(0, 30), 1, 5) == (5, 70)


def test_who_waits_for_a_region_gets_its_place_when_it_is_free() -> None:
    pool = Pool(size=100, granule=1, share=100)
    pool.take(region(0, 60), 0, 0)
    assert pool.earliest(region(1, 60), 1, 0) is None, "nobody knows yet when region 0 is done with"
    pool.release(region(0, 60), 0, 40)
    assert pool.earliest(region(1, 60), 1, 0) == (40, 40)
    assert pool.earliest(region(1, 30), 1, 0) == (0, 70), "room that is free at once is better"


def test_a_program_holds_no_more_than_its_share() -> None:
    pool = Pool(size=100, granule=1, share=50)
    pool.take(region(0, 30), 0, 0)
    assert pool.earliest(region(1, 30), 0, 0) is None
    assert pool.earliest(region(1, 30), 1, 0) == (0, 70)
    assert Pool(size=100, granule=1, share=50).earliest(region(0, 80), 0, 0) == (0, 0), "one region may be larger"


def test_regions_are_whole_granules() -> None:
    pool = Pool(size=100, granule=16, share=100)
    pool.take(region(0, 17), 0, 0)
    assert pool.earliest(region(1, 16), 0, 0) == (0, 32)


@pytest.mark.parametrize("opcode", list(Opcode))
def test_every_table_and_mask_of_an_instruction_is_a_place(opcode: Opcode) -> None:
    """A field that says in its description that it names a table, a mask or an address is moved, if it is used."""
    if opcode in (Opcode.NEXT, Opcode.EXIT, Opcode.SKIP, Opcode.END):
        return
    values = {field.name: 0 for field in FORMATS[opcode].fields} | {"pool": 1, "elsewhere": 1, "space": Space.TABLE}
    values = {name: value for name, value in values.items() if name in {f.name for f in FORMATS[opcode].fields}}
    named = {place.field for place in places(opcode, values)}
    words = (
        "scratchpad byte",
        "index table",
        "table whose",
        "mask of",
        "mask to",
        "table to",
        "buffer word",
        "entry of filter 0",
    )
    expected = {f.name for f in FORMATS[opcode].fields if any(word in f.doc for word in words)}
    expected |= {"bank"} & set(values)
    assert named == expected


def test_a_value_moves_in_its_own_units() -> None:
    assert Place("patch_base", "patch", 1, 4).moved(3, 40) == 13
    assert Place("destination", "mask", 512, 1).moved(512 * 2 + 7, 3) == 512 * 5 + 7
    assert Place("source", "scratchpad").moved((1 << 20) - 16, 64) == 48, "a map's begin may lie before byte 0"
