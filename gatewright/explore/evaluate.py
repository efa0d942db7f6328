"""Points become outcomes: what is the same for several of them is done once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from joblib import Parallel, delayed

from gatewright import flow
from gatewright.boards import Board, load_board
from gatewright.contract.arch import ArchConfig, DramConfig
from gatewright.contract.errors import GatewrightError
from gatewright.explore.area import estimate
from gatewright.explore.machines import Values, machine, over_goals, refuse, same_programs
from gatewright.explore.outcome import Outcome, Refusal, point_name
from gatewright.explore.space import BOARD, Space
from gatewright.explore.workload import Workload, run

Runs = dict[str, tuple[int, ...]]
"""Cycles of each network's images."""


@dataclass
class Evaluator:
    """Evaluates the points of a space for its networks, ``workers`` processes at a time."""

    space: Space
    workloads: Sequence[Workload]
    workers: int
    progress: Callable[[int], None] = lambda count: None
    """Is told how many more points are done."""
    _boards: dict[str, Board] = field(default_factory=dict)
    _known: dict[tuple[ArchConfig, DramConfig], Runs | str] = field(default_factory=dict)

    def remember(self, outcome: Outcome) -> None:
        """Cycles that an earlier run has measured."""
        if outcome.arch is not None and (outcome.cycles or (outcome.refused and outcome.refused.by == "network")):
            reason = outcome.refused.reason if outcome.refused else None
            self._known[_key(outcome.arch)] = outcome.cycles if reason is None else reason

    def evaluate(self, points: Sequence[tuple[int, Values]]) -> list[Outcome]:
        """The outcomes of numbered points, in their order."""
        outcomes = {number: self._without_cycles(number, values) for number, values in points}
        needed = [_key(o.arch) for o in outcomes.values() if o.arch is not None and o.refused is None]
        needed = [key for key in needed if key not in self._known]
        groups: dict[ArchConfig, list[DramConfig]] = {}
        for like, dram in dict.fromkeys(needed):
            groups.setdefault(like, []).append(dram)
        self.progress(len(points) - len(needed))
        for like, drams, results in self._run(groups):
            for dram, result in zip(drams, results, strict=True):
                self._known[like, dram] = result
            self.progress(sum(key[0] == like for key in needed))
        return [self._with_cycles(outcome) for outcome in outcomes.values()]

    def _without_cycles(self, number: int, values: Values) -> Outcome:
        """All that takes no simulation; refused already if the machine cannot be, or its board is too small."""
        name = point_name(number)
        try:
            arch = machine(self.space, values, name)
        except GatewrightError as error:
            return Outcome(number, dict(values), None, None, refused=Refusal("machine", refuse(error, name), 1.0))
        area = estimate(arch)
        outcome = Outcome(number, dict(values), arch, area)
        if BOARD not in values:
            return outcome
        board = self._boards.setdefault(str(values[BOARD]), load_board(str(values[BOARD])))
        return replace(outcome, refused=over_goals(board, area))

    def _with_cycles(self, outcome: Outcome) -> Outcome:
        if outcome.refused is not None or outcome.arch is None:
            return outcome
        found = self._known[_key(outcome.arch)]
        if isinstance(found, str):
            return replace(outcome, refused=Refusal("network", found, 1.0))
        return replace(outcome, cycles=found)

    def _run(
        self, groups: Mapping[ArchConfig, Sequence[DramConfig]]
    ) -> Iterator[tuple[ArchConfig, Sequence[DramConfig], list[Runs | str]]]:
        jobs = (delayed(run_all)(tuple(self.workloads), like, tuple(drams)) for like, drams in groups.items())
        results = Parallel(n_jobs=self.workers, return_as="generator")(jobs)
        for (like, drams), result in zip(groups.items(), results, strict=True):
            yield like, drams, result


def run_all(workloads: Sequence[Workload], arch: ArchConfig, drams: Sequence[DramConfig]) -> list[Runs | str]:
    """Each DRAM's cycles of all networks on a machine, or why one of them does not fit it."""
    flow.limit_threads()
    found: list[Runs] = [{} for _ in drams]
    for work in workloads:
        try:
            cycles = run(work, arch, drams)
        except GatewrightError as error:
            return [f"{work.name}: {error}"] * len(drams)
        for runs, of_images in zip(found, cycles, strict=True):
            runs[work.name] = tuple(of_images)
    return list(found)


def _key(arch: ArchConfig) -> tuple[ArchConfig, DramConfig]:
    return same_programs(arch), arch.dram
