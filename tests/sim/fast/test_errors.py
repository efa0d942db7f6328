"""Programs that the machine cannot run: each is refused with the instruction, the field and the number."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from gatewright.contract import instruction_limit
from gatewright.contract.arch import INSTRUCTION_BYTES, MASKS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import Images
from gatewright.contract.isa import Opcode, Space, Unit
from gatewright.sim.fast.machine import simulate, simulate_images
from gatewright.verify.kit.generate.operands import parameters
from gatewright.verify.kit.programs import Image, Row, make_program, row
from tests.sim.fast.convolution_program import load_table

ARCH = ArchConfig()
DOT = {"tile": 1, "tile_count": 8, "pixel_count": 8, "filter_count": 8}


def prepared() -> tuple[Image, list[Row]]:
    """Table 0 holds 0 to 7 and parameters 0 to 63 are good, 64 and 65 have shift 0 and 48."""
    image = Image()
    entries = image.add(parameters([(0, 1, 1)] * 64 + [(0, 1, 0), (0, 1, 48)]))
    rows = [
        load_table(image, 0, list(range(8))),
        row(Opcode.LOAD, space=Space.PARAMETERS, dram_address=entries, rows=1, row_beats=33),
    ]
    return image, rows


def gather(**fields: int) -> Row:
    shape = {"height": 4, "width": 4, "channels": 16, "kernel_height": 1, "kernel_width": 1, "stride": 1}
    chunk = {"out_width": 4, "tile": 2, "tile_count": 4, "patch_vectors": 16}
    return row(Opcode.GATHER, **{**shape, **chunk, **fields})


def matmul(**fields: int) -> Row:
    operands = {"taps": 1, "channels": 16, "slice_count": 1, "patch_vectors": 8, "weight_vectors": 8}
    return row(Opcode.MATMUL, **{**operands, **DOT, **fields})


def epilogue(**fields: int) -> Row:
    target = {"out_height": 1, "out_width": 8, "channels": 8, "grid_width": 8, "parameters": 1}
    return row(Opcode.EPILOGUE, **{**target, **DOT, **fields})


def windows(**fields: int) -> Row:
    shape = {"kind": 4, "source": 4096, "source_height": 4, "source_width": 8, "window": 2, "step": 2, "inset": 1}
    return epilogue(**{**shape, **fields})


def load(space: Space, **fields: int) -> Row:
    return row(Opcode.LOAD, space=space, **{"rows": 1, "row_beats": 1, **fields})


BAD: list[tuple[Row, str]] = [
    (gather(tile_table=17), "(GATHER) names table 17, but the machine has 16"),
    (gather(channel_table=3), "(GATHER) uses table 3, which nothing has written"),
    (gather(tile=0), "(GATHER) has tile = 0"),
    (gather(patch_vectors=12), "(GATHER) patch_vectors: uses 16 vectors of a region of 12"),
    (gather(patch_base=1023), "(GATHER) patch_base: reaches word 4107 of a patch buffer of 4096"),
    (gather(source=262144 - 255), "(GATHER) reaches byte 262144 of a scratchpad of 262144"),
    (gather(source=64, wrap_row=2, wrap_bytes=256), "(GATHER) reaches byte 1048527 of a scratchpad of 262144"),
    (gather(source_mask=1), "(GATHER) source_tile or source_grid = 0"),
    (
        gather(source_mask=1, source_tile=1, source_grid=4, kernel_width=5),
        "(GATHER) kernel_width = 5; with a source_mask",
    ),
    (
        gather(kernel_height=2, kernel_width=2, dilation=2, first_slice=1, patch_vectors=32),
        "(GATHER) first_slice = 1 does not begin with a kernel row of 32 elements, whose pixels lie apart",
    ),
    (gather(source_mask=1, kernel_width=5, tile_count=0), "(GATHER) kernel_width = 5; with a source_mask"),
    (gather(source_mask=MASKS, tile_count=0), f"(GATHER) names mask {MASKS}, but the machine has {MASKS}"),
    (gather(source_mask=1, source_tile=1, source_grid=63, height=10), "(GATHER) reaches mask bit 570 of 512"),
    (matmul(filter_table=30), "(MATMUL) names table 30, but the machine has 16"),
    (matmul(in_order=1), "(MATMUL) in_order: needs a filter_table"),
    (matmul(first_pixel=4, tile_count=12), "(MATMUL) patch_vectors: uses 12 vectors of a region of 8"),
    (matmul(patch_base=1023), "(MATMUL) patch_base: reaches word 4099 of a patch buffer of 4096"),
    (matmul(first_filter=1), "(MATMUL) weight_vectors: uses vector 8 of a region of 8"),
    (matmul(filter_table=0, weight_vectors=4), "(MATMUL) weight_vectors: uses vector 4 of a region of 4"),
    (matmul(weight_base=2047), "(MATMUL) weight_base or address: reaches word 8192 of a weight buffer of 8192"),
    (matmul(accumulator=505), "(MATMUL) accumulator: reaches entry 512 of a bank of 512"),
    (epilogue(accumulator=505), "(EPILOGUE) accumulator: reaches entry 512 of a bank of 512"),
    (epilogue(kind=2, parameters=4089), "(EPILOGUE) parameters or address: reaches entry 4096 of 4096"),
    (epilogue(parameters=57), "(EPILOGUE) parameters: the entry's shift is 0; shifts are 1 to 47"),
    (epilogue(parameters=65, filter_count=1), "(EPILOGUE) parameters: the entry's shift is 48; shifts are 1 to 47"),
    (epilogue(destination=262144 - 63), "(EPILOGUE) reaches byte 262144 of a scratchpad of 262144"),
    (epilogue(channels=7), "(EPILOGUE) writes 8 channels of a pixel that stores 7"),
    (epilogue(compact=1), "(EPILOGUE) compact: needs a filter_table"),
    (
        epilogue(pool=1, tile=2, tile_count=2, pixel_count=6),
        "(EPILOGUE) pool: 6 pixels from pixel 0 are not whole tiles",
    ),
    (epilogue(pool=1, tile=2, first_pixel=2), "(EPILOGUE) pool: 8 pixels from pixel 2 are not whole tiles"),
    (epilogue(pool=1, stationary=1), "(EPILOGUE) pool: needs kind STORE and stationary filters"),
    (epilogue(pool=1, kind=1), "(EPILOGUE) pool: needs kind STORE and stationary filters"),
    (epilogue(pool=1, parameters=0), "(EPILOGUE) parameters: 0 leaves no entry before it"),
    (epilogue(pool=1, grid_width=7), "(EPILOGUE) grid_width: writes column 7 of a pooled map of 7 columns"),
    (epilogue(pool=1, pool_address=262140), "(EPILOGUE) reaches byte 262147 of a scratchpad of 262144"),
    (epilogue(residual=1, stationary=1), "(EPILOGUE) residual: needs kind STORE and stationary filters"),
    (epilogue(kind=2, stationary=1), "(EPILOGUE) stationary: kind 2 needs stationary filters"),
    (epilogue(kind=2, destination=262144 - 31), "(EPILOGUE) reaches byte 262144 of a scratchpad of 262144"),
    (epilogue(kind=3), "(EPILOGUE) kind THRESHOLD needs one streamed vector, not 8"),
    (epilogue(kind=3, pixel_count=1, destination=16377), "(EPILOGUE) reaches mask bit 16384 of 16384"),
    (epilogue(kind=9), "(EPILOGUE) kind = 9 is not one of 0 to 8"),
    (epilogue(digits=1), "(EPILOGUE) digits: needs kind REDUCE or REDUCE_RAW (kind 0)"),
    (epilogue(digits=1, kind=3, pixel_count=1), "(EPILOGUE) digits: needs kind REDUCE or REDUCE_RAW (kind 3)"),
    (epilogue(digits=1, kind=1), "(EPILOGUE) digits: adds up the entries of 2 pixels, the two digits, not of 8"),
    (epilogue(digits=1, kind=2, pixel_count=1), "(EPILOGUE) digits: adds up the entries of 2 pixels"),
    (epilogue(wrap_row=1, wrap_bytes=65, out_height=2, first_tile=8), "(EPILOGUE) reaches byte 1048582 of a"),
    (windows(stationary=1), "(EPILOGUE) stationary: kind 4 needs stationary filters, not 1"),
    (windows(tile=2), "(EPILOGUE) tile = 2; a kind that reads windows goes pixel by pixel, with tile = 1"),
    (windows(tile_table=0), "(EPILOGUE) tile_table or filter_table = 0; a kind that reads windows takes no table"),
    (windows(filter_table=0), "(EPILOGUE) tile_table or filter_table = 0; a kind that reads windows takes no table"),
    (windows(compact=1), "(EPILOGUE) compact: needs a filter_table"),
    (windows(residual=1), "(EPILOGUE) residual: needs kind STORE and stationary filters (kind 4"),
    (windows(pool=1, kind=5), "(EPILOGUE) pool: needs kind STORE and stationary filters (kind 5"),
    (windows(digits=1, kind=6), "(EPILOGUE) digits: needs kind REDUCE or REDUCE_RAW (kind 6)"),
    (windows(window=0, inset=0), "(EPILOGUE) window = 0; the edge of this kind's windows is 1 to 31"),
    (windows(window=12, kind=6), "(EPILOGUE) window = 12; the edge of this kind's windows is 1 to 11"),
    (windows(step=0), "(EPILOGUE) step = 0; from one window to the next it is at least 1"),
    (
        windows(inset=2),
        "(EPILOGUE) inset = 2; the first window would lie outside of the map: with window = 2 it is less",
    ),
    (windows(parameters=0), "(EPILOGUE) parameters: 0 leaves no entry before it for the pooling"),
    (windows(kind=5, parameters=0, pixel_count=0), "(EPILOGUE) parameters: 0 leaves no entry before it"),
    (windows(parameters=65), "(EPILOGUE) parameters: the entry's shift is 0; shifts are 1 to 47"),
    (windows(parameters=66), "(EPILOGUE) parameters: the entry's shift is 48; shifts are 1 to 47"),
    (windows(channels=7), "(EPILOGUE) writes 8 channels of a pixel that stores 7"),
    (windows(first_filter=1, kind=6), "(EPILOGUE) writes 9 channels of a pixel that stores 8"),
    (windows(source=262144 - 63), "(EPILOGUE) reaches byte 262144 of a scratchpad of 262144"),
    (windows(destination=262144 - 63), "(EPILOGUE) reaches byte 262144 of a scratchpad of 262144"),
    (windows(kind=6, destination=262144 - 127), "(EPILOGUE) reaches byte 262144 of a scratchpad of 262144"),
    (windows(wrap_row=1, wrap_bytes=8192, inset=0), "(EPILOGUE) reaches byte 1044551 of a"),
    (row(Opcode.INDEX, table=16), "(INDEX) names table 16, but the machine has 16"),
    (row(Opcode.INDEX, mask=31, bits=513), "(INDEX) reaches mask bit 16384 of 16384"),
    (row(Opcode.INDEX, mask=1, bits=16000), "(INDEX) reaches mask bit 16511 of 16384"),
    (epilogue(elsewhere=1), "(EPILOGUE) elsewhere: says where a residual is, but residual is 0"),
    (epilogue(residual=1, upsample=2), "(EPILOGUE) upsample = 2; only a residual from elsewhere"),
    (epilogue(residual=1, elsewhere=1, source=262144 - 1), "(EPILOGUE) reaches byte 262"),
    (row(Opcode.INDEX, bits=257, grid_width=300, complement=1), "(INDEX) grid_width: position 256 does not fit"),
    (row(Opcode.STORE, dram_address=8, beats=1), "(STORE) dram_address: a row begins at byte 8"),
    (row(Opcode.STORE, address=8, beats=1), "(STORE) address: 8 is not a multiple of 16"),
    (row(Opcode.STORE, address=262128, beats=2), "(STORE) reaches byte 262159 of a scratchpad of 262144"),
    (row(Opcode.STORE, dram_address=1 << 20, beats=1), "(STORE) dram_address: reaches byte 1048591 of a DRAM image"),
    (load(Space.SCRATCHPAD, dram_address=4), "(LOAD) dram_address: a row begins at byte 4, which is not a multiple"),
    (load(Space.SCRATCHPAD, rows=2, row_stride=8), "(LOAD) dram_address: a row begins at byte 8"),
    (load(Space.SCRATCHPAD, row_beats=4000), "(LOAD) dram_address: reaches byte 63999 of a DRAM image"),
    (load(Space.SCRATCHPAD, address=262136), "(LOAD) reaches byte 262151 of a scratchpad of 262144"),
    (load(Space.SCRATCHPAD, row_table=5), "(LOAD) uses table 5, which nothing has written"),
    (load(Space.WEIGHTS_BY_VECTOR, vectors=4, count=2), "(LOAD) count: needs 2 beats but the rows have 1"),
    (load(Space.WEIGHTS_BY_VECTOR, rows=5, vectors=4, count=1), "(LOAD) vectors: writes vector 4 of a region of 4"),
    (
        load(Space.WEIGHTS_BY_VECTOR, vectors=4, count=1, address=2048),
        "(LOAD) weight_base or address: reaches word 8192 of a weight buffer of 8192",
    ),
    (load(Space.WEIGHTS_BY_REDUCTION, vectors=20, taps=2), "(LOAD) row_beats = 1, but a row of this layout has 4"),
    (
        load(Space.WEIGHTS_BY_REDUCTION, vectors=4, taps=1, address=2048),
        "(LOAD) weight_base or address: reaches word 8195 of a weight buffer of 8192",
    ),
    (load(Space.PARAMETERS, address=4095), "(LOAD) parameters or address: reaches entry 4096 of 4096"),
    (load(Space.TABLE, address=16), "(LOAD) names table 16, but the machine has 16"),
    (load(Space.TABLE, count=513, row_beats=20), "(LOAD) fills a table with 513 entries, but a table holds 512"),
    (load(Space.TABLE, count=9), "(LOAD) count: needs 2 beats but the rows have 1"),
    (load(Space.INSTRUCTIONS, address=511, row_beats=6), "(LOAD) address or entry: reaches entry 512"),
    (load(Space.INSTRUCTIONS, row_beats=4), "(LOAD) row_beats: 4 beats are not whole instructions of 3 beats"),
    (row(Opcode.LOAD, space=7, rows=1, row_beats=1), "(LOAD) space = 7 is not one of 0 to 5"),
    (row(Opcode.NEXT, entry=512), "(fetch) is fetched at entry 512 of an instruction memory of 512"),
    (row(Opcode.NEXT, entry=400), "(fetch) is fetched at entry 400, which nothing was loaded into"),
    (row(Opcode.INDEX, [(Unit.LOAD, 3)]), "(INDEX) waits for completion 3 of a unit that has been given 2"),
    (row(Opcode.INDEX, [(Unit.INDEX, 1)]), "(INDEX) waits for completion 1 of a unit that has been given 0"),
    (row(Opcode.EXIT, [(Unit.STORE, 65000)]), "(EXIT) waits for completion 65000 of a unit that has been given 0"),
]


@pytest.mark.parametrize(("bad", "message"), BAD, ids=[message[:60] for _, message in BAD])
def test_bad_instruction(bad: Row, message: str) -> None:
    """The error says which instruction, which field, what it reaches and what there is."""
    image, rows = prepared()
    number = 3 if "(fetch)" in message else 2
    with pytest.raises(GatewrightError, match=re.escape(f"instruction {number} {message}")):
        simulate(make_program(ARCH, [*rows, bad], image))


def test_windows_beyond_the_parameters() -> None:
    """As its first entry is for the pooling, the operand reaches beyond a memory of fewer entries than it counts."""
    image, rows = prepared()
    message = "instruction 2 (EPILOGUE) parameters or address: reaches entry 2048 of 2048"
    with pytest.raises(GatewrightError, match=re.escape(message)):
        bad = windows(parameters=2049)
        simulate(make_program(replace(ARCH, parameter_entries=2048), [*rows, bad], image))


@pytest.mark.parametrize(
    "good",
    [
        gather(),
        gather(source=262144 - 256, patch_base=1020),
        gather(source_mask=1, source_tile=1, source_grid=4, kernel_width=4),
        gather(kernel_width=5),
        matmul(),
        matmul(weight_base=2046, patch_base=1022, accumulator=504, filter_table=0),
        epilogue(),
        epilogue(destination=262144 - 64, accumulator=504, parameters=56),
        epilogue(pool=1, pool_address=262144 - 64),
        epilogue(digits=1, kind=1, pixel_count=2),
        epilogue(digits=1, kind=1, filter_count=0),
        epilogue(wrap_row=1, wrap_bytes=64, out_height=2, first_tile=8, destination=64),
        gather(source=128, wrap_row=2, wrap_bytes=256),
        gather(source=262144 - 64, wrap_row=1, wrap_bytes=262144 - 64),
        gather(source=262144 - 192, tile=1, tile_count=4),
        gather(source=(1 << 20) - 64, padding_y=(1 << 5) - 1, tile=1, tile_count=4),
        windows(),
        windows(window=31, inset=15, step=31),
        windows(kind=5, parameters=64),
        windows(kind=6, window=11, parameters=0),
        windows(kind=6, destination=262144 - 128),
        windows(source=262144 - 64, source_height=1),
        windows(source=262144 - 64, wrap_row=1, wrap_bytes=262144 - 64, tile_count=16, pixel_count=16, out_height=2),
        windows(source=(1 << 20) - 64, inset=0, wrap_row=0, source_height=0),
        row(Opcode.INDEX, bits=512, complement=1, grid_width=256),
    ],
)
def test_the_same_instructions_at_their_limits_run(good: Row) -> None:
    """One step less and each of the above is legal: the checks are not off by one."""
    image, rows = prepared()
    result = simulate(make_program(ARCH, [*rows, good], image))
    assert len(result.trace.records) == 4


def test_illegal_opcode_and_stray_bits() -> None:
    """Cleared memory and damaged words stop the machine where they would be executed, not before."""
    rows = [row(Opcode.INDEX), row(Opcode.INDEX), row(Opcode.END), row(Opcode.INDEX)]
    program = make_program(ARCH, rows)
    third = program.code_address + 3 * INSTRUCTION_BYTES
    program.image[third : third + INSTRUCTION_BYTES] = 0
    assert len(simulate(program).trace.records) == 3
    second = program.code_address + INSTRUCTION_BYTES
    program.image[second] &= 0xE0
    with pytest.raises(GatewrightError, match=r"instruction 1 \(fetch\) .* entry 1 and is illegal: illegal opcode 0"):
        simulate(program)
    program = make_program(ARCH, rows)
    program.image[second + INSTRUCTION_BYTES - 1] = 0x80
    with pytest.raises(GatewrightError, match=r"instruction 1 .* is illegal: unused bits are set"):
        simulate(program)


def test_the_image_runs_not_the_listing() -> None:
    """What is executed is decoded from DRAM; ``Program.code`` may say something else."""
    program = make_program(ARCH, [row(Opcode.INDEX, bits=32, complement=1)])
    other = make_program(ARCH, [row(Opcode.INDEX, bits=32)])
    lying = replace(program, code=other.code)
    np.testing.assert_array_equal(simulate(lying).tables[0], np.arange(32))


def test_endless_loop() -> None:
    """A program without an end is stopped."""
    with pytest.raises(GatewrightError, match="executed 250000 instructions without reaching END"):
        simulate(make_program(ARCH, [row(Opcode.NEXT, entry=0)]))


def test_each_image_may_execute_twice_what_the_program_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a program longer than the least limit several images run; one that goes back for ever is still stopped."""
    monkeypatch.setattr(instruction_limit, "LEAST", 3)
    rows = [row(Opcode.INDEX, bits=8, complement=1)] * 39
    long = make_program(ARCH, rows)
    assert len(long.code) == 40 and instruction_limit.instruction_limit(40) == 80
    several = simulate_images(long, long.image, Images(count=5))
    assert len(several.trace.records) == 5 * 40
    with pytest.raises(GatewrightError, match="executed 80 instructions without reaching END"):
        simulate(make_program(ARCH, [*rows, row(Opcode.NEXT, entry=0)][1:]))


def test_boot_page_outside_the_image() -> None:
    """A program whose code is not in its image says so."""
    program = replace(make_program(ARCH, [row(Opcode.INDEX)]), code_address=1 << 16)
    with pytest.raises(GatewrightError, match=r"boot page.* dram_address: reaches byte"):
        simulate(program)
