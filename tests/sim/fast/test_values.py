"""Reductions, gate decisions, index tables, pages, exits, samples and tensors, against plain numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from gatewright.contract.arch import MASK_BITS, MASKS, PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import EpilogueKind, Opcode, Space, Unit
from gatewright.contract.program_parts import GateRecord, Placement
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped import step_simulate
from gatewright.verify.kit.generate.operands import beats_of_vector, by_vector, parameters, slices_of
from gatewright.verify.kit.programs import Image, Row, in_sequence, make_program, row
from tests.sim.fast.convolution_case import Case, contents, draw, expected, round_scale
from tests.sim.fast.convolution_program import compile_case, load_table, set_mask

SHAPES = ["ultra96", "8x8", "4x4", "12x20"]
SCRATCHPAD_OUT = 4096


def dense(
    arch: ArchConfig,
    image: Image,
    source: npt.NDArray[np.int8],
    weights: npt.NDArray[np.int8],
    entries: list[tuple[int, int, int]],
    stationary: int,
) -> tuple[list[Row], dict[str, int]]:
    """Rows that multiply pixels [P, K] by filters [N, K] into bank 1, and the fields an EPILOGUE repeats."""
    pixels, reduction = source.shape
    filters = len(weights)
    beats = beats_of_vector(arch, reduction)
    work = {
        "stationary": stationary,
        "tile": 1,
        "tile_count": pixels,
        "pixel_count": pixels,
        "filter_count": filters,
        "accumulator": 3,
        "bank": 1,
    }
    operand = {"patch_vectors": pixels + -pixels % 4, "channels": reduction}
    rows = [
        row(Opcode.LOAD, dram_address=image.add(source), rows=1, row_beats=-(-source.size // 16)),
        row(
            Opcode.LOAD,
            space=Space.WEIGHTS_BY_VECTOR,
            dram_address=image.add(by_vector(arch, weights)),
            rows=filters,
            row_beats=beats,
            row_stride=16 * beats,
            vectors=filters + -filters % 4,
            count=slices_of(arch, reduction),
        ),
        row(
            Opcode.LOAD,
            space=Space.PARAMETERS,
            dram_address=image.add(parameters(entries)),
            rows=1,
            row_beats=-(-len(entries) // 2),
        ),
        row(
            Opcode.GATHER,
            height=1,
            width=pixels,
            kernel_height=1,
            kernel_width=1,
            stride=1,
            out_width=pixels,
            tile=1,
            tile_count=pixels,
            **operand,
        ),
        row(Opcode.MATMUL, weight_vectors=filters + -filters % 4, taps=1, slice_count=1000, **operand, **work),
    ]
    return rows, work


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("raw", [False, True])
def test_reduce(shape: str, raw: bool) -> None:
    """The sum over pixels, requantised to int8 or raw as int32."""
    for seed in range(8):
        print(f"seed {seed}")
        rng = np.random.default_rng(seed)
        arch = PRESETS[shape]
        pixels, reduction, filters = int(rng.integers(1, 17)), int(rng.integers(1, 40)), int(rng.integers(1, 30))
        source = rng.integers(-128, 128, (pixels, reduction)).astype(np.int8)
        weights = rng.integers(-128, 128, (filters, reduction)).astype(np.int8)
        entries = [(int(rng.integers(-99999, 99999)), int(rng.integers(1, 65536)), 24) for _ in range(filters)]
        relu = int(rng.integers(0, 2))
        image = Image()
        rows, work = dense(arch, image, source, weights, entries, 0)
        rows.append(row(Opcode.EPILOGUE, kind=2 if raw else 1, destination=SCRATCHPAD_OUT, relu=relu, **work))
        result = simulate(make_program(arch, in_sequence(rows), image), audit=True)
        sums = (source.astype(int) @ weights.astype(int).T).sum(axis=0) + [bias for bias, _, _ in entries]
        if raw:
            got = result.scratchpad[SCRATCHPAD_OUT : SCRATCHPAD_OUT + 4 * filters].view("<i4")
            assert got.tolist() == sums.tolist()
        else:
            got = result.scratchpad[SCRATCHPAD_OUT : SCRATCHPAD_OUT + filters].view(np.int8)
            scaled = [round_scale(int(total), m, s) for total, (_, m, s) in zip(sums, entries, strict=True)]
            assert got.tolist() == [max(-128 * (1 - relu), min(127, value)) for value in scaled]
        assert not result.scratchpad[SCRATCHPAD_OUT + (4 if raw else 1) * filters :].any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pixels_stand", [False, True])
def test_threshold_and_index(shape: str, pixels_stand: bool) -> None:
    """Decisions are sum + bias >= 0; INDEX lists them, or the rest, as numbers or as (y, x)."""
    for seed in range(8):
        print(f"seed {seed}")
        rng = np.random.default_rng(seed)
        arch = PRESETS[shape]
        count, reduction, grid = int(rng.integers(1, 90)), int(rng.integers(1, 40)), int(rng.integers(1, 12))
        many = rng.integers(-9, 10, (count, reduction)).astype(np.int8)
        one = rng.integers(-9, 10, (1, reduction)).astype(np.int8)
        sums = many.astype(int) @ one[0].astype(int)
        # Half of the biases put the sum on the boundary, where the gate is on, or just below it.
        choice = [-int(total) - int(rng.integers(0, 2)) if rng.random() < 0.5 else 0 for total in sums]
        biases = [choice[0]] if pixels_stand else choice
        image = Image()
        source, weights = (many, one) if pixels_stand else (one, many)
        rows, work = dense(arch, image, source, weights, [(bias, 0, 0) for bias in biases], int(pixels_stand))
        first = 3 * MASK_BITS + 37
        rows.append(row(Opcode.EPILOGUE, kind=3, destination=first, **work))
        bits = 37 + count - int(rng.integers(0, 2))
        rows.append(row(Opcode.INDEX, mask=3, bits=bits, table=1))
        rows.append(row(Opcode.INDEX, mask=3, bits=bits, table=4, complement=1))
        rows.append(row(Opcode.INDEX, mask=3, bits=bits, table=0, grid_width=grid))
        result = simulate(make_program(arch, in_sequence(rows), image), audit=True)
        want = np.zeros((MASKS, MASK_BITS), bool)
        want[3, 37 : 37 + count] = sums + (biases[0] if pixels_stand else np.array(choice)) >= 0
        np.testing.assert_array_equal(result.masks, want)
        ones = [bit for bit in range(bits) if want[3, bit]]
        assert result.tables[1].tolist() == ones
        assert result.tables[4].tolist() == [bit for bit in range(bits) if not want[3, bit]]
        assert result.tables[0].tolist() == [256 * (bit // grid) + bit % grid for bit in ones]
        assert len(result.tables[2]) == 0
        # An empty word costs a cycle, others one for each four bits with an entry.
        listed = [
            [want[3, g : min(g + 4, w + 16, bits)].any() for g in range(w, min(w + 16, bits), 4)]
            for w in range(0, bits, 16)
        ]
        assert result.work["cycles"][-4] == sum(max(1, sum(groups)) for groups in listed)


def test_a_raw_total_is_the_low_32_bits() -> None:
    """2**31 - 1 and one more."""
    arch = PRESETS["ultra96"]
    image = Image()
    source, weights = np.array([[1]], np.int8), np.array([[1]], np.int8)
    rows, work = dense(arch, image, source, weights, [(2**31 - 1, 1, 1)], 0)
    rows.append(row(Opcode.EPILOGUE, kind=2, destination=SCRATCHPAD_OUT, **work))
    result = simulate(make_program(arch, in_sequence(rows), image))
    assert int(result.scratchpad[SCRATCHPAD_OUT : SCRATCHPAD_OUT + 4].view("<i4")[0]) == -(2**31)


@pytest.mark.parametrize(("bias", "pixel"), [(2**31 - 1, 100), (-(2**31), -100)])
def test_a_bias_is_added_without_a_loss(bias: int, pixel: int) -> None:
    """A sum beyond int32 saturates, and decides, as what it is; both simulators say so."""
    for kind in (EpilogueKind.STORE, EpilogueKind.REDUCE, EpilogueKind.THRESHOLD):
        image = Image()
        source, weights = np.array([[pixel]], np.int8), np.array([[100]], np.int8)
        rows, work = dense(PRESETS["4x4"], image, source, weights, [(bias, 1, 30)], 0)
        where = 64 if kind == EpilogueKind.THRESHOLD else SCRATCHPAD_OUT
        rows.append(row(Opcode.EPILOGUE, kind=kind, destination=where, out_height=1, out_width=1, channels=1, **work))
        program = make_program(PRESETS["4x4"], in_sequence(rows), image)
        for result in (simulate(program), step_simulate(program)):
            value = int(result.scratchpad[SCRATCHPAD_OUT : SCRATCHPAD_OUT + 1].view(np.int8)[0])
            decision = bool(result.masks.reshape(-1)[64])
            if kind == EpilogueKind.THRESHOLD:
                assert decision == (bias > 0)
            else:
                assert value == (2 if bias > 0 else -2), kind.name


def test_store_sample_and_logits() -> None:
    """A sample enters a private copy of the image, STORE brings it out, and logits are the output region."""
    arch = PRESETS["ultra96"]
    image = Image()
    image.reserve(64)
    rows = [
        row(Opcode.LOAD, dram_address=0, address=100, rows=1, row_beats=2),
        row(Opcode.STORE, [(Unit.LOAD, 1)], dram_address=32, address=96, beats=2),
    ]
    program = make_program(arch, rows, image, input_region=(0, 24), output_region=(40, 8))
    sample = np.arange(-12, 12, dtype=np.int8).reshape(2, 4, 3)
    before = program.image.copy()
    result = simulate(program, sample)
    np.testing.assert_array_equal(program.image, before)
    moved = bytes(4) + sample.tobytes() + bytes(4)
    assert result.dram[32:64].tobytes() == moved
    assert result.logits.tolist() == np.frombuffer(moved[8:16], "<i4").tolist()
    with pytest.raises(GatewrightError, match=r"sample: int8 \[2, 4\] is not the 24 int8 values of region 'input'"):
        simulate(program, sample[:, :, 0])
    with pytest.raises(GatewrightError, match="sample: uint8"):
        simulate(program, sample.view(np.uint8))


@pytest.mark.parametrize("on", [False, True])
def test_early_exit(on: bool) -> None:
    """EXIT ends the program where its table has an entry too many, after every unit is idle; else it goes on."""
    arch, image = PRESETS["ultra96"], Image()
    mark = image.add(bytes([7] * 16))
    rows = in_sequence(
        [
            *set_mask(arch, image, 2, np.array([False, False, on])),
            row(Opcode.INDEX, mask=2, bits=3, table=5),
            row(Opcode.EXIT, count_table=5, most=0),
            row(Opcode.LOAD, dram_address=mark, rows=1, row_beats=1),
        ]
    )
    # A STORE that is under way when the exit is taken ends first.
    rows.insert(-2, row(Opcode.STORE, [(Unit.EPILOGUE, 2)], dram_address=0, beats=0))
    result = simulate(make_program(arch, rows, image))
    store = result.trace.records[len(rows) - 3]
    assert result.scratchpad[0] == (0 if on else 7)
    assert len(result.trace.records) == (len(rows) - 1 if on else len(rows) + 1)
    assert result.cycles >= store["done"] + 1
    if on:
        assert result.cycles == store["done"] + 1


@pytest.mark.parametrize("skipped", [False, True])
def test_a_gate_that_a_skip_leaves_out_is_observed_as_all_off(skipped: bool) -> None:
    arch, image = PRESETS["ultra96"], Image()
    rows = in_sequence(
        [
            *set_mask(arch, image, 2, np.array([True, False, True])),
            row(Opcode.SKIP, instructions=int(skipped)),
            row(Opcode.INDEX, mask=2, bits=3, table=5),
        ]
    )
    gate = GateRecord("gate", "channel", 2, 3, (), (), len(rows) - 1)
    program = replace(make_program(arch, rows, image), gates=[gate], live=True)
    assert simulate(program, observe=True).gates["gate"].tolist() == ([False] * 3 if skipped else [True, False, True])


def test_pages_give_the_same_values_as_one() -> None:
    """A program cut into pages of 7 writes the same bytes, and every unit instruction does the same work."""
    case = draw(PRESETS["8x8"], 31)
    data = contents(case)
    whole, paged = simulate(compile_case(case, data).program), simulate(compile_case(case, data, 7).program)
    np.testing.assert_array_equal(whole.scratchpad, paged.scratchpad)
    assert paged.cycles > whole.cycles
    kept = [int(Opcode.GATHER), int(Opcode.MATMUL), int(Opcode.EPILOGUE)]
    for opcode in kept:
        a, b = (result.work[result.work["opcode"] == opcode] for result in (whole, paged))
        assert len(a) and (a == b).all()


def test_observed_tensors() -> None:
    """A placement's bytes are those right after its last write, compact maps with the gate's channels."""
    base = draw(PRESETS["ultra96"], 5)
    case: Case = replace(
        base, filters=20, filters_on=(1, 4, 5, 17), compact=True, tiles_on=None, source_on=None, channels_on=None
    )
    data = contents(case)
    compiled = compile_case(case, data)
    program = compiled.program
    address = compiled.output[0]
    shape = (case.out_height, case.out_width, 20)
    last = max(i for i in range(len(program.code)) if program.code[i, 0] == Opcode.EPILOGUE)
    decision = tuple(int(f in (1, 4, 5, 17)) for f in range(20))
    program.gates.append(GateRecord("gate", "channel", 0, 20, decision, (1, 4, 5, 17), len(program.code)))
    program.placements += [
        Placement("after", "compact", address, *shape, last, channel_gate="gate"),
        Placement("before", "map", address, case.out_height, case.out_width, 4, 3),
        Placement("source", "map", 32, case.height, case.width, case.channels, 0),
        Placement("words", "logits", 32, 1, 1, 4, 0),
        Placement("never", "map", 32, 1, 1, 4, len(program.code) + 5),
    ]
    tensors = simulate(program, observe=True).tensors
    assert sorted(tensors) == ["after", "before", "source", "words"]
    np.testing.assert_array_equal(tensors["after"], expected(case, data)[0])
    np.testing.assert_array_equal(tensors["before"], data.before)
    np.testing.assert_array_equal(tensors["source"], data.source)
    assert tensors["words"].tolist() == np.frombuffer(data.source.tobytes()[:16], "<i4").tolist()
    assert simulate(program).tensors == {}


def test_observed_gates() -> None:
    """A gate's mask is collected when its INDEX has read it; one that differs from the compiled one is refused."""
    arch, image = PRESETS["ultra96"], Image()
    bits = np.array([True, False, True, True])
    rows = in_sequence([*set_mask(arch, image, 2, bits), row(Opcode.INDEX, mask=2, bits=4, table=0)])
    program = make_program(arch, rows, image)
    record = GateRecord("first", "channel", 2, 4, (1, 0, 1, 1), (0, 2, 3), len(rows) - 1)
    program.gates.append(record)
    np.testing.assert_array_equal(simulate(program, observe=True).gates["first"], bits)
    program.gates[0] = replace(record, decision=(1, 1, 1, 1))
    with pytest.raises(GatewrightError, match="gate first: 1 of 4 decisions differ"):
        simulate(program, observe=True)


def test_useful_macs_follow_the_tables() -> None:
    """P * N * covered reduction elements, summed over slices, is the convolution's own count."""
    case = replace(
        draw(PRESETS["12x20"], 9), by_reduction=True, channels=21, channels_on=(0, 3, 20), filters=20,
        filters_on=(2, 3, 11), tiles_on=(0,), source_on=None, compact=False, residual=False, pool=False,
    )  # fmt: skip
    work = simulate(compile_case(case, contents(case)).program).work
    assert work["macs"].sum() == case.tile**2 * 3 * case.kernel**2 * 3


def test_table_from_dram_serves_like_an_index() -> None:
    """A table of many rows lands whole, with its count."""
    arch, image = PRESETS["ultra96"], Image()
    entries = np.random.default_rng(3).integers(0, 65536, 77).tolist()
    result = simulate(make_program(arch, [load_table(image, 6, entries)], image))
    assert result.tables[6].tolist() == entries
