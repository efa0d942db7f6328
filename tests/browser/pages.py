"""``python -m tests.browser.pages FOLDER``: reports, comparisons and an exploration, by the commands of users."""

from __future__ import annotations

import sys
from pathlib import Path

from gatewright.cli.main import main

SPACE = """objectives = ["latency", "lut", "bram36"]
boards = ["ultra96"]

[search]
sampler = "nsga2"
seed = 0

[[networks]]
name = "dgnet-resnet20-0.4"
images = 1
program = "replay"

[axes]
rows = [4, 8, 16]
columns = [8, 16]
scratchpad_kib = [32, 256]
weight_kib = [64, 128]
"""


def commands(folder: Path) -> list[list[str]]:
    """The calls of gatewright. Few images: what a page looks like does not depend on how many."""
    spatial, many = "dgnet-resnet20-0.4", str(folder / "explained")
    return [
        ["report", spatial, "--images", "1", "--out", str(folder / "one")],
        ["report", spatial, "--images", "12", "--explain", "1", "--out", many],
        ["report", spatial, "--images", "4", "--live", "--together", "2", "--out", str(folder / "live")],
        ["report", "exits-ddi-resnet20-0.8", "--images", "12", "--out", str(folder / "exits")],
        ["report", "bas-resnet20", "--images", "2", "--arch", "4x4", "--out", str(folder / "channels")],
        ["compare", many, str(folder / "live"), "--out", str(folder / "compared")],
        ["compare", many, many, "--out", str(folder / "same")],
        ["explore", str(folder / "space.toml"), "--points", "10", "--reports", "1", "-o", str(folder / "explored")],
    ]


def make(folder: Path) -> None:
    """Make the pages; a command whose page is there is not run again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "space.toml").write_text(SPACE)
    for words in commands(folder):
        if not list(Path(words[-1]).glob("*.html")):
            main.main(words, standalone_mode=False)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
