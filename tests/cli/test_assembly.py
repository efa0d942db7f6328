from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gatewright.cli.main import main
from gatewright.contract.program import Program
from gatewright.listing.isa_page import isa_page
from tests.contract.saved_programs import assert_equal
from tests.support.listings import random_program


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def program(tmp_path: Path) -> Path:
    random_program(3).save(tmp_path / "p.safetensors")
    return tmp_path / "p.safetensors"


def test_text_and_back_gives_the_same_file(tmp_path: Path, program: Path) -> None:
    text, again = tmp_path / "new" / "p.s", tmp_path / "again.safetensors"
    assert call("disassemble", program, "-o", text).exit_code == 0
    result = call("assemble", text, "--data", program, "-o", again)
    assert (result.exit_code, result.stderr) == (0, "")
    assert_equal(Program.load(again), Program.load(program))


def test_without_a_file_the_text_goes_to_standard_output(tmp_path: Path, program: Path) -> None:
    call("disassemble", program, "-o", tmp_path / "p.s")
    result = call("disassemble", program)
    assert result.stdout == (tmp_path / "p.s").read_text() and not result.stderr


def test_an_edited_text_gives_an_edited_program(tmp_path: Path, program: Path) -> None:
    text = call("disassemble", program).stdout
    lines = text.splitlines()
    position = lines.index(next(line for line in lines if line.split()[:1] == ["4"]))
    lines[position] = "4 EXIT after INDEX:9 count_table=2 most=5"
    (tmp_path / "p.s").write_text("\n".join(lines))
    assert call("assemble", tmp_path / "p.s", "--data", program, "-o", tmp_path / "q").exit_code == 0
    edited, original = Program.load(tmp_path / "q"), Program.load(program)
    assert edited.code[4, :9].tolist() == [8, 5, 9, 0, 0, 0, 0, 2, 5]
    assert [i for i in range(21) if edited.code[i].tolist() != original.code[i].tolist()] == [4]


def test_faults_are_one_line_and_exit_code_2(tmp_path: Path, program: Path) -> None:
    bad = tmp_path / "bad.s"
    bad.write_text("END\nINDEX table=99\n")
    for arguments, message in [
        (["disassemble", tmp_path / "absent"], "no program at"),
        (["disassemble", bad], "is damaged or not a safetensors file"),
        (["assemble", tmp_path / "absent.s", "--data", program, "-o", tmp_path / "q"], "cannot read"),
        (["assemble", program, "--data", program, "-o", tmp_path / "q"], "p.safetensors"),
        (
            ["assemble", bad, "--data", program, "-o", tmp_path / "q"],
            "bad.s: line 2: 'table=99': 99 does not fit",
        ),
        (["disassemble", program, "-o", program / "p.s"], "cannot write"),
    ]:
        result = call(*arguments)
        assert result.exit_code == 2 and result.stdout == "", arguments
        assert result.stderr.startswith("gatewright: error: ") and message in result.stderr
        assert "Traceback" not in result.stderr
    assert not (tmp_path / "q").exists()


def test_isa_prints_the_page(tmp_path: Path) -> None:
    assert call("isa").stdout == isa_page()
    assert call("isa", "-o", tmp_path / "isa.md").exit_code == 0
    assert (tmp_path / "isa.md").read_text() == isa_page()


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    result = call(name, "--help")
    assert result.exit_code == 0
    assert f"Example: gatewright {name}" in result.stdout


@pytest.mark.parametrize("arguments", [["nonsense"], ["assemble"], ["isa", "--colour"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert call(*arguments).exit_code == 2


def test_an_unexpected_exception_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault() -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("gatewright.listing.isa_page.isa_page", fault)
    assert isinstance(call("isa").exception, ZeroDivisionError)


def test_the_package_can_be_run_as_a_module(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gatewright", *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
        )

    assert run("--version").stdout.startswith("gatewright, version ")
    missing = run("disassemble", "absent")
    assert missing.returncode == 2
    assert missing.stderr == "gatewright: error: no program at absent\n"
