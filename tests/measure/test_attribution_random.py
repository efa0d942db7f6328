"""Attribution against the simulator: whatever runs, every cycle finds exactly one cause."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from gatewright.contract.arch import PRESETS, ArchConfig, DramConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import EpilogueKind, Opcode, Space, Unit
from gatewright.contract.program import Program
from gatewright.measure.causes import Cause
from gatewright.measure.records import record_run
from gatewright.measure.traffic import dram_traffic
from gatewright.measure.waterfall import attribute, stream_span
from gatewright.sim.fast.machine import simulate, simulate_images
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.generate.random_images import random_images
from gatewright.verify.kit.programs import Image, Row, make_program, row

_UNITS = {
    Opcode.LOAD: Unit.LOAD,
    Opcode.GATHER: Unit.GATHER,
    Opcode.MATMUL: Unit.ARRAY,
    Opcode.EPILOGUE: Unit.EPILOGUE,
    Opcode.INDEX: Unit.INDEX,
    Opcode.STORE: Unit.STORE,
}


def _instruction(rng: np.random.Generator, opcode: Opcode, waits: list[tuple[Unit, int]]) -> Row:
    """A legal instruction of random size; values do not matter here."""
    tile, stationary = int(rng.integers(1, 3)), int(rng.integers(2))
    tiles = {"tile": tile, "tile_count": int(rng.integers(0, 6))}
    if opcode == Opcode.LOAD:
        return row(
            opcode, waits, space=Space.SCRATCHPAD, rows=int(rng.integers(0, 4)), row_beats=int(rng.integers(1, 9)),
            row_stride=128,
        )  # fmt: skip
    if opcode == Opcode.GATHER:
        return row(
            opcode, waits, height=8, width=8, channels=int(rng.integers(0, 9)), kernel_height=3, kernel_width=3,
            stride=1, padding_y=1, padding_x=1, out_width=8, patch_vectors=32, source=1024, **tiles,
        )  # fmt: skip
    sizes = {"filter_count": int(rng.integers(0, 10)), "pixel_count": int(rng.integers(0, 21)), **tiles}
    if opcode == Opcode.MATMUL:
        return row(
            opcode, waits, stationary=stationary, patch_vectors=32, weight_vectors=12, taps=9,
            channels=int(rng.integers(0, 9)), slice_count=int(rng.integers(0, 20)), **sizes,
        )  # fmt: skip
    if opcode == Opcode.EPILOGUE:
        return row(
            opcode, waits, kind=EpilogueKind.STORE, stationary=stationary, destination=2048, out_height=8,
            out_width=8, channels=16, **sizes,
        )  # fmt: skip
    if opcode == Opcode.INDEX:
        return row(opcode, waits, bits=int(rng.integers(1, 200)), table=int(rng.integers(2)), complement=1)
    return row(opcode, waits, dram_address=0, address=0, beats=int(rng.integers(1, 9)))


def random_program(seed: int) -> Program:
    """Sixty instructions with random waits on earlier ones, on a random small machine."""
    rng = np.random.default_rng(seed)
    arch = ArchConfig(
        name="random",
        rows=4,
        columns=4,
        load_vectors=int(rng.choice([1, 2, 4])),
        instruction_entries=64,
        queue_depth=int(rng.integers(2, 6)),
        dram=DramConfig(latency=int(rng.integers(2, 40)), outstanding=int(rng.integers(1, 5))),
    )
    counts = dict.fromkeys(_UNITS.values(), 0)
    counts[Unit.LOAD] = 1
    image = Image()
    parameters = image.add(np.tile(np.array([0, 0, 0, 0, 1, 0, 1, 0], np.uint8), 16))  # multiplier 1, shift 1
    image.reserve(2048)
    rows = [row(Opcode.LOAD, space=Space.PARAMETERS, dram_address=parameters, rows=1, row_beats=8)]
    for _ in range(60):
        opcode = list(_UNITS)[rng.integers(len(_UNITS))]
        units = [unit for unit in counts if counts[unit] and rng.random() < 0.4][:3]
        waits = [(unit, int(rng.integers(max(1, counts[unit] - 3), counts[unit] + 1))) for unit in units]
        rows.append(_instruction(rng, opcode, waits))
        counts[_UNITS[opcode]] += 1
    program = make_program(arch, rows, image, page_size=int(rng.integers(12, 33)))
    names = [f"layer{rng.integers(4)}" for _ in program.code]
    kinds = {f"layer{n}": kind for n, kind in enumerate(("gated", "ungated", "gate", "control"))}
    return replace(program, layers=names, layer_kinds=kinds, macs=dict.fromkeys(kinds, 10**9))


@pytest.mark.parametrize("seed", range(40))
def test_the_parts_of_any_run_sum_to_its_cycles(seed: int) -> None:
    print(f"seed {seed}")
    program = random_program(seed)
    result = simulate(program)
    peak = program.arch.peak_macs
    found = attribute(program, result)
    assert sum(sum(parts.values()) for parts in found.parts.values()) == result.cycles * peak
    assert sum(sum(held.values()) for held in found.held.values()) == result.cycles
    for layer, parts in found.parts.items():
        assert sum(found.held[layer].values()) * peak == sum(parts.values())
    useful = sum(parts.get(Cause.USEFUL, 0) for parts in found.parts.values())
    assert useful == int(result.work["macs"].sum())
    spans = [stream_span(program, result.trace, result.work, i) for i in range(len(result.work))]
    streams = [span for i, span in enumerate(spans) if result.work["opcode"][i] == Opcode.MATMUL and span]
    assert sum(found.array_cycles.values()) == sum(end - begin for begin, end in streams)
    assert all(before[1] <= after[0] for before, after in pairwise(streams))
    run = record_run(program, result)
    assert sum(layer.cycles for layer in run.layers) == run.cycles == result.cycles
    code_bytes = program.boot_count * 48
    stored = int(result.work["bytes"][result.work["opcode"] == Opcode.STORE].sum())
    traffic = dram_traffic(program, result)
    assert traffic.read == sum(layer.dram_bytes for layer in run.layers) and traffic.written == stored
    assert sum(layer.dram_bytes for layer in run.layers) == code_bytes + int(
        result.work["bytes"][result.work["opcode"] == Opcode.LOAD].sum()
    )


def _serial(latency: int, wait_for_load: bool = True) -> Program:
    """A LOAD, a GATHER and a MATMUL one after another, an INDEX, a GATHER that waits for it, and a MATMUL."""
    arch = replace(PRESETS["4x4"], dram=DramConfig(latency=latency))
    gather = {
        "height": 8, "width": 8, "channels": 4, "kernel_height": 3, "kernel_width": 3,
        "stride": 1, "padding_y": 1, "padding_x": 1,
        "out_width": 8, "patch_vectors": 32, "tile": 2, "tile_count": 4, "source": 1024,
    }  # fmt: skip
    matmul = {
        "patch_vectors": 32, "weight_vectors": 12, "taps": 9, "channels": 4, "slice_count": 9, "tile": 2,
        "tile_count": 4, "pixel_count": 16, "filter_count": 8,
    }  # fmt: skip
    rows = [
        row(Opcode.LOAD, space=Space.SCRATCHPAD, rows=1, row_beats=32),
        row(Opcode.GATHER, [(Unit.LOAD, 1)] if wait_for_load else [], **gather),
        row(Opcode.MATMUL, [(Unit.GATHER, 1)], **matmul),
        row(Opcode.INDEX, [(Unit.ARRAY, 1)], bits=160, complement=1),
        row(Opcode.GATHER, [(Unit.INDEX, 1)], **gather),
        row(Opcode.MATMUL, [(Unit.GATHER, 2)], **matmul),
    ]
    image = Image()
    image.reserve(1024)
    program = make_program(arch, rows, image)
    return replace(program, macs={"program": 10**9})


def _causes(program: Program) -> dict[Cause, float]:
    """Cycles by cause over all layers."""
    result = simulate(program)
    total = dict.fromkeys(Cause, 0.0)
    for parts in attribute(program, result).parts.values():
        for cause, slots in parts.items():
            total[cause] += slots / program.arch.peak_macs
    return total


def test_slower_dram_lengthens_the_dram_stalls_and_nothing_else() -> None:
    fast, slow = _causes(_serial(10)), _causes(_serial(60))
    changed = {cause: slow[cause] - fast[cause] for cause in Cause if slow[cause] != fast[cause]}
    assert changed == {Cause.DRAM: 2 * 50}  # the boot page and the LOAD


def test_a_load_that_nothing_waits_for_stalls_nothing() -> None:
    # 5 to the address, 16 of latency, 32 beats at 3 in 4 cycles, 8 behind them: gone once the gather need not wait.
    waited, ahead = _causes(_serial(16)), _causes(_serial(16, wait_for_load=False))
    assert waited[Cause.DRAM] - ahead[Cause.DRAM] == 5 + 16 + 43 + 8
    assert waited[Cause.PIPELINE] == ahead[Cause.PIPELINE]


def test_index_building_is_what_the_index_unit_takes() -> None:
    assert _causes(_serial(16))[Cause.INDEX] == 40 + 12  # four of 160 entries a cycle, and the unit's latency


def test_what_a_skip_leaves_out_is_in_the_parts() -> None:
    """Every cycle has its cause in programs whose tables decide what is left out; those of pages too."""
    taken = 0
    for seed in range(16):
        print(f"seed {seed}")
        _, program = random_corners(seed, PRESETS["4x4"])
        program = replace(program, macs={"program": 10**9})
        result = simulate(program)
        found = attribute(program, result)
        assert sum(sum(parts.values()) for parts in found.parts.values()) == result.cycles * program.arch.peak_macs
        taken += len(result.left_out) > 0
    assert taken > 3


def test_a_run_of_several_images_is_refused() -> None:
    case = random_images(1, PRESETS["4x4"])
    assert case.images.count > 1
    with pytest.raises(GatewrightError, match="one image at a time"):
        attribute(case.program, simulate_images(case.program, case.dram, case.images))


def test_the_sequencers_own_instructions_are_explained_by_their_turn_or_their_waits() -> None:
    load = row(Opcode.LOAD, space=Space.SCRATCHPAD, rows=1, row_beats=8)
    first = [(Unit.LOAD, 1)]
    end, held_end = row(Opcode.END), row(Opcode.END, first)
    leave, held_exit = row(Opcode.EXIT), row(Opcode.EXIT, first)
    store = row(Opcode.STORE, first, beats=8)
    image = Image()
    image.reserve(1024)
    for rows in (
        [end],
        [leave, leave, end],
        [load, end],
        [load, held_end],
        [load, leave, held_exit, end],
        [load, leave, held_exit, leave, held_end],
        [load, leave, held_exit, load, held_end],
        [row(Opcode.SKIP), end],
        [load, row(Opcode.SKIP, instructions=3), store, held_exit, load, held_end],
        [load, load, store, row(Opcode.SKIP, instructions=2), row(Opcode.STORE, beats=8), load, load, end],
        [load, row(Opcode.INDEX, complement=1, bits=9), row(Opcode.SKIP, [(Unit.INDEX, 1)], count_table=0), load, end],
    ):
        program = replace(make_program(PRESETS["4x4"], rows, image), macs={"program": 10**9})
        result = simulate(program)
        found = attribute(program, result)
        total = sum(sum(parts.values()) for parts in found.parts.values())
        assert total == result.cycles * program.arch.peak_macs
