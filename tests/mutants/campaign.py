"""Whether the checks notice a mutant: each runs in a mutated copy of the project until one fails."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from gatewright.contract.errors import GatewrightError
from gatewright.verify.tools import BUILDS_VARIABLE, QUICK_VARIABLE
from tests.mutants.mutant import ROOT, Mutant, copy_project

PROGRAMS = 40
"""Random programs in lockstep."""

STEPPED_SEEDS = (0, 1, 2, 3, 4, 5, 20)
"""Of each test of the stepped simulator; the first program with a residual from a map of another width is 20."""

LIMIT = 3600
"""Seconds after which a check is given up; that is no verdict, however long it may be."""

BROKEN = re.compile(r"(Syntax|Indentation|Name|Import|ModuleNotFound|Attribute|Type|Typing|Lowering)Error")
"""A mutant that does not compile proves nothing about a check."""


@dataclass(frozen=True)
class Check:
    """A command (behind the interpreter) that exits with 1 if it notices a fault."""

    name: str
    arguments: tuple[str, ...]


def lockstep_check() -> Check:
    """Random programs on the RTL and the fast simulator, 4x4."""
    return Check(f"lockstep of {PROGRAMS}", ("-m", "tests.mutants.lockstep", str(PROGRAMS)))


def corners_check() -> Check:
    """The same with programs of the corners: early exits, empty reductions, source masks, long STOREs."""
    return Check(f"lockstep of {PROGRAMS} in corners", ("-m", "tests.mutants.lockstep", str(PROGRAMS), "corners"))


def unit_check(bench: str) -> Check:
    """A block against its twin in the stepped simulator."""
    return Check(bench, ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *bench.split()))


def stepped_check(seeds: tuple[int, ...] = STEPPED_SEEDS) -> Check:
    """Random programs on both simulators, with the oracle; one with random contents of the memories."""
    chosen = " or ".join((*(f"[{seed}]" for seed in seeds), "[100-"))
    tests = "tests/sim/stepped/test_random.py"
    return Check("stepped random", ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", tests, "-k", chosen))


def layers_check() -> Check:
    """Layers with windows, digits, rings and pieces on both simulators, with oracles of their own."""
    return Check(
        "layers on both simulators", ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/sim/layers")
    )


def checks_of(mutant: Mutant) -> list[Check]:
    """In the order in which they run."""
    if mutant.in_hw:
        return [lockstep_check(), corners_check(), unit_check(mutant.bench)]
    named = [unit_check(mutant.bench)] if mutant.bench else []
    return [stepped_check(), layers_check(), *named, lockstep_check(), corners_check()]


@dataclass(frozen=True)
class Verdict:
    """``caught_by``: the check that failed, None if the mutant survived all. ``line``: the first of its failure."""

    mutant: Mutant
    caught_by: str | None
    seconds: float
    line: str


class Workplace:
    """A folder with a copy of the project as it is, and in turn a copy for each mutant; builds are kept beside them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pristine = folder / "pristine"
        self._sound: set[Check] = set()
        copy_project(ROOT, self._pristine)

    def judge(self, mutant: Mutant, checks: list[Check] | None = None) -> Verdict:
        """Run the checks until one notices the mutant, and does not object to the project without it."""
        tree = self._folder / mutant.name
        copy_project(self._pristine, tree)
        try:
            mutant.apply(tree)
            begin = time.perf_counter()
            for check in checks_of(mutant) if checks is None else checks:
                line = self._fails(check, tree)
                if line is not None:
                    seconds = time.perf_counter() - begin
                    self._demand_sound(check)
                    return Verdict(mutant, check.name, seconds, line)
            return Verdict(mutant, None, time.perf_counter() - begin, "")
        finally:
            shutil.rmtree(tree)

    def _demand_sound(self, check: Check) -> None:
        """A check that always fails catches nothing."""
        if check in self._sound:
            return
        line = self._fails(check, self._pristine)
        if line is not None:
            raise GatewrightError(f"{check.name} fails without a mutant ({line}); repair that first")
        self._sound.add(check)

    def _fails(self, check: Check, tree: Path) -> str | None:
        """The first line of the check's failure in a tree, None if it passes."""
        environment = dict(os.environ)
        environment |= {
            "PYTHONPATH": str(tree),
            BUILDS_VARIABLE: str(self._folder / "builds"),
            QUICK_VARIABLE: "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        ran = subprocess.run(
            [sys.executable, *check.arguments],
            cwd=tree,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LIMIT,
        )
        if ran.returncode == 0:
            return None
        line = first_line(ran.stdout)
        if ran.returncode != 1 or BROKEN.search(line):
            tail = "\n".join(ran.stdout.splitlines()[-25:])
            raise GatewrightError(f"{check.name} came to no verdict (exit code {ran.returncode}):\n{tail}")
        return line


def first_line(output: str) -> str:
    """What a failed check says first: the reason in pytest's E lines, rather the bench's own; else the last line."""
    lines = [line for line in output.splitlines() if line.strip()]
    reasons = [line[1:].strip() for line in lines if line.startswith("E ")]
    told = [r for r in reasons if "Error: " in r and "tests failed" not in r and "did not finish" not in r]
    if not reasons:
        return (lines or [""])[-1][:300]
    begin = reasons.index((told or reasons)[0])
    return " ".join(reason for reason in reasons[begin : begin + 4] if reason)[:300]
