"""``gatewright thresholds``, and what ``simulate`` and ``verify`` then say of the images of a network with exits."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gatewright import flow
from gatewright.cli.main import main
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.ranges import save_ranges
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.exits import limits_of, thresholds_of, with_thresholds
from gatewright.contract.program import Program
from gatewright.exit_thresholds import tuned
from gatewright.models.checkpoints.checkpoint import save_checkpoint
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.exits import synthesise_exits

IMAGES = 12
FIRST, SECOND = "exits.0.fc", "exits.1.fc"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A drawn network with two exits, and its live program."""
    folder = tmp_path_factory.mktemp("exits")
    images = CIFAR10.sample().head(IMAGES)
    network, spec = synthesise_exits(NetworkSpec(8, family_name="resnet-cifar-exits"), images, [0.4, 0.3], seed=1)
    path, program = folder / "exits.safetensors", folder / "live.safetensors"
    save_checkpoint(path, network, spec)
    save_ranges(flow.ranges_path(path), calibrate(capture(network), images.normalised()))
    flow.compile_live(flow.load_network(path), PRESETS["ultra96"]).save(program)
    return path, program


def call(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def leaving(text: str) -> dict[str, tuple[int, float]]:
    """Images and mean cycles of each exit, as simulate prints them."""
    rows = re.findall(r"^exit +(\S+): ([\d,]+) images \([\d.]+%\), ([\d,.]+) cycles", text, re.MULTILINE)
    return {name: (int(images.replace(",", "")), float(cycles.replace(",", ""))) for name, images, cycles in rows}


def test_thresholds_are_shown_and_changed(files: tuple[Path, Path], tmp_path: Path) -> None:
    _, path = files
    shown = call("thresholds", path)
    assert len(shown.splitlines()) == 2 and f"exit         {FIRST}: " in shown and "for all 10 classes" in shown
    numbers = [0.5 * number for number in range(9)] + [float("inf")]
    text = call(
        "thresholds", path, "--exit", SECOND, "--values", ",".join(map(str, numbers)), "-o", tmp_path / "p.safetensors"
    )
    assert f"exit         {SECOND}: 0 to inf for the 10 classes" in text
    program, changed = Program.load(path), Program.load(tmp_path / "p.safetensors")
    assert np.array_equal(program.code, changed.code)
    first, second = changed.exits
    assert thresholds_of(changed, first) == thresholds_of(program, first)
    unit = next(one.scale for one in program.outputs if one.name == SECOND)
    for asked, found in zip(numbers, thresholds_of(changed, second), strict=True):
        assert found == asked or asked <= found < asked + unit
    everyone = with_thresholds(program, FIRST, float("-inf"))
    assert set(thresholds_of(everyone, everyone.exits[0])) == {float("-inf")}


def test_what_images_do_with_changed_thresholds_is_what_the_reference_does(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    """In one start, each exit's share times its cycles adds up to the mean, for any thresholds."""
    network, path = files
    found = {}
    for name, value in (("never", "inf"), ("always", "-inf")):
        out = tmp_path / f"{name}.safetensors"
        call("thresholds", path, "--exit", FIRST, "--values", value, "-o", out)
        text = call("simulate", out, "--network", network, "--images", f"0:{IMAGES}")
        assert "same results and decisions for every image" in text
        found[name] = leaving(text)
        mean = float(re.search(r"an image +([\d,.]+) cycles", text)[1].replace(",", ""))  # type: ignore[index]
        parts = sum(images * cycles for images, cycles in found[name].values()) / IMAGES
        assert mean == pytest.approx(parts, abs=0.2)
        alone = call("simulate", out, "--network", network, "--image", 0)
        assert "same results, same decisions" in alone
    assert list(found["always"]) == [FIRST] and found["always"][FIRST][0] == IMAGES
    assert FIRST not in found["never"] and sum(images for images, _ in found["never"].values()) == IMAGES


def test_thresholds_are_found_at_which_given_shares_leave(files: tuple[Path, Path], tmp_path: Path) -> None:
    network, path = files
    out = tmp_path / "tuned.safetensors"
    text = call("thresholds", path, "--network", network, "--leave", "0.5,0.25", "--images", IMAGES, "-o", out)
    assert f"left         {FIRST}: 6 of 12 images (50.0%)" in text and f"{SECOND}: 3 of 12" in text
    simulated = leaving(call("simulate", out, "--network", network, "--images", f"0:{IMAGES}"))
    assert {name: images for name, (images, _) in simulated.items()} == {FIRST: 6, SECOND: 3, "end": 3}
    loaded, program = flow.load_network(network), Program.load(path)
    images = CIFAR10.sample().head(IMAGES)
    for shares, left in (((0, 0), (0, 0, IMAGES)), ((0, 1), (0, IMAGES, 0)), ((1, 0), (IMAGES, 0, 0))):
        assert tuned(program, loaded, images, shares)[1] == left
    with pytest.raises(GatewrightError, match=r"shares 0\.5, 0\.6 for 2 early exits; .* at most 1 in all"):
        tuned(program, loaded, images, (0.5, 0.6))
    with pytest.raises(GatewrightError, match="shares 0.5 for 2 early exits; give one each"):
        tuned(program, loaded, images, (0.5,))


def test_what_cannot_be_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    network, path = files
    out = tmp_path / "out.safetensors"
    assert "--values needs --exit" in call("thresholds", path, "--values", "1", "-o", out, code=2)
    assert "--leave needs --network" in call("thresholds", path, "--leave", "0.1,0.1", "-o", out, code=2)
    assert "need -o FILE" in call("thresholds", path, "--exit", FIRST, "--values", "1", code=2)
    assert "nan" in call("thresholds", path, "--exit", FIRST, "--values", "nan", "-o", out, code=2)
    assert "no exit 'fc'; it has exits.0.fc" in call(
        "thresholds", path, "--exit", "fc", "--values", "1", "-o", out, code=2
    )
    assert "2 thresholds for 10 classes" in call(
        "thresholds", path, "--exit", FIRST, "--values", "1,2", "-o", out, code=2
    )
    both = ("--exit", FIRST, "--values", "1", "--leave", "0.1,0.1", "--network", network)
    assert "exclude each other" in call("thresholds", path, *both, "-o", out, code=2)
    assert not out.exists()
    foreign = call("simulate", path, "--network", "resnet20", "--images", "0:1", code=2)
    assert "exit exits.0.fc is none of" in foreign
    plain = tmp_path / "plain.safetensors"
    call("compile", "resnet20", "--dense", "-o", plain)
    assert "has no early exits" in call("thresholds", plain, code=2)


def test_limits_and_thresholds_are_the_same_numbers(files: tuple[Path, Path]) -> None:
    program = Program.load(files[1])
    record = program.exits[0]
    unit = next(one.scale for one in program.outputs if one.name == record.output)
    limits = limits_of(program, record)
    np.testing.assert_allclose(thresholds_of(program, record), limits * unit)
