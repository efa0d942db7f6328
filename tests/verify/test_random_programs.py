"""``gatewright verify --random`` on a user's Verilog: a changed machine is caught, with a command that repeats it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from gatewright.cli.main import verify as command
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.program import Program
from gatewright.verify import design
from gatewright.verify.kit import check as checking
from gatewright.verify.kit.cases import case
from gatewright.verify.kit.check import Agreement, check, check_programs, machine_bench, small

ARCH: ArchConfig = small(PRESETS["4x4"])


@pytest.fixture(scope="module")
def changed() -> str:
    """Verilog whose array loads one vector a cycle, where that of the machine loads four."""
    return design.machine_verilog(replace(ARCH, load_vectors=1))


def test_a_changed_array_is_caught_with_a_command_that_repeats_it(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verilog, arch = tmp_path / "changed.v", tmp_path / "mine.toml"
    verilog.write_text(changed)
    arch.write_text('preset = "4x4"\nweight_kib = 64\nscratchpad_kib = 64\nparameter_entries = 1024\n')
    named = ["--verilog", str(verilog), "--arch", str(arch)]
    result = CliRunner().invoke(command.verify, ["--random", "20", "--kind", "layers", *named])
    assert result.exit_code == 1, result.output
    assert "first difference" in result.output and "the failure needs the work of instructions" in result.output
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
    assert check(machine_bench(ARCH, changed, stall=5), "layers", range(4)) == Agreement(4, 4)
