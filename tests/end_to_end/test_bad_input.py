"""What a user gets wrong ends in exit code 2, one line that says what and where, and no file left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor, nn

from gatewright.cli.main import main
from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.flow import ranges_path, write_ranges
from gatewright.models.checkpoints.checkpoint import save_checkpoint
from gatewright.models.datasets.cifar10 import load_sample
from gatewright.models.families.spec import NetworkSpec
from gatewright.sim.fast.machine import simulate
from tests.compiler.networks import lively_resnet
from tests.support.graphs import resnet_graph


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gated ResNet-8 with random weights, and its activation ranges."""
    path = tmp_path_factory.mktemp("network") / "model.safetensors"
    save_checkpoint(path, lively_resnet("dual", 32), NetworkSpec(8, "dual", 0.5))
    write_ranges(path, load_sample().head(4))
    return path


@pytest.fixture(scope="module")
def program(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A program file that `gatewright compile` wrote."""
    path = tmp_path_factory.mktemp("program") / "p.safetensors"
    result = call("compile", checkpoint, "-o", path)
    assert result.exit_code == 0 and path.is_file(), result.output
    assert call("simulate", path).exit_code == 0
    return path.read_bytes()


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where a command is told to write; afterwards there must be nothing."""
    folder = tmp_path / "out"
    yield folder / "result"
    assert not folder.exists() or not list(folder.iterdir()), "something was left behind"


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(*arguments: str | Path, saying: str) -> None:
    """The command must fail as a user's mistake, with this text in its one line."""
    result = call(*arguments)
    assert result.exit_code == 2, f"exit code {result.exit_code}: {result.exception!r}\n{result.output}"
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("capture and quantise ", "evaluate "))]
    assert len(lines) == 1 and lines[0].startswith("gatewright: error: "), result.stderr
    assert saying in lines[0], lines[0]
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["compile", "report"])
def test_a_missing_checkpoint(command: str, out: Path) -> None:
    option = "-o" if command == "compile" else "--out"
    refused(command, "absent.safetensors", option, out, saying="absent.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
def test_a_truncated_checkpoint(checkpoint: Path, tmp_path: Path, out: Path, keep: int) -> None:
    damaged = tmp_path / "model.safetensors"
    damaged.write_bytes(checkpoint.read_bytes()[:keep])
    ranges_path(damaged).write_bytes(ranges_path(checkpoint).read_bytes())
    refused("compile", damaged, "-o", out, saying=f"checkpoint {damaged} is damaged")


def test_a_checkpoint_without_ranges(checkpoint: Path, tmp_path: Path, out: Path) -> None:
    alone = tmp_path / "model.safetensors"
    alone.write_bytes(checkpoint.read_bytes())
    refused("compile", alone, "-o", out, saying="make them with: gatewright calibrate")
    ranges_path(alone).write_text("{")
    refused("compile", alone, "-o", out, saying="are damaged")
    ranges_path(alone).write_text("{}")
    refused("compile", alone, "-o", out, saying="has no usable range")


def test_an_image_that_is_not_there(checkpoint: Path, out: Path) -> None:
    refused("compile", checkpoint, "--image", "256", "-o", out, saying="there is no image 256")


@pytest.mark.parametrize(
    ("contents", "saying"),
    [
        ("row = 8", "unknown key row"),
        ("[dram]\nlatenzy = 3", "unknown key dram.latenzy"),
        ("rows = 17", "rows = 17 must be an integer from 4 to 16"),
        ("rows = ", "is not valid TOML"),
        ('preset = "16x16"', "no preset '16x16'"),
        ("scratchpad_kib = 4", "scratchpad of 4 KiB cannot hold tensor"),
        ("weight_kib = 1", "raise weight_kib"),
        ("patch_kib = 1", "patch buffer"),
        ("parameter_entries = 64", "must be an integer from 128"),
        ("table_entries = 16", "decisions are on for this sample, and a table holds 16"),
        ("accumulator_depth = 16", "accumulator_depth"),
    ],
)
def test_an_arch_that_is_wrong_or_too_small(
    checkpoint: Path, tmp_path: Path, out: Path, contents: str, saying: str
) -> None:
    arch = tmp_path / "mine.toml"
    arch.write_text(contents + "\n")
    refused("compile", checkpoint, "--arch", arch, "-o", out, saying=saying)


def test_an_arch_that_does_not_exist(checkpoint: Path, out: Path) -> None:
    refused("compile", checkpoint, "--arch", "9x9", "-o", out, saying="presets are ultra96")


def damaged_program(program: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "program.safetensors"
    path.write_bytes(program)
    return path


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_program(program: bytes, tmp_path: Path, out: Path, share: float) -> None:
    path = damaged_program(program[: int(share * len(program))], tmp_path)
    refused("simulate", path, "--timeline", out, saying=f"program {path} is damaged")


def test_a_flipped_bit_anywhere_is_noticed(program: bytes, tmp_path: Path, out: Path) -> None:
    seed = 5
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    header = int.from_bytes(program[:8], "little")
    places = [*range(8), *rng.integers(8, 8 + header, 30), *rng.integers(8 + header, len(program), 30)]
    for place in places:
        changed = bytearray(program)
        changed[place] ^= 1 << int(rng.integers(8))
        path = damaged_program(bytes(changed), tmp_path)
        result = call("simulate", path, "--timeline", out)
        assert result.exit_code == 2, f"byte {place}: exit code {result.exit_code}, {result.exception!r}"
        assert len(result.stderr.splitlines()) == 1 and result.stderr.startswith("gatewright: error: "), result.stderr


def test_a_program_for_another_machine(program: bytes, tmp_path: Path, out: Path) -> None:
    path = damaged_program(program, tmp_path)
    refused(
        "simulate", path, "--arch", "8x8", "--timeline", out, saying="was compiled for arch ultra96, which is not 8x8"
    )
    refused("simulate", tmp_path / "absent", "--timeline", out, saying="no program at")


def test_a_sample_of_the_wrong_size_or_type() -> None:
    compiled = Compiler(resnet_graph(8, gated=False, size=16), PRESETS["ultra96"]).compile({})
    wrong: list[npt.NDArray[Any]] = [
        np.zeros((16, 15, 3), np.int8),
        np.zeros((16, 16, 3), np.uint8),
        np.zeros((32, 32, 3), np.int8),
    ]
    for sample in wrong:
        with pytest.raises(GatewrightError, match=r"sample: u?int8 \[\d+, \d+, 3\] is not"):
            simulate(compiled, sample)


class Unknown(nn.Module):
    """A network with a layer that the machine does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.norm(self.conv(x)).mean((2, 3)))
        return logits


def test_a_layer_that_the_compiler_does_not_know() -> None:
    with pytest.raises(GatewrightError, match="norm") as caught:
        capture(Unknown().eval(), (3, 16, 16))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_fits_no_network(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, lively_resnet("dual", 32), NetworkSpec(8, "none"))
    refused("compile", path, "-o", out, saying="does not fit resnet8")
    torch.save({"weights": 1}, tmp_path / "other.pth")
    refused("compile", tmp_path / "other.pth", "-o", out, saying="holds no CIFAR ResNet")


def test_output_where_nothing_can_be_written(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    refused("compile", checkpoint, "-o", tmp_path / "file" / "p.safetensors", saying="file")
    (tmp_path / "folder").mkdir()
    refused("compile", checkpoint, "-o", tmp_path / "folder", saying="folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_loading_checks_the_checksum(program: bytes, tmp_path: Path) -> None:
    path = damaged_program(program, tmp_path)
    loaded = Program.load(path)
    assert loaded.arch == PRESETS["ultra96"] and len(loaded.gates) == 6
