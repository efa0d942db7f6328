"""EPILOGUE's kinds MAX and AVERAGE on whole maps, against torch and plain sums; their cycles, by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from gatewright.contract.arch import ArchConfig
from gatewright.contract.arithmetic import requantise, saturate
from gatewright.contract.isa import EpilogueKind, Opcode, Space
from gatewright.contract.program import Program
from gatewright.sim.fast.machine import simulate
from gatewright.verify.kit.generate.builder import Builder, Map
from gatewright.verify.kit.generate.operands import parameters
from gatewright.verify.kit.generate.windows import Windows, emit_windows
from tests.sim.layers.both import contents, run_both

MAX, AVERAGE, DIGITS = EpilogueKind.MAX, EpilogueKind.AVERAGE, EpilogueKind.DIGITS
MACHINES = [(4, 4), (8, 8), (16, 16), (12, 20), (5, 32)]


def machine(shape: tuple[int, int]) -> ArchConfig:
    return ArchConfig(name="test", rows=shape[0], columns=shape[1])


def pooling(
    source: npt.NDArray[np.int8], windows: Windows, shape: tuple[int, int], columns: int
) -> tuple[Program, Map]:
    """A program that does nothing but pool a map, and where the result is."""
    build = Builder(machine((4, columns)))
    source_map = build.load_map(source)
    target = build.load_map(np.full((*shape, source.shape[2]), 99, np.int8))
    raw = parameters([windows.entry])
    entry = {"space": Space.PARAMETERS, "rows": 1, "row_beats": 1, "dram_address": build.image.add(raw)}
    loaded = build.emit(Opcode.LOAD, **entry)
    emit_windows(build, source_map, windows, 0, target, [loaded])
    return build.program(), target


@pytest.mark.parametrize("columns", [4, 16, 20, 32])
@pytest.mark.parametrize(("window", "step", "padding"), [(3, 2, 1), (2, 2, 0), (3, 1, 1), (5, 3, 2), (1, 2, 0)])
def test_max_is_torchs_max_pool(window: int, step: int, padding: int, columns: int) -> None:
    rng = np.random.default_rng([window, step, columns])
    source = rng.integers(-128, 128, (9, 10, 37), dtype=np.int8)
    planes = torch.from_numpy(source.astype(np.float32)).permute(2, 0, 1)
    expected = torch.nn.functional.max_pool2d(planes, window, step, padding).permute(1, 2, 0).numpy().astype(np.int8)
    windows = Windows(MAX, window, step, padding, channel_split=13, pixel_split=9)
    program, target = pooling(source, windows, expected.shape[:2], columns)
    np.testing.assert_array_equal(contents(run_both(program), target), expected)


@pytest.mark.parametrize("entry", [(0, 40000, 20), (0, 65535, 15), (0, 0, 1), (0, 3, 4)])
def test_average_is_the_requantised_sum_and_places_outside_are_0(entry: tuple[int, int, int]) -> None:
    source = np.random.default_rng(5).integers(-128, 128, (5, 4, 7), dtype=np.int8)
    program, target = pooling(source, Windows(AVERAGE, 3, 2, 1, entry), (3, 2), 4)
    padded = np.pad(source.astype(np.int64), ((1, 2), (1, 2), (0, 0)))
    sums = np.stack([[padded[2 * y : 2 * y + 3, 2 * x : 2 * x + 3].sum((0, 1)) for x in range(2)] for y in range(3)])
    expected = saturate(requantise(sums, entry[1], entry[2]), False)
    np.testing.assert_array_equal(contents(run_both(program), target), expected)


def test_windows_beyond_the_map_have_the_least_value_or_0() -> None:
    source = np.full((2, 2, 3), -100, np.int8)
    for kind, outside in ((MAX, -128), (AVERAGE, 0)):
        program, target = pooling(source, Windows(kind, 1, 3), (3, 2), 4)
        expected = np.full((3, 2, 3), outside, np.int8)
        expected[0, 0] = -100
        np.testing.assert_array_equal(contents(run_both(program), target), expected)


def test_pixels_below_the_output_map_are_not_written() -> None:
    source = np.ones((4, 4, 2), np.int8)
    program, target = pooling(source, Windows(MAX, 2, 2, beyond=3), (2, 2), 4)
    result = run_both(program)
    np.testing.assert_array_equal(contents(result, target), np.ones((2, 2, 2), np.int8))
    assert not result.scratchpad[target.address + 8 :][:8].any()


def test_other_channels_are_left_alone() -> None:
    source = np.random.default_rng(1).integers(-128, 128, (3, 3, 11), dtype=np.int8)
    program, target = pooling(source, Windows(MAX, 3, 1, channel_split=11), (1, 1), 4)
    column = {name: program.code[:, i] for i, name in enumerate(["opcode"])}["opcode"]
    assert (column == Opcode.EPILOGUE).sum() == 1
    result = run_both(program)
    np.testing.assert_array_equal(contents(result, target)[0, 0], source.max((0, 1)))


WINDOWS = [
    # (kind, window, channels, pixels, cycles) with 4 columns: blocks * pixels * (window^2 + writes)
    (MAX, 3, 4, 6, 1 * 6 * 10),
    (MAX, 1, 5, 7, 2 * 7 * 2),
    (AVERAGE, 2, 9, 3, 3 * 3 * 5),
    (DIGITS, 1, 1, 9, 1 * 9 * 3),
    (DIGITS, 11, 6, 2, 2 * 2 * 123),
    (MAX, 31, 1, 1, 962),
    (MAX, 2, 4, 0, 0),
]


@pytest.mark.parametrize(("kind", "window", "channels", "pixels", "cycles"), WINDOWS)
def test_a_cycle_for_each_place_of_a_window_and_each_write(
    kind: EpilogueKind, window: int, channels: int, pixels: int, cycles: int
) -> None:
    source = np.zeros((window, window + max(0, pixels - 1), channels), np.int8)
    build = Builder(machine((4, 4)))
    source_map, loaded = build.load_map(source), build.emit(Opcode.LOAD, space=Space.PARAMETERS, rows=1, row_beats=1)
    build.image.add(parameters([(0, 2, 1)]))
    sizes = {"tile": 1, "tile_count": pixels, "pixel_count": 1000, "filter_count": channels, "channels": channels}
    shape = {"source_height": source.shape[0], "source_width": source.shape[1], "out_height": 1, "out_width": 9}
    at = {"source": source_map.address, "destination": 8192, "parameters": 1}
    build.emit(Opcode.EPILOGUE, [loaded], kind=kind, window=window, step=1, **sizes, **shape, **at)
    program = build.program()
    image = program.image.copy()
    image[:16] = np.frombuffer(parameters([(0, 2, 1)]), np.uint8)
    records = simulate(program.__class__(**{**vars(program), "image": image})).trace.records
    epilogue = records[2]
    assert epilogue["done"] - epilogue["run"] == cycles + 15 if cycles else epilogue["done"] == epilogue["run"] + 15
    # Nothing is read before the run but the address is multiplied out: r = s + 10, or as the waits are met.
    assert epilogue["run"] == max(epilogue["start"] + (10 if cycles else 0), records[1]["done"])


@pytest.mark.parametrize("kind", [MAX, AVERAGE, DIGITS])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 7, 8, 11])
def test_no_read_is_late(kind: EpilogueKind, window: int) -> None:
    """Blocks of one channel and of several, places outside: a slot whose bytes are not there stops the model."""
    source = np.random.default_rng(window).integers(-128, 128, (window + 2, window + 3, 9), dtype=np.int8)
    for inset in {0, window // 2, window - 1}:
        for step in {1, window}:
            windows = Windows(kind, window, step, inset, channel_split=9)
            program, _ = pooling(source, windows, (3, 3) if kind != DIGITS else (3, 6), 4)
            run_both(program)
