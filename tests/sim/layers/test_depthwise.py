"""EPILOGUE's kind DEPTHWISE on whole maps, against torch; its cycles, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gatewright.contract.arch import ArchConfig
from gatewright.contract.arithmetic import requantise, saturate
from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import EpilogueKind, Opcode, column
from gatewright.contract.timing import DEPTHWISE_LEAD, EPILOGUE_LATENCY
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped import step_simulate
from gatewright.verify.kit.generate.builder import Builder, Int8, Map
from gatewright.verify.kit.generate.depthwise import Depthwise, channel_entries, depthwise_values, emit_depthwise
from tests.sim.layers.both import contents, run_both


def machine(columns: int) -> ArchConfig:
    return ArchConfig(name="test", rows=4, columns=columns)


def random_depthwise(rng: np.random.Generator, channels: int, window: int, step: int, inset: int) -> Depthwise:
    kernel = rng.integers(-128, 128, (channels, window, window), dtype=np.int8)
    scale = [(int(rng.integers(-3000, 3000)), int(rng.integers(20000, 65536)), 23) for _ in kernel]
    return Depthwise(kernel, scale, step, inset, relu=bool(rng.integers(2)))


def place(build: Builder, depthwise: Depthwise, source: Int8, shape: tuple[int, int]) -> Map:
    """The instructions of one depthwise convolution, and where its result is."""
    parameter, loaded = build.load_parameters(channel_entries(depthwise))
    depthwise.waits.append(loaded)
    target = build.load_map(np.full((*shape, source.shape[2]), 99, np.int8))
    emit_depthwise(build, build.load_map(source), depthwise, parameter, target)
    return target


@pytest.mark.parametrize("columns", [4, 16, 20, 32])
@pytest.mark.parametrize(
    ("window", "step", "inset"), [(3, 1, 1), (3, 2, 1), (2, 2, 0), (1, 1, 0), (3, 1, 2), (2, 1, 1)]
)
def test_it_is_torchs_convolution_with_as_many_groups_as_channels(
    window: int, step: int, inset: int, columns: int
) -> None:
    rng = np.random.default_rng([window, step, columns])
    source = rng.integers(-128, 128, (5, 7, 37), dtype=np.int8)
    depthwise = random_depthwise(rng, 37, window, step, inset)
    depthwise.tile, depthwise.pixel_split, depthwise.channel_split = 3, 11, 23
    planes = torch.from_numpy(source.astype(np.float64)).permute(2, 0, 1)[None]
    kernel = torch.from_numpy(depthwise.kernel.astype(np.float64))[:, None]
    sums = torch.nn.functional.conv2d(planes, kernel, stride=step, padding=inset, groups=37)[0].permute(1, 2, 0)
    bias, multiplier, shift = np.array(depthwise.entries).T
    expected = saturate(requantise(sums.numpy().astype(np.int64) + bias, multiplier, shift), depthwise.relu)
    build = Builder(machine(columns))
    target = place(build, depthwise, source, expected.shape[:2])
    np.testing.assert_array_equal(contents(run_both(build.program()), target), expected)


def test_tables_pick_tiles_and_channels() -> None:
    rng = np.random.default_rng(3)
    depthwise = random_depthwise(rng, 50, 3, 1, 1)
    depthwise.tile, depthwise.tiles, depthwise.tile_table = 2, [(0, 1), (2, 0), (3, 3)], 4
    depthwise.channels, depthwise.filter_table = [0, 3, 4, 11, 31, 32, 49], 2
    build = Builder(machine(4))
    entries = [y << COORDINATE_BITS | x for y, x in depthwise.tiles]
    depthwise.waits += [build.load_table(4, entries), build.load_table(2, depthwise.channels)]
    source = rng.integers(-128, 128, (7, 7, 7), dtype=np.int8)
    target = place(build, depthwise, source, (7, 7))
    before = np.full((7, 7, 7), 99, np.int8)
    expected = depthwise_values(source, depthwise, before)
    assert (expected == before).mean() > 0.5
    np.testing.assert_array_equal(contents(run_both(build.program()), target), expected)


CYCLES = [
    # (window, step, tile, first pixel, pixels, channels, cycles) with 4 columns, by hand.
    (3, 1, 5, 0, 5, 4, 7 * 3 + 5),
    (3, 1, 5, 0, 25, 4, 5 * (7 * 3 + 5)),
    (3, 2, 5, 0, 5, 4, 11 * 3 + 5),
    (1, 1, 5, 3, 4, 1, 2 + 2 + 2 + 2),
    (3, 1, 2, 1, 3, 9, 3 * ((3 * 3 + 1) + (4 * 3 + 2)) + 3 * 5),
    (2, 2, 1, 0, 1, 5, 2 * (2 * 2 + 1) + 3),
]


@pytest.mark.parametrize(("window", "step", "tile", "first", "pixels", "channels", "cycles"), CYCLES)
def test_cycles_of_a_row_are_its_columns_and_its_results(
    window: int, step: int, tile: int, first: int, pixels: int, channels: int, cycles: int
) -> None:
    build = Builder(machine(4))
    depthwise = random_depthwise(np.random.default_rng(1), channels, window, step, 0)
    depthwise.tile = tile
    place(build, depthwise, np.zeros((12, 12, channels), np.int8), (5, 5))
    build.rows[-1:] = []
    emit = {"first_pixel": first, "pixel_count": pixels, "kind": int(EpilogueKind.DEPTHWISE)}
    emit |= {"window": window, "step": step, "tile": tile, "tile_count": 30, "out_height": 5, "out_width": 5}
    emit |= {"channels": channels, "filter_count": channels, "source_height": 12, "source_width": 12}
    build.emit(Opcode.EPILOGUE, depthwise.waits, parameters=0, destination=4096, **emit)
    trace = run_both(build.program()).trace.records
    last = trace[trace["unit"] == 4][-1]
    assert last["done"] - last["run"] == cycles + DEPTHWISE_LEAD + EPILOGUE_LATENCY


REFUSED = [
    ("window", 4, "the edge of this kind's windows is 1 to 3"),
    ("window", 0, "the edge of this kind's windows is 1 to 3"),
    ("step", 3, "with kind DEPTHWISE it is 1 to 2"),
    ("inset", 3, "the first window would lie outside of the map"),
    ("residual", 1, "residual: needs kind STORE"),
    ("pool", 1, "pool: needs kind STORE"),
    ("digits", 1, "digits: needs kind REDUCE"),
    ("compact", 1, "compact: needs a filter_table"),
    ("stationary", 1, "needs stationary filters"),
]


@pytest.mark.parametrize(("name", "value", "message"), REFUSED)
def test_what_excludes_each_other_is_refused_by_both(name: str, value: int, message: str) -> None:
    rng = np.random.default_rng(1)
    build = Builder(machine(4))
    place(build, random_depthwise(rng, 5, 3, 1, 1), rng.integers(-9, 9, (4, 4, 5), dtype=np.int8), (4, 4))
    build.rows[-1][column(Opcode.EPILOGUE, name)] = value
    program = build.program()
    with pytest.raises(GatewrightError, match=message):
        simulate(program)
    with pytest.raises(GatewrightError):
        step_simulate(program)


def test_a_machine_without_it_refuses_the_kind() -> None:
    rng = np.random.default_rng(1)
    build = Builder(ArchConfig(name="test", rows=4, columns=4, depthwise=False))
    place(build, random_depthwise(rng, 5, 3, 1, 1), rng.integers(-9, 9, (4, 4, 5), dtype=np.int8), (4, 4))
    with pytest.raises(GatewrightError, match="kind = 8 is not one of 0 to 7"):
        simulate(build.program())
    with pytest.raises(GatewrightError, match="kind 8 does not exist"):
        step_simulate(build.program())
