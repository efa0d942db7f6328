"""A new instruction brought up: FILL, as docs/adding-an-instruction.md writes it, in a copy of the project.

``python examples/own_rtl/new_instruction.py`` puts the page's blocks into a copy and runs the page's test of both
simulators there. With ``--rtl 200`` so many random programs with FILL run on the copy's RTL as well.

The page is the only text: nothing of FILL is written down twice. A comment in front of a block says where it goes:
``behind`` or ``for`` (in place of) a line that its file has once, at the ``end of`` a file, or into a ``new`` one.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "adding-an-instruction.md"
PARTS = ("gatewright", "compiler", "docs", "hw", "models", "sim", "tests", "pyproject.toml")
"""Of the project, what the copy needs."""

QUICK = ("tests/sim/test_fill.py", "tests/listing/test_assembler.py", "tests/contract/test_isa.py")
"""What runs in the copy: the page's own test, and what must hold for any instruction."""

_EDIT = re.compile(r"^<!-- (behind|for|end of|new): ([\w/.]+)(?:: ([^\n]+))? -->\n```python\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Edit:
    """A block of the page, and where it goes."""

    how: str
    file: str
    line: str
    text: str

    def apply(self, tree: Path) -> None:
        """Make the edit in a copy of the project; a line that is not there once is a ``SystemExit`` that says so."""
        path = tree / self.file
        if self.how == "new":
            path.write_text(self.text)
            return
        lines = path.read_text().splitlines(keepends=True)
        if self.how == "end of":
            path.write_text("".join(lines) + self.text)
            return
        places = [number for number, line in enumerate(lines) if line.strip() == self.line]
        if len(places) != 1:
            sys.exit(f"{PAGE.name}: {self.file} has the line {self.line!r} {len(places)} times, not once")
        lines[places[0]] = (lines[places[0]] if self.how == "behind" else "") + self.text
        path.write_text("".join(lines))


def edits_of(text: str) -> list[Edit]:
    """The blocks of a page that go into files."""
    return [Edit(how, file, line, block) for how, file, line, block in _EDIT.findall(text)]


def bring_up(tree: Path) -> list[Edit]:
    """Copy the project into the folder ``tree`` and put the page's blocks into the copy."""
    for name in PARTS:
        if (ROOT / name).is_dir():
            left_out = shutil.ignore_patterns("*.pyc", "__pycache__", "*.nbi", "*.nbc", "zoo")
            shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=left_out)
        else:
            shutil.copy(ROOT / name, tree / name)
    edits = edits_of(PAGE.read_text())
    for edit in edits:
        edit.apply(tree)
    return edits


def run(tree: Path, *arguments: str, compiled: bool = True) -> None:
    """Run Python in the copy; a failure ends this program. Without ``compiled`` the kernels are plain Python."""
    added = {"PYTHONPATH": str(tree)} | ({} if compiled else {"NUMBA_DISABLE_JIT": "1"})
    print("$ python", *arguments, flush=True)
    if subprocess.run([sys.executable, *arguments], cwd=tree, env=os.environ | added).returncode:
        sys.exit("the new instruction is not brought up")


def main() -> None:
    """Bring FILL up in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rtl", type=int, default=0, metavar="N", help="run N random programs on the RTL, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatewright-fill-") as name:
        tree = Path(name)
        edits = bring_up(tree)
        print(f"{len(edits)} blocks of {PAGE.name} in {len({edit.file for edit in edits})} files")
        run(tree, "-m", "gatewright", "isa", "-o", "docs/isa.md", compiled=False)
        # The profile has no deadlines: a busy machine is no fault.
        pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile", "ci")
        run(tree, *pytest, *QUICK, compiled=False)
        if options.rtl:
            coverage = tree / "coverage.json"
            verify = ("-m", "gatewright", "verify", "--arch", "4x4", "--random", str(options.rtl))
            run(tree, *verify, "--kind", "layers", "--kind", "illegal", "--coverage", str(coverage))


if __name__ == "__main__":
    main()
