"""``gatewright verify --random`` on a user's Verilog: a changed machine is caught, with a command that repeats it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from examples.own_rtl import changed_unit
from gatewright.cli.main import verify as command
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Opcode
from gatewright.contract.program import Program
from gatewright.verify import design
from gatewright.verify.kit import check as checking
from gatewright.verify.kit.cases import case
from gatewright.verify.kit.check import Agreement, check, check_programs, machine_bench, small
from gatewright.verify.kit.coverage.coverage import Coverage, Memory
from gatewright.verify.kit.coverage.held import Held

ARCH: ArchConfig = small(PRESETS["4x4"])


@pytest.fixture(scope="module")
def changed() -> str:
    """The example's Verilog, whose GATHER is complete a cycle late."""
    return changed_unit.with_a_register(design.machine_verilog(ARCH))


def test_a_changed_unit_is_caught_with_a_command_that_repeats_it(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verilog, arch = tmp_path / "changed.v", tmp_path / "mine.toml"
    verilog.write_text(changed)
    arch.write_text('preset = "4x4"\nweight_kib = 64\nscratchpad_kib = 64\nparameter_entries = 1024\n')
    named = ["--verilog", str(verilog), "--arch", str(arch)]
    result = CliRunner().invoke(command.verify, ["--random", "20", "--kind", "layers", *named])
    assert result.exit_code == 1, result.output
    assert "retire of GATHER instruction 0 of that unit (counted as complete" in result.output
    assert ", 1 cycle late\n" in result.output and "the failure needs the work of instructions" in result.output
    again = next(line for line in result.output.splitlines() if line.startswith("again"))
    words = again.split()[1:]
    assert words[:2] == ["gatewright", "verify"] and str(verilog) in words and str(arch) in words
    monkeypatch.setattr(checking, "shrink", _as_it_is)
    repeated = CliRunner().invoke(command.verify, words[2:])
    assert repeated.exit_code == 1 and "0 of 1 programs agree" in repeated.output


def _as_it_is(program: Program, _: object) -> tuple[Program, list[int]]:
    """Shrinking takes most of the time; it is done once."""
    return program, []


def test_programs_of_the_users_are_compared_in_order(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "shrink", _as_it_is)
    programs = [case("layers", seed, arch=ARCH).program for seed in range(2)]
    found = check_programs(machine_bench(ARCH, changed), programs)
    assert found.agreed == 0 and found.number == 0 and found.difference


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet20", "--random", "2"], "says nothing to --random"),
        (["--random", "2", "--live"], "--live says nothing to --random"),
        (["--seed", "3"], "--seed needs --random"),
        (["--kind", "layers"], "--kind needs --random"),
    ],
)
def test_options_without_a_use_are_refused(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(command.verify, arguments)
    assert result.exit_code == 2 and message in result.output


def test_stalls_hide_cycles_and_not_order(changed: str) -> None:
    """With a memory that pauses at random only order and bytes are compared, and these are right."""
    coverage = Coverage(ARCH)
    assert check(machine_bench(ARCH, changed, stall=5), "layers", range(4), coverage) == Agreement(4, 4)
    # Their cycles are the RTL's: as often as without pauses an instruction comes, and not always as held.
    steady = Coverage(ARCH)
    for seed in range(4):
        steady.add(case("layers", seed, ARCH))
    for opcode in Opcode:
        assert coverage.count(opcode, memory=Memory.PAUSING) == steady.count(opcode, memory=Memory.STEADY)
        assert coverage.count(opcode, memory=Memory.STEADY) == 0
    waits = [[one.count(Opcode.GATHER, unit) for unit in (Held.LOAD, Held.ARRAY)] for one in (coverage, steady)]
    assert waits[0] != waits[1] and min(map(min, waits)) > 0


def test_coverage_of_a_users_verilog_is_written_shown_and_added_to(changed: str, tmp_path: Path) -> None:
    verilog, arch, file = tmp_path / "changed.v", tmp_path / "mine.toml", tmp_path / "coverage.json"
    verilog.write_text(changed)
    arch.write_text('preset = "4x4"\nweight_kib = 64\nscratchpad_kib = 64\nparameter_entries = 1024\n')
    named = ["--verilog", str(verilog), "--arch", str(arch), "--coverage", str(file), "--kind", "traffic"]
    first = CliRunner().invoke(command.verify, ["--random", "3", "--stall-seed", "5", *named])
    assert first.exit_code == 0 and "3 traffic from seed 0 with pauses 5" in first.output, first.output
    assert "MATMUL    never: the opcode itself" in first.output
    again = CliRunner().invoke(command.verify, ["--random", "2", "--seed", "2", "--stall-seed", "5", *named])
    assert isinstance(again.exception, GatewrightError) and "among the seeds 2 to 3: take other seeds" in str(
        again.exception
    )
    more = CliRunner().invoke(command.verify, ["--random", "2", "--seed", "3", "--stall-seed", "5", *named])
    assert more.exit_code == 0 and "5 traffic from seed 0 with pauses 5" in more.output
    assert Coverage.load(file).count(Opcode.LOAD, memory=Memory.PAUSING) > 0
