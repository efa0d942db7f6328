"""Coverage of programs: without what held it an instruction begins earlier, and what was not reached is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import FORMATS, QUEUED_UNITS, WAITS, Opcode, Unit
from gatewright.contract.program import Program
from gatewright.sim.fast.machine import simulate
from gatewright.verify.expectations import expect
from gatewright.verify.kit import cases
from gatewright.verify.kit.check import small
from gatewright.verify.kit.coverage.coverage import ANY, Coverage, Memory
from gatewright.verify.kit.coverage.edges import EDGES
from gatewright.verify.kit.coverage.executed import executed
from gatewright.verify.kit.coverage.held import Held, held
from gatewright.verify.kit.coverage.impossible import why_no_edge, why_not_held
from gatewright.verify.kit.coverage.text import text_of
from gatewright.verify.kit.generate.builder import Builder, Map
from gatewright.verify.kit.generate.layers import Layer, emit_conv
from gatewright.verify.kit.generate.random_crossings import random_crossings
from gatewright.verify.kit.generate.random_traffic import shared
from gatewright.verify.kit.programs import make_program, row, with_code
from tests.verify.case import copy_program

ARCH = small(PRESETS["4x4"])


def covered(*programs: Program) -> Coverage:
    coverage = Coverage(programs[0].arch)
    for program in programs:
        coverage.add(expect(program, writes=False))
    return coverage


def holds(coverage: Coverage, opcode: Opcode) -> dict[str, int]:
    """What held an opcode, and how often."""
    return {held: count for held in Held if (count := coverage.count(opcode, held))}


def test_what_each_instruction_of_a_small_program_waited_for() -> None:
    coverage = covered(copy_program(1))
    assert holds(coverage, Opcode.LOAD) == {Held.PAGE: 1, Held.STORE: 1}
    assert holds(coverage, Opcode.STORE) == {Held.LOAD: 2}
    assert holds(coverage, Opcode.END) == {Held.IDLE_STORE: 1}
    assert coverage.count(Opcode.LOAD, edge="to SCRATCHPAD") == 2
    assert coverage.instructions == 5


def test_a_full_queue_stops_the_sequencer() -> None:
    arch = replace(ARCH, queue_depth=2)
    rows = [row(Opcode.STORE, dram_address=0, address=0, beats=4) for _ in range(5)]
    coverage = covered(make_program(arch, rows, np.zeros(64, np.uint8)))
    # The first one is decoded in its queue: from the third one on each comes in when one is taken.
    assert holds(coverage, Opcode.STORE) == {Held.PAGE: 1, Held.UNIT: 4, Held.QUEUE: 3}


def without_wait(program: Program, instruction: int, wait: int) -> Program:
    code = program.code.copy()
    code[instruction, 1 + 2 * wait : 3 + 2 * wait] = 0
    return with_code(program, code)


@pytest.mark.parametrize(
    ("kind", "seed"), [("layers", 3), ("corners", 0), ("corners", 11), ("waits", 3), ("waits", 4), ("traffic", 2)]
)
def test_an_instruction_goes_on_earlier_without_what_held_it_and_without_nothing_else(kind: str, seed: int) -> None:
    """Each wait of some instructions is taken away: only if it alone held them they begin in an earlier cycle."""
    arch = shared(ARCH) if kind == "traffic" else ARCH
    program = cases.case(kind, seed, arch).program
    run = simulate(program).trace.records
    found = list(held(arch, executed(expect(program, writes=False))))
    assert len(found) == len(run)
    tried: Counter[bool] = Counter()
    names = [f.name for f in Held]
    for position in np.random.default_rng(seed).permutation(len(run))[:120]:
        one, conditions = found[position]
        waits = list(one.waits())
        for wait in range(WAITS):
            unit = int(one.row[1 + 2 * wait])
            if not unit or [u for u, _ in waits].count(unit) > 1:
                continue
            name = next(u.name for u, _ in waits if u == unit)
            alone = conditions - {Held.QUEUE} == {Held[name]} and name in names
            changed = without_wait(program, int(run[position]["instruction"]), wait)
            moved = int(simulate(changed).trace.records[position]["run"])
            assert (moved < run[position]["run"]) == alone, (kind, seed, position, name, conditions)
            tried[alone] += 1
    print(kind, seed, tried)
    assert min(tried[True], tried[False]) > 5


def convolution(tiles: list[tuple[int, int]] | None) -> Program:
    """A map of 5 x 5 pixels in tiles of 2 x 2, a row of tiles a chunk, or those that a table lists."""
    build, rng = Builder(ARCH), np.random.default_rng(5)
    source = build.load_map(rng.integers(-128, 128, (5, 5, 3), dtype=np.int8))
    filters = build.load_filters(rng.integers(-128, 128, (4, 1, 1, 3), dtype=np.int8), [(0, 1, 1)] * 5, False)
    layer, extra = Layer(padding=0, tile=2, chunk_tiles=3), [*filters.ready]
    if tiles is not None:
        layer.tiles, layer.tile_table, layer.live = tiles, 1, True
        extra.append(build.load_table(1, [y << 8 | x for y, x in tiles]))
    target = Map(build.room(100), np.zeros((5, 5, 4), np.int8))
    emit_conv(build, source, filters, layer, target, extra)
    return build.program((build.store(target.address, 100, target.ready), 100))


@pytest.mark.parametrize(
    ("tiles", "expected"),
    [
        (None, {"tile cut at the right": 3, "tile cut below": 1, "tile cut in the corner": 1}),
        ([(0, 0), (1, 1)], {"list of tiles ends inside": 1, "chunk behind the list": 2, "no work": 2}),
        ([(1, 2)], {"one tile": 1, "tile cut at the right": 1, "list of tiles ends inside": 1}),
        ([(2, 0), (2, 1), (2, 2)], {"list of tiles covers it": 1, "tile cut in the corner": 1, "tile cut below": 1}),
        ([(2, 1)], {"one tile": 1, "tile cut below": 1, "tile cut in the corner": 0}),
        ([], {"list of tiles empty": 3, "no work": 3, "chunk behind the list": 0}),
    ],
)
def test_where_tiles_are_cut_and_lists_end(tiles: list[tuple[int, int]] | None, expected: dict[str, int]) -> None:
    coverage = covered(convolution(tiles))
    found = {name: coverage.count(Opcode.EPILOGUE, edge=name) for name in expected}
    # Of the guard in front, an EPILOGUE without work, only that can be said.
    found |= {"no work": found["no work"] - 1} if "no work" in expected else {}
    assert found == expected
    right = "tile cut at the right"
    assert coverage.count(Opcode.GATHER, edge=right) == coverage.count(Opcode.EPILOGUE, edge=right)


def without_skips() -> Iterator[Program]:
    """What a generator makes that has forgotten an opcode."""
    programs = (cases.case("corners", seed, ARCH).program for seed in range(8))
    return (program for program in programs if not (program.code[:, 0] == Opcode.SKIP).any())


def test_a_generator_without_an_opcode_is_found_out() -> None:
    whole, lame = Coverage(ARCH), covered(*without_skips())
    for seed in range(8):
        whole.add(cases.case("corners", seed, ARCH))
    assert whole.count(Opcode.SKIP) > 0 == lame.count(Opcode.SKIP) and lame.instructions > 1000
    assert "SKIP      never: the opcode itself" in text_of(lame)
    assert "SKIP      never: the opcode itself" not in text_of(whole)
    assert {p.what for p in lame.never() if p.opcode == "SKIP"} > {p.what for p in whole.never() if p.opcode == "SKIP"}


def test_no_program_reaches_what_is_said_to_be_impossible() -> None:
    coverage = Coverage(ARCH)
    for kind in cases.MAKERS:
        for seed in range(6):
            coverage.add(cases.case(kind, seed, ARCH))
    for opcode in Opcode:
        assert coverage.count(opcode) > 0, opcode
        assert coverage.count(opcode) <= sum(holds(coverage, opcode).values())
        for condition in Held:
            if why_not_held(opcode, condition):
                assert not coverage.count(opcode, condition), (opcode, condition)
        for edge in EDGES:
            if why_no_edge(opcode, edge.name, ARCH):
                assert not coverage.count(opcode, edge=edge.name), (opcode, edge.name)


def test_in_the_kind_for_it_every_opcode_waits_for_every_unit() -> None:
    coverage = covered(*(random_crossings(seed, ARCH).program for seed in range(60)))
    for opcode in Opcode:
        for unit in QUEUED_UNITS:
            waits, impossible = coverage.count(opcode, Held[unit.name]), why_not_held(opcode, Held[unit.name])
            # A program has a single END.
            assert impossible or waits or opcode == Opcode.END, (opcode, unit)
            idle = coverage.count(opcode, Held[f"IDLE_{unit.name}"])
            assert idle or opcode not in (Opcode.END, Opcode.SKIP) or why_not_held(opcode, Held[f"IDLE_{unit.name}"])
        if FORMATS[opcode].unit != Unit.SEQUENCER:
            assert coverage.count(opcode, Held.UNIT) and coverage.count(opcode, Held.TURN), opcode


def test_a_machine_without_depthwise_cannot_have_it() -> None:
    never = {place.what for place in Coverage(ARCH).never()}
    lean = {place.what for place in Coverage(replace(ARCH, depthwise=False)).never()}
    assert never - lean == {"kind DEPTHWISE"}


def test_coverage_is_merged_over_seeds_and_files(tmp_path: Path) -> None:
    parts = [Coverage(ARCH) for _ in range(3)]
    for seed in range(4):
        for part in (parts[seed // 2], parts[2]):
            part.add(cases.case("corners", seed, ARCH))
            part.note("corners", range(seed, seed + 1))
    parts[0].save(tmp_path / "coverage.json")
    loaded = Coverage.load(tmp_path / "coverage.json")
    loaded.merge(parts[1])
    assert text_of(loaded).splitlines()[1:] == text_of(parts[2]).splitlines()[1:]
    assert loaded.count(Opcode.GATHER, ANY, ANY, Memory.STEADY) == parts[2].count(Opcode.GATHER) > 0
    with pytest.raises(GatewrightError, match="already counts programs of kind corners among the seeds 2 to 3"):
        loaded.merge(parts[1])
    with pytest.raises(GatewrightError, match="another machine, 4x4: take another file"):
        loaded.merge(Coverage(replace(ARCH, queue_depth=3)))
    damaged = (tmp_path / "coverage.json").read_text().replace('"GATHER"', '"SCATTER"')
    (tmp_path / "coverage.json").write_text(damaged)
    with pytest.raises(GatewrightError, match="'SCATTER' is unknown; make it again with gatewright verify"):
        Coverage.load(tmp_path / "coverage.json")


def test_events_of_an_rtl_are_held_to_the_contract() -> None:
    """As the simulator has them they count alike, with what SKIPs leave out among them; a late start is an error."""
    expectation = expect(random_crossings(0, ARCH).program, writes=False)
    records = expectation.trace.records
    assert (np.diff(records["instruction"]) > 1).any(), "nothing is left out"
    fields = (("dispatch", 0), ("start", 0), ("run", 0), ("done", -1))
    seen = np.concatenate(
        [
            np.stack([records["unit"], np.full(len(records), kind), records[name] + offset], axis=1)
            for kind, (name, offset) in enumerate(fields)
        ]
    )
    steady, pausing = Coverage(ARCH), Coverage(ARCH)
    steady.add(expectation)
    pausing.add(expectation, seen)
    for opcode in Opcode:
        assert holds(steady, opcode) == holds(pausing, opcode)
    late = seen.copy()
    stores = np.flatnonzero((seen[:, 0] == Unit.STORE) & (seen[:, 1] == 1))
    late[stores[0], 2] += 1
    late[np.flatnonzero((seen[:, 0] == Unit.STORE) & (seen[:, 1] == 2))[0], 2] += 1
    with pytest.raises(GatewrightError, match=r"no rule of the contract lets .*, STORE, go on in cycle"):
        Coverage(ARCH).add(expectation, late)
