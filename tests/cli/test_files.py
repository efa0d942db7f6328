"""Files that cannot be written or read are a sentence that names them, and no traceback."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import save_file

from gatewright.cli.main import main
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Opcode
from gatewright.contract.whole_file import whole_file
from gatewright.models.checkpoints.checkpoint import save_checkpoint
from gatewright.models.families.spec import NetworkSpec
from gatewright.verify.kit.programs import make_program, row


def run(*arguments: object) -> Result:
    """The exit code is 2 and not 1, which is what an exception gives."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.output.startswith("gatewright: error: "), result.output
    return result


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "p.safetensors"
    make_program(PRESETS["4x4"], [row(Opcode.EPILOGUE, tile=1)], np.zeros(64, np.uint8)).save(path)
    return path


@pytest.mark.parametrize("out", [".", "/"])
def test_a_folder_is_no_file_to_write(program: Path, out: str) -> None:
    assert f"cannot write {out}: it is a folder" in run("disassemble", program, "-o", out).output
    (text := program.with_name("p.s")).write_text("")
    CliRunner().invoke(main, ["disassemble", str(program), "-o", str(text)])
    assert f"cannot write {out}: it is a folder" in run("assemble", text, "--data", program, "-o", out).output


def test_what_safetensors_cannot_write_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(GatewrightError, match=f"cannot write {path}: "), whole_file(path) as partial:
        partial.mkdir()
        save_file({"a": np.zeros(1)}, partial)
    assert not path.exists()


def test_a_checkpoint_that_cannot_be_written_names_the_file(tmp_path: Path) -> None:
    (path := tmp_path / "model.safetensors").mkdir()
    spec = NetworkSpec(8)
    with pytest.raises(GatewrightError, match=f"cannot write {path}: "):
        save_checkpoint(path, spec.build(), spec)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_block_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (path := tmp_path / "x").write_text("before")
    with pytest.raises(KeyError), whole_file(path) as partial:
        partial.write_text("half")
        raise KeyError
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_what_the_system_refuses_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "some/file")

    monkeypatch.setitem(main.commands, "refuse", click.Command("refuse", callback=refuse))
    assert run("refuse").output == "gatewright: error: some/file: No space left on device\n"


def test_a_pipe_that_nobody_reads_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    monkeypatch.setitem(main.commands, "broken", click.Command("broken", callback=broken))
    result = CliRunner().invoke(main, ["broken"])
    assert (result.exit_code, result.output) == (1, "")


@pytest.mark.parametrize(
    "command",
    [
        ("rtl", "--arch", "{}", "-o", "{}.v"),
        ("verify", "--random", "1", "--verilog", "{}"),
        ("compare", "{}", "{}"),
    ],
    ids=lambda command: command[0],
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    (path := tmp_path / "odd.toml").write_bytes(b"\xff\xfe\x80" * 9)
    assert str(path) in run(*(part.format(path) for part in command)).output
