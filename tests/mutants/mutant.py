"""A mutant: the project with one deliberate fault, in a folder of its own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from gatewright.contract.errors import GatewrightError

ROOT = Path(__file__).resolve().parents[2]

LEFT_OUT = (".git", "build", ".venv", "*.pyc", ".*_cache", ".hypothesis", "*.egg-info")
"""Not copied. The simulator's compiled kernels are: their names cover the sources, so changed ones compile anew."""


@dataclass(frozen=True)
class Mutant:
    """One replacement in one file: ``find`` occurs there exactly once.

    ``effect``: what a user of the machine would see. ``bench``: for a file of ``hw/`` the pytest arguments of the unit
    bench that has to notice where random programs do not.
    """

    name: str
    file: str
    find: str
    replace: str
    effect: str
    bench: str = ""

    @property
    def in_hw(self) -> bool:
        return self.file.startswith("hw/")

    def apply(self, tree: Path) -> None:
        """Make the fault in a copy of the project."""
        path = tree / self.file
        text = path.read_text()
        count = text.count(self.find)
        if count != 1:
            raise GatewrightError(
                f"mutant {self.name}: its text occurs {count} times in {self.file}, not once; "
                "bring its line in tests/mutants up to date with the source"
            )
        path.write_text(text.replace(self.find, self.replace))


def copy_project(source: Path, tree: Path) -> None:
    """A copy without what is generated; the package's links point into the copy."""
    shutil.copytree(source, tree, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
