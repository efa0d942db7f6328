"""The file of a space: what it becomes, and what is said of its faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewright.contract.errors import GatewrightError
from gatewright.explore.space import BOARD, Space, load_space

ROOT = Path(__file__).parents[2]

PLAIN = """
objectives = ["latency", "lut"]
[[networks]]
name = "resnet20"
[axes]
columns = [8, 16]
"""


def load(tmp_path: Path, text: str) -> Space:
    path = tmp_path / "space.toml"
    path.write_text(text)
    return load_space(path)


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    space = load(tmp_path, PLAIN)
    (use,) = space.networks
    assert (use.images, use.data, use.program, use.share) == (8, None, "replay", 1.0)
    assert (space.preset, space.boards, space.search.sampler, space.search.batch) == ("ultra96", (), "nsga2", 20)
    assert space.size == 2


def test_axes_are_lists_or_steps_and_those_of_the_dram_and_the_boards_are_axes_like_others(tmp_path: Path) -> None:
    text = 'boards = ["ultra96", "zcu104"]\n' + PLAIN + "rows = { first = 4, last = 15, step = 4 }\n"
    space = load(tmp_path, text + "[axes.dram]\nlatency_ns = [100.0, 213]\n")
    assert space.axes == {
        BOARD: ("ultra96", "zcu104"),
        "columns": (8, 16),
        "rows": (4, 8, 12),
        "dram.latency_ns": (100.0, 213),
    }
    assert space.size == 24


def test_the_example_is_a_space() -> None:
    assert load_space(ROOT / "examples" / "space.toml").size == 8640


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("objectives = [", "is not valid TOML"),
        (PLAIN.replace("latency", "speed"), "no objective 'speed'; there are latency, "),
        (PLAIN.replace('"lut"', '"latency"'), "objectives names latency twice"),
        (PLAIN.replace("columns", "cols"), "no parameter 'cols' of a machine; there are rows, columns,"),
        (PLAIN.replace("[8, 16]", "[]"), "the axis columns has no values"),
        (PLAIN.replace("[8, 16]", "[8, 8]"), "the axis columns has 8 twice"),
        (PLAIN.replace("[8, 16]", "{ first = 9, last = 8, step = 1 }"), "the axis columns has no values"),
        (PLAIN.replace("[8, 16]", "[8, 64]"), "columns = 64 must be an integer from 4 to 32"),
        (PLAIN.replace("columns", "load_vectors"), "load_vectors = 8 must be 1, 2 or 4"),
        (PLAIN.replace("[8, 16]", "[true]"), "axis columns: columns = True must be a valid integer"),
        (PLAIN.replace("[axes]\ncolumns = [8, 16]", ""), "nothing varies"),
        (PLAIN + "depth = 3\n", "axes.depth"),
        ("color = 1\n" + PLAIN, "unknown key color"),
        (PLAIN.replace('name = "resnet20"', 'names = "resnet20"'), "unknown key networks.0.names"),
        (
            PLAIN.replace('name = "resnet20"', 'name = "resnet20"\nprogram = "both"'),
            "networks.0.program = 'both' must be",
        ),
        (PLAIN.replace('name = "resnet20"', 'name = "resnet20"\nshare = 0'), "networks.0.share"),
        ('preset = "u96"\n' + PLAIN, "no preset 'u96'"),
        ('boards = ["u96"]\n' + PLAIN, "no board or file 'u96'"),
        ('boards = ["verilator"]\n' + PLAIN, "board verilator has no chip"),
        ('boards = ["ultra96"]\npreset = "4x4"\n' + PLAIN, "preset and boards exclude each other"),
        (PLAIN + "[axes.dram]\nlatency_ns = [100.0]\n", "no parameter 'dram.latency_ns'"),
        ('boards = ["ultra96"]\n' + PLAIN + "[axes.dram]\nlatency = [64]\n", "no parameter 'dram.latency'"),
        (PLAIN + '[search]\nsampler = "luck"\n', "search.sampler = 'luck' must be"),
        (PLAIN + "[search]\nbatch = 1\n", "search.batch"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(GatewrightError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"space {tmp_path / 'space.toml'}") or "board" in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(GatewrightError, match="space .*missing.toml cannot be read: No such file"):
        load_space(tmp_path / "missing.toml")
