"""``python -m tests.docs [PAGE ...]``: run what the pages say can be run, slow parts as well. Minutes."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.docs.pages import all_parts, fault_of


def main(pages: list[str]) -> int:
    """Run the named pages, or all; prints a line for each block, and returns 1 if one is wrong."""
    wrong = 0
    for part in all_parts():
        if pages and part.page not in pages:
            continue
        with tempfile.TemporaryDirectory() as folder:
            for block in part.blocks:
                began = time.monotonic()
                fault = fault_of(block, Path(folder))
                seconds = time.monotonic() - began
                print(f"{'wrong' if fault else 'ok':6} {seconds:6.1f} s  {part.page}:{block.line}", flush=True)
                if fault:
                    wrong += 1
                    print(fault)
                    break
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
