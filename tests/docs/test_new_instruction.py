"""The page about adding an instruction: its blocks go into a copy of the project, where what they add works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.own_rtl import new_instruction


def test_the_pages_blocks_bring_the_instruction_up_in_both_simulators() -> None:
    call = [sys.executable, "examples/own_rtl/new_instruction.py"]
    done = subprocess.run(call, cwd=new_instruction.ROOT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE)


def test_every_block_of_python_in_the_steps_that_change_the_machine_goes_somewhere() -> None:
    text = new_instruction.PAGE.read_text()
    machine = text[text.index("## 1. ") : text.index("## 8. ")]
    assert machine.count("```python") == len(new_instruction.edits_of(text)) > 20


def test_a_line_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "unit.py").write_text("one\ntwo\ntwo\n")
    for line, times in (("two", 2), ("three", 0)):
        with pytest.raises(SystemExit, match=f"unit.py has the line '{line}' {times} times, not once"):
            new_instruction.Edit("behind", "unit.py", line, "more\n").apply(tmp_path)
    new_instruction.Edit("for", "unit.py", "one", "1\n").apply(tmp_path)
    assert (tmp_path / "unit.py").read_text() == "1\ntwo\ntwo\n"
