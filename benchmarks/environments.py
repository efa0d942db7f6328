"""Environments of other tools, made from the package index when they are first asked for, and their commands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from inspect import getsource
from pathlib import Path

from gatewright.contract.errors import GatewrightError


def peak_mib() -> int:
    """The most memory, in MiB, that this process has had. (What getrusage says a child begins with its parent's.)"""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) // 1024


PEAK_MIB = getsource(peak_mib)
"""That function as text, for scripts in other environments."""


def environment(folder: Path, requirements: Sequence[str]) -> Path:
    """The interpreter of an environment in ``folder`` with some packages; it is made if it is not there.

    Raises
    ------
    GatewrightError
        The package index has not got what is needed, or cannot be reached.
    """
    python = folder / "bin" / "python"
    done = folder / ".installed"
    if not done.is_file():
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        ):
            checked(command)
        done.touch()
    return python


def checked(command: list[str]) -> str:
    """What a command prints; one that fails is a ``GatewrightError`` with its last lines."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        raise GatewrightError(f"cannot run {command[0]}: {error}") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        ended = f"was ended by signal {-done.returncode}" if done.returncode < 0 else f"failed: {' / '.join(last)}"
        raise GatewrightError(f"{' '.join(command[:2])} ... {ended}")
    return done.stdout
