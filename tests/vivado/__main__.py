"""Every board's files through other people's checkers: the IP's description through the schema, Tcl through tclint.

``make board`` runs it, and makes the environment of the checkers: ``python -m tests.vivado ENVIRONMENT``. Each checker
must also refuse a spoiled file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from gatewright.boards import BOARDS, load_board
from gatewright.vivado.scripts import vivado_files

LINE_LENGTH = "120"

SPOILED = {
    ".xml": ("<spirit:access>read-only</spirit:access>", "<spirit:access>read-onely</spirit:access>"),
    ".tcl": ("proc fail {message} {", "proc fail {message} {\n    set a 1 2"),
}
"""For each checker a fault that it has to find."""


def check(environment: Path, folder: Path) -> list[str]:
    """What the checkers say against the files in a folder; empty if nothing."""
    xml = [str(path) for path in folder.rglob("*.xml")]
    tcl = [str(path) for path in [*folder.rglob("*.tcl"), *folder.rglob("*.xdc")]]
    programs = environment / "bin"
    commands = (
        [str(programs / "python"), str(Path(__file__).with_name("schema.py")), *xml],
        [str(programs / "tclint"), "--style-line-length", LINE_LENGTH, *tcl],
    )
    said = [subprocess.run(command, capture_output=True, text=True, check=False) for command in commands]
    return [f"{one.stdout}{one.stderr}".strip() for one in said if one.returncode]


def main(environment: Path) -> int:
    """Check every board at every clock; 1 if a checker complains, or does not where it must."""
    count = 0
    with tempfile.TemporaryDirectory() as name:
        for board in map(load_board, BOARDS):
            for clock in board.clocks_mhz if board.chip is not None else ():
                for file, text in vivado_files(board, board.arch(clock)).items():
                    path = Path(name) / f"{board.name}-{clock}" / file
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text)
                    count += 1
        faults = check(environment, Path(name))
        if faults:
            print("\n".join(faults))
            return 1
        for suffix, (right, wrong) in SPOILED.items():
            path = sorted(Path(name).rglob(f"*{suffix}"))[0]
            text = path.read_text()
            assert right in text, f"{path} has no {right}"
            path.write_text(text.replace(right, wrong, 1))
            if len(check(environment, Path(name))) != 1:
                print(f"a spoiled {suffix} file is not refused")
                return 1
            path.write_text(text)
    print(f"{count} files of the boards pass; spoiled ones do not")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
