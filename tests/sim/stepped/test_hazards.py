"""What a program with a missing wait does: wrong bytes, as on the machine, or an error that names the conflict."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.contract.arch import MASKS, PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import EpilogueKind, Opcode, Space, Stationary, Unit
from gatewright.contract.program import Program
from gatewright.contract.trace import first_difference
from gatewright.sim.stepped import SteppedMachine, step_simulate
from gatewright.verify.kit.generate.builder import Builder, Filters, Map
from gatewright.verify.kit.generate.layers import Layer, emit_conv
from gatewright.verify.kit.generate.oracle import conv_values, random_parameters
from gatewright.verify.kit.programs import Image, make_program, row

ARCH = PRESETS["4x4"]


def layer_builder(layer: Layer, kernel: int = 3, seed: int = 5) -> tuple[Builder, Map, Filters, Map]:
    """A convolution of a 6x6 map of 5 channels to 9 channels."""
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    build = Builder(ARCH)
    source = build.load_map(rng.integers(-128, 128, (6, 6, 5), dtype=np.int8))
    weights = rng.integers(-128, 128, (9, kernel, kernel, 5), dtype=np.int8)
    filters = build.load_filters(weights, random_parameters(rng, 10, 5 * kernel**2), False)
    target = Map(build.room(6 * 6 * 9), np.zeros((6, 6, 9), np.int8))
    emit_conv(build, source, filters, layer, target, [])
    return build, source, filters, target


def written(build: Builder, target: Map) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    left = step_simulate(build.program()).scratchpad.view(np.int8)
    return left[target.address : target.address + target.values.size].reshape(target.values.shape)


def without_wait(build: Builder, opcode: Opcode, unit: Unit) -> None:
    """Take every wait on ``unit`` out of the instructions of one opcode."""
    for instruction in build.rows:
        if instruction[0] == opcode:
            for wait in range(3):
                if instruction[1 + 2 * wait] == unit:
                    instruction[1 + 2 * wait : 3 + 2 * wait] = 0


@pytest.mark.parametrize(
    ("opcode", "unit"),
    [
        (Opcode.GATHER, Unit.LOAD),
        (Opcode.GATHER, Unit.ARRAY),
        (Opcode.MATMUL, Unit.GATHER),
        (Opcode.MATMUL, Unit.EPILOGUE),
        (Opcode.EPILOGUE, Unit.ARRAY),
        (Opcode.EPILOGUE, Unit.LOAD),
    ],
)
def test_every_wait_of_a_layer_is_needed(opcode: Opcode, unit: Unit) -> None:
    """With all waits the layer is right; without one kind of them it is wrong, or two units meet at a port."""
    # The array overtakes the epilogue only where reductions are short: with a 1x1 kernel.
    kernel = 1 if (opcode, unit) == (Opcode.MATMUL, Unit.EPILOGUE) else 3
    layer = Layer(tile=2, chunk_tiles=2, stationary=(Stationary.FILTERS,), residual=True, padding=kernel // 2)
    if kernel == 1:
        layer.chunk_tiles, layer.pixel_split = 9, 4
    build, source, filters, target = layer_builder(layer, kernel)
    right = conv_values(source.values, filters, layer, target.values)
    np.testing.assert_array_equal(written(build, target), right)
    without_wait(build, opcode, unit)
    try:
        left = written(build, target)
    except GatewrightError as error:
        assert "both use" in str(error) and "wait" in str(error)
        return
    assert (left != right).any(), f"{opcode.name} without its wait on {unit.name} is still right"


def test_two_users_of_port_b_in_one_cycle_are_named() -> None:
    image = Image()
    image.reserve(256)
    load = row(Opcode.LOAD, space=Space.SCRATCHPAD, rows=1, row_beats=16)
    store = row(Opcode.STORE, [(Unit.INDEX, 1)], dram_address=0, address=1024, beats=16)
    delay = row(Opcode.INDEX, bits=64 * 16, table=0)  # empty words
    program = make_program(ARCH, [delay, load, store], image)
    with pytest.raises(
        GatewrightError, match=r"cycle \d+: instruction \d \(\w+\) and instruction \d \(\w+\) both use .*B"
    ):
        step_simulate(program)
    ordered = row(Opcode.STORE, [(Unit.LOAD, 1)], dram_address=0, address=1024, beats=16)
    assert step_simulate(make_program(ARCH, [delay, load, ordered], image)).cycles > 0


def test_array_and_epilogue_in_one_accumulator_bank_are_named() -> None:
    sizes = {"tile": 1, "tile_count": 30, "pixel_count": 30, "filter_count": 4, "stationary": Stationary.FILTERS}
    matmul = row(Opcode.MATMUL, patch_vectors=32, weight_vectors=4, taps=1, channels=4, slice_count=1, bank=1, **sizes)
    reduce = {"kind": EpilogueKind.REDUCE_RAW, "parameters": 0, "out_width": 30, "out_height": 1, **sizes}
    with pytest.raises(GatewrightError, match=r"\(MATMUL\).*\(EPILOGUE\) both use accumulator bank 1"):
        step_simulate(make_program(ARCH, [matmul, row(Opcode.EPILOGUE, bank=1, **reduce)]))
    assert step_simulate(make_program(ARCH, [matmul, row(Opcode.EPILOGUE, bank=0, **reduce)])).cycles > 0


def test_index_and_load_at_the_tables_write_port_are_named() -> None:
    image = Image()
    image.add(np.arange(512, dtype="<u2"))
    # 500 entries, four a cycle, while 64 beats of a table arrive.
    fill = row(Opcode.INDEX, bits=500, table=0, complement=1)
    load = {"space": Space.TABLE, "address": 1, "rows": 1, "row_beats": 64, "count": 512}
    with pytest.raises(GatewrightError, match=r"\(LOAD\) and instruction 0 \(INDEX\) both write an index table"):
        step_simulate(make_program(ARCH, [fill, row(Opcode.LOAD, **load)], image))
    ordered = make_program(ARCH, [fill, row(Opcode.LOAD, [(Unit.INDEX, 1)], **load)], image)
    assert [len(table) for table in step_simulate(ordered).tables[:2]] == [500, 512]


def test_a_wide_kernel_with_a_source_mask_is_an_error() -> None:
    shape = {"height": 8, "width": 8, "channels": 4, "out_width": 8, "kernel_height": 1, "stride": 1}
    masked = {"source_mask": 1, "source_tile": 1, "source_grid": 8, "tile": 1, "tile_count": 2, "patch_vectors": 4}
    with pytest.raises(GatewrightError, match=r"\(GATHER\): kernel_width = 5; with a source_mask it is at most 4"):
        step_simulate(make_program(ARCH, [row(Opcode.GATHER, kernel_width=5, **shape, **masked)]))
    assert step_simulate(make_program(ARCH, [row(Opcode.GATHER, kernel_width=4, **shape, **masked)])).cycles > 0


@pytest.mark.parametrize("apart", [{"pixel_channels": 9}, {"dilation": 2}])
def test_slices_of_pixels_that_lie_apart_begin_with_a_kernel_row(apart: dict[str, int]) -> None:
    shape = {"height": 8, "width": 8, "channels": ARCH.rows, "out_width": 8, "kernel_height": 3, "kernel_width": 2}
    shape |= {"stride": 1, "tile": 1, "tile_count": 2, "patch_vectors": 4, "slice_count": 1}
    with pytest.raises(
        GatewrightError, match=r"\(GATHER\): first_slice = 3 does not begin with a kernel row of \d+ el"
    ):
        step_simulate(make_program(ARCH, [row(Opcode.GATHER, first_slice=3, **shape, **apart)]))
    assert step_simulate(make_program(ARCH, [row(Opcode.GATHER, first_slice=2, **shape, **apart)])).cycles > 0
    assert step_simulate(make_program(ARCH, [row(Opcode.GATHER, first_slice=3, **shape)])).cycles > 0


def test_a_gather_without_tiles_may_not_name_a_mask_that_is_not_there() -> None:
    lacking = {"source_mask": MASKS, "source_tile": 1, "source_grid": 8, "tile": 1, "patch_vectors": 4}
    with pytest.raises(GatewrightError, match=rf"\(GATHER\): source_mask = {MASKS}; the machine has {MASKS} masks"):
        step_simulate(make_program(ARCH, [row(Opcode.GATHER, **lacking)]))


def test_next_before_its_page_arrives_is_an_error() -> None:
    index = row(Opcode.INDEX, mask=0, bits=16, table=0)
    program = make_program(ARCH, [index] * 6, page_size=5)
    at = int(np.flatnonzero(program.code[:, 0] == Opcode.NEXT)[0])
    program.code[at, 1:3] = 0
    rebuilt = Program(**{**vars(program), "image": _reencoded(program)})
    with pytest.raises(GatewrightError, match=f"where instruction {at + 1} is due.*NEXT"):
        step_simulate(rebuilt)


def _reencoded(program: Program) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    fresh = make_program(program.arch, [*program.code], None)
    code = fresh.image[fresh.code_address :]
    image = program.image.copy()
    image[program.code_address : program.code_address + len(code)] = code
    return image


def test_a_program_that_never_ends_is_reported() -> None:
    index = row(Opcode.INDEX, [(Unit.STORE, 1)], mask=0, bits=16, table=0)
    with pytest.raises(GatewrightError, match="has not ended after 500 cycles; 1 instructions of 2"):
        step_simulate(make_program(ARCH, [index]), max_cycles=500)


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (
            row(Opcode.LOAD, space=Space.SCRATCHPAD, address=(1 << 18) - 16, rows=1, row_beats=2),
            "scratchpad bytes 262144",
        ),
        (row(Opcode.LOAD, space=Space.PARAMETERS, address=4095, rows=1, row_beats=1), "parameter entry 4096"),
        (row(Opcode.LOAD, space=Space.TABLE, address=16, rows=1, row_beats=1, count=8), "table 16 does not exist"),
        (row(Opcode.LOAD, space=7, rows=1, row_beats=1), "space 7"),
        (row(Opcode.LOAD, dram_address=1 << 20, rows=1, row_beats=1), "DRAM bytes 1048576"),
    ],
)
def test_leaving_a_memory_names_instruction_and_place(instruction: np.ndarray, message: str) -> None:
    image = Image()
    image.reserve(64)
    with pytest.raises(GatewrightError, match=rf"instruction 0 \(LOAD\).*{message}"):
        step_simulate(make_program(ARCH, [instruction], image))


def test_a_sample_of_the_wrong_size_or_type_is_an_error() -> None:
    image = Image()
    image.reserve(64)
    program = make_program(ARCH, [row(Opcode.END)], image, input_region=(16, 32))
    sample = np.arange(32, dtype=np.int8)
    np.testing.assert_array_equal(step_simulate(program, sample).dram[16:48], sample.view(np.uint8))
    for wrong in (sample[:31], sample.astype(np.int16)):
        with pytest.raises(GatewrightError, match="32 int8"):
            step_simulate(program, wrong)


def test_the_order_in_which_units_are_stepped_never_matters() -> None:
    """All units compute from the start of the cycle: any order of them gives the same trace and memories."""
    layer = Layer(tile=2, chunk_tiles=2, stationary=(Stationary.FILTERS, Stationary.PIXELS), pixel_split=6)
    build, _, _, target = layer_builder(layer)
    build.store(target.address, target.values.size, target.ready)
    program = build.program()
    expected = step_simulate(program)
    for seed in range(6):
        print(f"order seed {seed}")
        rng = np.random.default_rng(seed)
        machine = SteppedMachine(program, program.image)
        while not machine.sequencer.stopped:
            rng.shuffle(machine.steps)
            machine.step()
        assert machine.shared.clock.cycle == expected.cycles
        np.testing.assert_array_equal(machine.shared.scratchpad.bytes.view(np.uint8), expected.scratchpad)
        np.testing.assert_array_equal(machine.shared.dram.bytes, expected.dram)
        done = [i.done for i in machine.sequencer.executed]
        assert done == list(expected.trace.records["done"])
        start = [i.start for i in machine.sequencer.executed]
        assert start == list(expected.trace.records["start"])
    assert first_difference(expected.trace, step_simulate(program).trace) is None


def test_a_taken_exit_ends_the_program_once_every_unit_is_idle() -> None:
    """INDEX lists two of a mask's zeros: more than one, and not more than two."""
    arch = ArchConfig(name="4x4", rows=4, columns=4)
    index = row(Opcode.INDEX, bits=2, table=3, complement=1)
    long_store = row(Opcode.STORE, dram_address=0, address=0, beats=16)
    leave = row(Opcode.EXIT, [(Unit.INDEX, 1)], count_table=3, most=1)
    stay = row(Opcode.EXIT, [(Unit.INDEX, 1)], count_table=3, most=2)
    image = Image()
    image.reserve(256)
    result = step_simulate(make_program(arch, [index, long_store, stay, leave, index], image))
    records = result.trace.records
    assert [int(r) for r in records["instruction"]] == [0, 1, 2, 3]
    assert records["dispatch"][2] == records["done"][0] < records["done"][1] == records["dispatch"][3]
    assert result.cycles == records["done"][3] == records["done"][1] + 1
    assert [len(table) for table in result.tables[2:5]] == [0, 2, 0]


def test_loaded_tables_and_counts_come_back() -> None:
    image = Image()
    image.add(np.arange(100, 120, dtype="<u2"))
    load = row(Opcode.LOAD, space=Space.TABLE, address=5, rows=1, row_beats=3, count=19)
    tables = step_simulate(make_program(ARCH, [load], image)).tables
    assert [len(t) for t in tables] == [0] * 5 + [19] + [0] * 10
    assert tables[5].tolist() == list(range(100, 119))
