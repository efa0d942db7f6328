"""A unit may have several opcodes: dispatch, queue and legality with one that the instruction set does not have."""

from __future__ import annotations

import subprocess
import sys

from tests.support.rtl import ROOT


def test_a_second_opcode_of_a_unit_reaches_its_queue_and_is_checked() -> None:
    """In another process, whose instruction set has it."""
    call = [sys.executable, "-m", "tests.hw.control.second_opcode", "1"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(call[-3:])}:\n{done.stdout}{done.stderr}"
    assert done.stdout.count("passed") == 3
