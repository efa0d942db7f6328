"""``python -m tests.formats``: add files of the formats' present versions to ``tests/formats/files``.

A folder for each kind and version, with ``expected.json``: what reading its files gave when they were made. A folder
that is there stays as it is, for files of a version never change.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gatewright.contract.formats import FORMATS
from tests.formats.kinds import MAKERS, READERS

FILES = Path(__file__).parent / "files"
EXPECTED = "expected.json"


def main() -> int:
    """Write what is missing; prints the folders."""
    for one in FORMATS:
        folder = FILES / f"{one.kind}-{one.version}"
        if folder.is_dir():
            print(f"{folder.name}: is there")
            continue
        folder.mkdir(parents=True)
        found = {name: READERS[one.kind](folder / name) for name in MAKERS[one.kind](folder)}
        (folder / EXPECTED).write_text(json.dumps(found, indent=1) + "\n")
        print(f"{folder.name}: {', '.join(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
