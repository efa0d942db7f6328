"""One variation of a network on a machine: compile it, run it, check it, count its cycles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from gatewright.agreement import check_outputs
from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.graph import Decisions, QuantisedGraph
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import Outputs, run_reference
from gatewright.compiler.graph.serving import without_gate
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.measure.accesses import Accesses, layer_accesses
from gatewright.sim.held import simulate_held


@dataclass(frozen=True)
class Case:
    """A network and N images: int8 inputs, and what its gates decide about each."""

    graph: QuantisedGraph
    inputs: npt.NDArray[np.int8]
    decisions: tuple[Decisions, ...]
    live: bool
    """One program for all images, in place of one for each."""


@dataclass(frozen=True)
class Variation:
    """What is different: the machine, gates that the network does not have, gates that are open all over.

    ``more``: of a gate, by name, so many of the channels or tiles that are off are on as well, from the first on; if it
    is negative, so many that are on are off, from the last on.
    """

    arch: ArchConfig
    without: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    more: tuple[str, int] | None = None

    def decisions(self, own: Decisions) -> Decisions:
        """What the gates decide, if ``own`` is what they decide by themselves."""
        held = {name: decision.copy() for name, decision in own.items() if name not in self.without}
        for name in self.opened:
            if name in held:
                held[name][...] = True
        if self.more is not None and self.more[0] in held:
            (name, count) = self.more
            flat = held[name].reshape(-1)
            if count > 0:
                flat[np.flatnonzero(~flat)[:count]] = True
            else:
                flat[np.flatnonzero(flat)[count:]] = False
        return held


@dataclass(frozen=True)
class Outcome:
    """Cycles and counted MACs of each image; or why there are none."""

    cycles: tuple[int, ...] = ()
    macs: tuple[int, ...] = ()
    refused: str | None = None

    @property
    def mean(self) -> float:
        """Mean cycles of an image."""
        return float(np.mean(self.cycles))

    @property
    def mean_macs(self) -> float:
        """Mean MACs of an image."""
        return float(np.mean(self.macs))


class Runner:
    """Runs variations of a case in several processes. A context manager: the processes end with it."""

    def __init__(self, case: Case, workers: int | None = None) -> None:
        self.case = case
        count = workers or min(os.cpu_count() or 1, 8)
        self._pool = ProcessPoolExecutor(count, initializer=_start, initargs=(case,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, title: str, variations: Sequence[Variation]) -> list[Outcome]:
        """The outcome of each, in order; whoever waits sees a bar with ``title``.

        Results that differ from the integer reference's are an ``AssertionError``.
        """
        return list(tqdm(self._pool.map(_run, variations), title, total=len(variations), disable=None))

    def accesses(self, arch: ArchConfig) -> list[Accesses]:
        """What each image accesses, layer by layer, as its gates decide."""
        jobs = [(arch, number) for number in range(len(self.case.decisions))]
        return list(tqdm(self._pool.map(_count, jobs), "accesses", total=len(jobs), disable=None))


_case: Case | None = None


def _start(case: Case) -> None:
    global _case
    _case = case
    for cached in (_graph, _compiler, _live_program, _expected):
        cached.cache_clear()


def _run(variation: Variation) -> Outcome:
    assert _case is not None
    cycles, macs = [], []
    try:
        for number, own in enumerate(_case.decisions):
            held = variation.decisions(own)
            cycles.append(_run_image(_case, variation, number, held))
            macs.append(counted_macs(_graph(variation.without), held))
    except GatewrightError as error:
        return Outcome(refused=str(error))
    return Outcome(tuple(cycles), tuple(macs))


def _count(job: tuple[ArchConfig, int]) -> Accesses:
    assert _case is not None
    arch, number = job
    return layer_accesses(_program(_case, Variation(arch), number, _case.decisions[number]), _case.inputs[number])


def _program(case: Case, variation: Variation, number: int, held: Decisions) -> Program:
    if case.live:
        return _live_program(variation.arch, variation.without)
    return _compiler(variation.arch, variation.without).compile(held, case.inputs[number])


def _run_image(case: Case, variation: Variation, number: int, held: Decisions) -> int:
    sample, program = case.inputs[number], _program(case, variation, number, held)
    cycles, outputs = simulate_held(program, sample, held)
    check_outputs(f"image {number} with {variation}", outputs, _expected(replace(variation, arch=_ANY), number))
    return cycles


_ANY = ArchConfig()
"""Results are those of any machine."""


@lru_cache(maxsize=64)
def _expected(variation: Variation, number: int) -> Outputs:
    assert _case is not None
    held = variation.decisions(_case.decisions[number])
    sample = _case.inputs[number : number + 1]
    return run_reference(_graph(variation.without), sample, held=held).outputs_of(0)


@lru_cache(maxsize=2)
def _graph(without: tuple[str, ...]) -> QuantisedGraph:
    assert _case is not None
    return without_gate(_case.graph, without) if without else _case.graph


@lru_cache(maxsize=2)
def _compiler(arch: ArchConfig, without: tuple[str, ...]) -> Compiler:
    return Compiler(_graph(without), arch)


@lru_cache(maxsize=2)
def _live_program(arch: ArchConfig, without: tuple[str, ...]) -> Program:
    return _compiler(arch, without).compile_live()
