"""Counters: as the driver writes them, against the simulator's; and a DRAM that is found again from its counters."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gatewright.bringup.compare import compare, report
from gatewright.bringup.counters import CounterFile, Expected, Start, read_counters
from gatewright.bringup.memory_steps import scratchpad, tables, weight_buffer
from gatewright.bringup.script import Script
from gatewright.cli.main import main
from gatewright.contract.arch import PRESETS, DramConfig, load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import COUNTERS
from gatewright.contract.program import Program
from gatewright.contract.registers import UNIT_NAMES
from gatewright.contract.trace import busy_cycles

ARCH = replace(PRESETS["4x4"], scratchpad_kib=8, weight_kib=16, patch_kib=8, tables=4)


@pytest.fixture(scope="module")
def program() -> Program:
    """Long rows, short ones, and STOREs: the scratchpad, the weights and the tables of the self-test."""
    script = Script(ARCH)
    for step in (scratchpad, weight_buffer, tables):
        step(script, np.random.default_rng(1))
    return script.program()[0]


@pytest.fixture(scope="module")
def expected(program: Program) -> Expected:
    return Expected(program, [1], None)


def file_of(starts: list[Start], **changes: object) -> CounterFile:
    """What a driver would write."""
    return CounterFile(COUNTERS.name, {"file": "p", "checksum": "0"}, {"ROWS": ARCH.rows}, 300.0, 0.1, starts)


@pytest.mark.parametrize(
    ("starts", "ends", "busy"),
    [([], [], 0), ([3], [7], 4), ([3, 5], [7, 6], 4), ([0, 2, 10], [4, 6, 11], 7), ([0, 1, 4], [8, 2, 6], 8)],
)
def test_a_cycle_counts_once(starts: list[int], ends: list[int], busy: int) -> None:
    assert busy_cycles(np.array(starts, np.int64), np.array(ends, np.int64)) == busy


def test_a_machine_like_the_model_is_said_to_be_one(program: Program, expected: Expected) -> None:
    found = compare(program, file_of(expected.with_dram(ARCH.dram)), expected)
    assert found.same and found.fit is None
    assert report(found).endswith("the board's counters are the simulator's")


@pytest.mark.parametrize(
    "dram",
    [
        DramConfig(latency=113, beats=3, per_cycles=4),
        DramConfig(latency=64, beats=19, per_cycles=64),
        DramConfig(latency=201, beats=31, per_cycles=64),
        DramConfig(latency=30, beats=1, per_cycles=1),
    ],
)
def test_a_dram_is_found_again_from_its_counters(program: Program, expected: Expected, dram: DramConfig) -> None:
    """A board whose DRAM is of the model's kind: latency and rate come out as they went in."""
    measured = expected.with_dram(dram)
    found = compare(program, file_of(measured), expected)
    assert found.fit is not None and found.fit.starts == measured and found.fit.error == 0
    assert found.fit.dram == dram
    faster = dram == DramConfig(latency=30, beats=1, per_cycles=1)
    assert f"a DRAM {'faster' if faster else 'slower'} than the model's explains it" in report(found)


def test_what_no_dram_explains_is_not_called_one(program: Program, expected: Expected) -> None:
    (start,) = expected.with_dram(ARCH.dram)
    slow = replace(start, busy={**start.busy, "STORE": 3 * start.busy["STORE"]}, cycles=start.cycles)
    found = compare(program, file_of([slow]), expected)
    assert "no latency and rate of the model explain it" in report(found)


def test_other_work_is_no_matter_of_time(program: Program, expected: Expected) -> None:
    (start,) = expected.with_dram(ARCH.dram)
    less = replace(start, completed={**start.completed, "LOAD": start.completed["LOAD"] - 1})
    found = compare(program, file_of([less]), expected)
    assert found.fit is None and "this is no matter of time" in report(found)


def test_counters_of_another_machine_are_refused(program: Program, expected: Expected) -> None:
    file = replace(file_of(expected.with_dram(ARCH.dram)), machine={"ROWS": 16})
    with pytest.raises(GatewrightError, match="of a machine with ROWS = 16, the program is for one with 4"):
        compare(program, file, expected)


def test_images_must_be_given_and_as_many(program: Program) -> None:
    with pytest.raises(GatewrightError, match="give --inputs"):
        Expected(program, [2], None)
    with pytest.raises(GatewrightError, match="has 3 images, the counters are of 4"):
        Expected(program, [2, 2], np.zeros((3, 1, 1, 1), np.int8))


def test_the_command_writes_an_arch_file(program: Program, expected: Expected, tmp_path: Path) -> None:
    dram = DramConfig(latency=90, beats=1, per_cycles=2)
    counters, file, fitted = tmp_path / "c.json", tmp_path / "p.safetensors", tmp_path / "fitted.toml"
    counters.write_text(json.dumps(asdict(file_of(expected.with_dram(dram)))))
    program.save(file)
    result = CliRunner().invoke(main, ["compare", str(counters), str(file), "--fit", str(fitted)])
    assert result.exit_code == 1, result.output
    arch = load_arch(str(fitted))
    assert arch == replace(ARCH, name="fitted", dram=dram)
    assert "latency 90 cycles (300 ns), 8.00 bytes a cycle (2.40 GB/s)" in result.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "gatewright-counters-2"}, "format"),
        ({"starts": []}, "starts"),
        ({"starts": [{"images": 1}]}, "starts.0"),
        ({"seconds": "1"}, "seconds"),
    ],
)
def test_a_damaged_file_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    counts = dict.fromkeys(UNIT_NAMES, 1)
    whole = asdict(file_of([Start(1, 10, 6, counts, counts)]))
    path = tmp_path / "c.json"
    path.write_text(json.dumps(whole))
    assert read_counters(path).starts[0].busy == counts
    path.write_text(json.dumps(whole | change))
    with pytest.raises(GatewrightError, match=message):
        read_counters(path)
    path.write_text(json.dumps(whole | {"starts": [whole["starts"][0] | {"busy": {"LOAD": 1}}]}))
    with pytest.raises(GatewrightError, match=r"starts.0.busy must name LOAD, GATHER"):
        read_counters(path)
