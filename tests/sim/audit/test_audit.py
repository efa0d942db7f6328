"""The audit finds each kind of race, names both instructions, and passes the program with the wait added."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gatewright.contract.arch import INSTRUCTION_BYTES, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Opcode, Space, Unit
from gatewright.sim.fast.machine import simulate
from gatewright.verify.kit.generate.operands import parameters
from gatewright.verify.kit.programs import Image, Row, make_program, row

ARCH = ArchConfig()
DOT = {"tile": 1, "tile_count": 60, "pixel_count": 60, "filter_count": 16}

Waits = list[tuple[Unit, int]]


def gather(waits: Waits = [], **fields: int) -> Row:  # noqa: B006 - never changed
    shape = {"height": 1, "width": 60, "channels": 16, "kernel_height": 1, "kernel_width": 1, "stride": 1}
    return row(
        Opcode.GATHER, waits, **{**shape, "out_width": 60, "tile": 1, "tile_count": 60, "patch_vectors": 60, **fields}
    )


def matmul(waits: Waits = [], **fields: int) -> Row:  # noqa: B006
    operands = {"taps": 1, "channels": 16, "slice_count": 1, "patch_vectors": 60, "weight_vectors": 16}
    return row(Opcode.MATMUL, waits, **{**operands, **DOT, **fields})


def epilogue(waits: Waits = [], **fields: int) -> Row:  # noqa: B006
    target = {"destination": 8192, "out_height": 1, "out_width": 60, "channels": 16}
    return row(Opcode.EPILOGUE, waits, **{**target, **DOT, **fields})


def barrier(*waits: tuple[Unit, int]) -> Row:
    """An EPILOGUE without work: the next one starts, and reads parameters, only after its waits."""
    return row(Opcode.EPILOGUE, list(waits), tile=1)


def load(waits: Waits = [], **fields: int) -> Row:  # noqa: B006
    return row(Opcode.LOAD, waits, **{"rows": 1, "row_beats": 64, **fields})


def check(rows: list[Row]) -> None:
    image = Image()
    image.add(parameters([(0, 1, 1)] * 128))
    image.add(np.arange(512, dtype="<u2"))
    simulate(make_program(ARCH, rows, image), audit=True)


LOADED = load(space=Space.PARAMETERS)
READY = barrier((Unit.LOAD, 1))

RACES: list[tuple[str, list[Row], list[Row], str]] = [
    (
        "a read before the write",
        [gather(), matmul()],
        [gather(), matmul([(Unit.GATHER, 1)])],
        "instruction 1 (MATMUL) reads patch buffer word 0 before it is written",
    ),
    (
        "an overwrite during the read",
        [matmul(slice_count=1), gather()],
        [matmul(slice_count=1), gather([(Unit.ARRAY, 1)])],
        "instruction 1 (GATHER) overwrites patch buffer word 0 while it is still read, ",
    ),
    (
        "weights still on their way",
        [load(space=Space.WEIGHTS_BY_VECTOR, rows=16, row_beats=1, vectors=16, count=1, row_stride=16), matmul()],
        [
            load(space=Space.WEIGHTS_BY_VECTOR, rows=16, row_beats=1, vectors=16, count=1, row_stride=16),
            matmul([(Unit.LOAD, 1)]),
        ],
        "instruction 1 (MATMUL) reads weight buffer word 0 before it is written",
    ),
    (
        "a sum that is not complete",
        [LOADED, READY, matmul([(Unit.EPILOGUE, 1)]), epilogue()],
        [LOADED, READY, matmul([(Unit.EPILOGUE, 1)]), epilogue([(Unit.ARRAY, 1)])],
        "instruction 3 (EPILOGUE) reads accumulator bank 0 entry 0 before it is written",
    ),
    (
        "the next product into a bank that is still read, at other entries",
        [LOADED, READY, matmul(), epilogue([(Unit.ARRAY, 1)]), matmul([(Unit.ARRAY, 1)], accumulator=100)],
        [LOADED, READY, matmul(), epilogue([(Unit.ARRAY, 1)]), matmul([(Unit.ARRAY, 1)], accumulator=100, bank=1)],
        "uses accumulator bank 0",
    ),
    (
        "parameters read before the waits",
        [LOADED, matmul([(Unit.LOAD, 1)]), epilogue([(Unit.ARRAY, 1), (Unit.LOAD, 1)])],
        [LOADED, matmul([(Unit.LOAD, 1)]), READY, epilogue([(Unit.ARRAY, 1)])],
        "instruction 2 (EPILOGUE) reads parameter 0 before it is written",
    ),
    (
        "a table that INDEX still fills",
        [row(Opcode.INDEX, bits=60, complement=1), gather(tile_table=0)],
        [row(Opcode.INDEX, bits=60, complement=1), gather([(Unit.INDEX, 1)], tile_table=0)],
        "instruction 1 (GATHER) reads table 0 before it is written",
    ),
    (
        "a row table that the LOAD before brings",
        [load(space=Space.TABLE, count=4), load(rows=4, row_beats=1, row_stride=16, row_table=0, address=4096)],
        [
            load(space=Space.TABLE, count=4),
            load([(Unit.LOAD, 1)], rows=4, row_beats=1, row_stride=16, row_table=0, address=4096),
        ],
        "instruction 1 (LOAD) reads table 0 before it is written",
    ),
    (
        "two writers of a word",
        [LOADED, READY, load(address=8192), epilogue()],
        [LOADED, READY, load(address=8192), epilogue([(Unit.LOAD, 2)])],
        "instruction 3 (EPILOGUE) writes scratchpad bytes 8192 to 8207 while another unit still writes it",
    ),
    (
        "a residual from elsewhere still on its way",
        [LOADED, READY, load(address=65536), epilogue(residual=1, elsewhere=1, source=65536, source_width=60)],
        [
            LOADED,
            READY,
            load(address=65536),
            epilogue([(Unit.LOAD, 2)], residual=1, elsewhere=1, source=65536, source_width=60),
        ],
        "instruction 3 (EPILOGUE) reads scratchpad bytes 65536 to 65551 before it is written",
    ),
    (
        "port B used by two",
        [row(Opcode.STORE, address=65536, dram_address=1024, beats=1), load()],
        [row(Opcode.STORE, address=65536, dram_address=1024, beats=1), load([(Unit.STORE, 1)])],
        "uses scratchpad port B",
    ),
    (
        "an exit by a table that INDEX still fills",
        [row(Opcode.INDEX, bits=160, table=3), row(Opcode.EXIT, count_table=3)],
        [row(Opcode.INDEX, bits=160, table=3), row(Opcode.EXIT, [(Unit.INDEX, 1)], count_table=3)],
        "instruction 1 (EXIT) reads table 3 before it is written",
    ),
    (
        "a skip by a table that INDEX still fills",
        [row(Opcode.INDEX, bits=160, table=3, complement=1), row(Opcode.SKIP, count_table=3, instructions=1), load()],
        [
            row(Opcode.INDEX, bits=160, table=3, complement=1),
            row(Opcode.SKIP, [(Unit.INDEX, 1)], count_table=3, instructions=1),
            load(),
        ],
        "instruction 1 (SKIP) reads table 3 before it is written",
    ),
    (
        "DRAM read back before the response",
        [
            row(Opcode.STORE, address=65536, dram_address=1024, beats=1),
            load(dram_address=1024, space=Space.TABLE, row_beats=1),
        ],
        [
            row(Opcode.STORE, address=65536, dram_address=1024, beats=1),
            load([(Unit.STORE, 1)], dram_address=1024, space=Space.TABLE, row_beats=1),
        ],
        "instruction 1 (LOAD) reads DRAM bytes 1024 to 1039 before it is written",
    ),
    (
        "a table loaded while INDEX fills another",
        [row(Opcode.INDEX, bits=500), load(space=Space.TABLE, address=1, row_beats=1, count=8)],
        [row(Opcode.INDEX, bits=500), load([(Unit.INDEX, 1)], space=Space.TABLE, address=1, row_beats=1, count=8)],
        "uses the tables' write port",
    ),
    (
        "an INDEX while another table is loaded",
        [load(space=Space.TABLE, address=1, row_beats=1, count=8), row(Opcode.INDEX, bits=16)],
        [load(space=Space.TABLE, address=1, row_beats=1, count=8), row(Opcode.INDEX, [(Unit.LOAD, 1)], bits=16)],
        "uses the tables' write port",
    ),
    (
        "a table cleared before the entries of the one before are there",
        [load(space=Space.TABLE, row_beats=1, count=8), load(space=Space.TABLE, rows=0)],
        [load(space=Space.TABLE, row_beats=1, count=8), load([(Unit.LOAD, 1)], space=Space.TABLE, rows=0)],
        "instruction 1 (LOAD) sets a table's count",
    ),
    (
        "a tile table that the transpose's EPILOGUE reads before its waits",
        [
            LOADED,
            READY,
            row(Opcode.INDEX, [(Unit.EPILOGUE, 1)], bits=60, complement=1),
            matmul([(Unit.INDEX, 1)], stationary=1, tile_table=0),
            epilogue([(Unit.ARRAY, 1)], stationary=1, tile_table=0),
        ],
        [
            LOADED,
            READY,
            row(Opcode.INDEX, [(Unit.EPILOGUE, 1)], bits=60, complement=1),
            matmul([(Unit.INDEX, 1)], stationary=1, tile_table=0),
            barrier((Unit.INDEX, 1)),
            epilogue([(Unit.ARRAY, 1)], stationary=1, tile_table=0),
        ],
        "instruction 4 (EPILOGUE) reads table 0 before it is written",
    ),
    (
        "an entry updated again after one cycle",
        [matmul(pixel_count=10), matmul(pixel_count=6, accumulator=9, accumulate=1)],
        [matmul(pixel_count=10), matmul(pixel_count=6, accumulator=9)],
        "instruction 1 (MATMUL) adds to an accumulator entry whose last update is under way",
    ),
]


@pytest.mark.parametrize(("bad", "good", "message"), [r[1:] for r in RACES], ids=[r[0] for r in RACES])
def test_race(bad: list[Row], good: list[Row], message: str) -> None:
    """The racing program is refused; with the wait, or in another place, it passes."""
    with pytest.raises(GatewrightError, match="race: .*" + re.escape(message)):
        check(bad)
    check(good)


def test_races_are_only_looked_for_when_asked() -> None:
    """Without ``audit`` the values are those of program order."""
    simulate(make_program(ARCH, [gather(), matmul()]))


def test_a_page_used_before_it_has_arrived() -> None:
    """NEXT must wait for the LOAD of the page that it jumps to."""
    program = make_program(ARCH, [row(Opcode.INDEX) for _ in range(9)], page_size=6)
    simulate(program, audit=True)
    code = program.code.copy()
    turn = int(np.flatnonzero(code[:, 0] == Opcode.NEXT)[0])
    code[turn, 1:3] = 0
    rebuilt = make_program(ARCH, list(code[: turn + 1]))  # the second page is left out: only its LOAD remains
    image = np.concatenate(
        [rebuilt.image[: INSTRUCTION_BYTES * (turn + 1)], program.image[INSTRUCTION_BYTES * (turn + 1) :]]
    )
    rebuilt.image, rebuilt.boot_count = image, program.boot_count
    with pytest.raises(
        GatewrightError, match=r"instruction 6 \(INDEX\) reads instruction entry 256 before it is written"
    ):
        simulate(rebuilt, audit=True)


def test_overlap_that_is_safe_passes() -> None:
    """LOAD behind LOAD, streams back to back into one bank, and gathers beside products: no race."""
    rows = [
        load(),
        load(address=1024),
        gather([(Unit.LOAD, 2)]),
        matmul([(Unit.GATHER, 1)]),
        matmul(accumulate=1),
        gather(patch_base=100),
        matmul([(Unit.GATHER, 2)], patch_base=100, bank=1),
    ]
    check(rows)


HIDDEN: list[tuple[str, Row, Row, str]] = [
    (
        "a read that slack puts behind its write",
        load(row_beats=60),
        gather([(Unit.INDEX, 4)]),
        "instruction 5 (GATHER) reads scratchpad bytes 0 to 15, and no wait puts it behind instruction 0 (LOAD)",
    ),
    (
        "an overwrite that slack puts behind the read",
        gather(),
        load([(Unit.INDEX, 4)]),
        "instruction 5 (LOAD) overwrites what is read of scratchpad bytes 0 to 15, "
        "and no wait puts it behind instruction 0 (GATHER)",
    ),
    (
        "a port that slack keeps free",
        load(address=65536),
        row(Opcode.STORE, [(Unit.INDEX, 4)], dram_address=1024, beats=1),
        "instruction 5 (STORE) uses scratchpad port B, and no wait puts it behind instruction 0 (LOAD)",
    ),
]


@pytest.mark.parametrize(
    ("first", "second", "message"), [case[1:] for case in HIDDEN], ids=[case[0] for case in HIDDEN]
)
def test_a_missing_wait_is_a_race_even_where_slack_hides_it(first: Row, second: Row, message: str) -> None:
    """Four INDEXes take longer than the first instruction; a slower memory would show the race."""
    delay = [row(Opcode.INDEX, bits=512, table=table) for table in range(4)]
    with pytest.raises(GatewrightError, match=re.escape(f"race by order: {message}")):
        check([first, *delay, second])
    unit = {Opcode.LOAD: Unit.LOAD, Opcode.GATHER: Unit.GATHER}[Opcode(int(first[0]))]
    waits = [(Unit.INDEX, 4), (unit, 1)]
    second[3:5] = waits[1]
    check([first, *delay, second])


def test_waits_of_others_count() -> None:
    """GATHER waits for INDEX, which waited for the LOAD: that is order enough."""
    index = row(Opcode.INDEX, [(Unit.LOAD, 1)], bits=16)
    check([load(row_beats=60), index, gather([(Unit.INDEX, 1)])])
