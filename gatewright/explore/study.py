"""The search: Optuna proposes points, in batches; its storage, a file, is all there is to go on from."""

from __future__ import annotations

import fcntl
import json
import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, GridSampler, NSGAIISampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from gatewright.contract.errors import GatewrightError
from gatewright.explore.evaluate import Evaluator
from gatewright.explore.machines import Values
from gatewright.explore.objectives import OBJECTIVES, judge
from gatewright.explore.outcome import Outcome
from gatewright.explore.space import Space, Value

STUDY, JOURNAL, LOCK = "gatewright", "study.journal", "lock"
_SPACE, _OUTCOME = "space", "outcome"
_REFUSED = 1e12
"""What Optuna is told of a refused point's objectives. Its constraint, not this, ranks it below all others."""

_PROPOSALS = 50
"""A search ends when so many batches have brought no new point."""


class Study:
    """A search in a folder: begun there, or gone on with.

    The same points come in the same order however often it is interrupted, and with any number of workers: a batch
    is proposed before any of it is told, and each proposal's random numbers begin with its own number. As long as
    there is a study of a folder, another one is refused, in any process.
    """

    def __init__(self, space: Space, folder: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        path = folder / JOURNAL
        directions = [_direction(OBJECTIVES[name].larger) for name in space.objectives]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
            weakref.finalize(self, os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _without_unfinished_line(path)
            storage = JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
            self._study = optuna.create_study(
                storage=storage,
                study_name=STUDY,
                directions=directions,
                load_if_exists=True,
                sampler=self._sampler(0),
            )
        except BlockingIOError as error:
            raise GatewrightError(
                f"another search runs in {folder}; wait for its end, or name another folder"
            ) from error
        except OSError as error:
            raise GatewrightError(f"cannot write to {folder}: {error.strerror}") from error
        except ValueError as error:
            raise GatewrightError(
                f"{path} is damaged ({error}); name another folder, or delete it and begin again"
            ) from error
        text = json.dumps(space.to_dict())
        if self._study.user_attrs.setdefault(_SPACE, text) != text:
            raise GatewrightError(f"{folder} holds the search of another space; name another folder")
        self._study.set_user_attr(_SPACE, text)

    def outcomes(self) -> list[Outcome]:
        """All different points so far, in the order in which they were tried."""
        told = [trial for trial in self._told() if _OUTCOME in trial.user_attrs]
        return [Outcome.from_dict(trial.user_attrs[_OUTCOME], f"trial {trial.number} of {JOURNAL}") for trial in told]

    def search(self, evaluator: Evaluator, points: int) -> None:
        """Go on until ``points`` different points were tried, or the space has no more."""
        known = {_values_key(outcome.values): outcome for outcome in self.outcomes()}
        for outcome in known.values():
            evaluator.remember(outcome)
        wanted = min(points, self._space.size)
        without = 0
        while len(known) < wanted and without < _PROPOSALS:
            batch = [(trial, self._values(trial.params)) for trial in self._propose()]
            fresh: dict[str, Values] = {}
            for _, values in batch:
                key = _values_key(values)
                if key not in known and len(known) + len(fresh) < wanted:
                    fresh.setdefault(key, values)
            numbered = [(len(known) + place, values) for place, values in enumerate(fresh.values())]
            known |= zip(fresh, evaluator.evaluate(numbered), strict=True)
            without = 0 if fresh else without + 1
            for trial, values in batch:
                key = _values_key(values)
                if key not in known:
                    break  # beyond the last point that is wanted: a longer search goes on here
                self._tell(trial, known[key], first=fresh.pop(key, None) is not None)

    def _propose(self) -> list[Trial]:
        """A batch's trials that were not told, with those that an interrupted run has proposed in front."""
        axes, size = self._space.axes, self._space.search.batch
        done, batch = len(self._told()), []
        for open_ in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if open_.params.keys() == axes.keys():
                # Told under its own number: NSGA-II has written down its generation there.
                batch.append(Trial(self._study, open_._trial_id))
            else:
                self._study.tell(open_.number, state=TrialState.FAIL)
        for number in range(done + len(batch), (done // size + 1) * size):
            self._study.sampler = self._sampler(number)
            batch.append(self._study.ask(self._distributions()))
        return batch

    def _values(self, places: Mapping[str, int]) -> Values:
        return {name: self._space.axes[name][place] for name, place in places.items()}

    def _tell(self, trial: Trial, outcome: Outcome, first: bool) -> None:
        """``first``: of the trials with these values."""
        if first:
            trial.set_user_attr(_OUTCOME, outcome.to_dict())
        trial.set_constraint("fits", outcome.refused.excess if outcome.refused else 0.0)
        self._study.tell(trial, self._figures(outcome))

    def _figures(self, outcome: Outcome) -> list[float]:
        names = self._space.objectives
        if outcome.refused is not None:
            return [-_REFUSED if OBJECTIVES[name].larger else _REFUSED for name in names]
        figures = judge_outcome(self._space, outcome)
        return [figures[name] for name in names]

    def _told(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    def _distributions(self) -> dict[str, BaseDistribution]:
        """Of the places of an axis's values: in order if they are numbers, apart if not."""
        return {name: _distribution(values) for name, values in self._space.axes.items()}

    def _sampler(self, number: int) -> BaseSampler:
        """For the proposal ``number``."""
        search = self._space.search
        seed = (search.seed * 1_000_003 + number) % (1 << 32)
        if search.sampler == "grid":
            return GridSampler({name: list(range(len(v))) for name, v in self._space.axes.items()}, seed=seed)
        if search.sampler == "tpe":
            return TPESampler(seed=seed, n_startup_trials=search.batch)
        return NSGAIISampler(seed=seed, population_size=search.batch)


def _without_unfinished_line(path: Path) -> None:
    """Cut what a run that died was writing, or the next line would be appended to it."""
    if path.is_file() and (data := path.read_bytes()) and not data.endswith(b"\n"):
        path.write_bytes(data[: data.rfind(b"\n") + 1])


def judge_outcome(space: Space, outcome: Outcome) -> dict[str, float]:
    """All objectives of a point that was not refused."""
    assert outcome.arch is not None and outcome.area is not None
    shares = {use.name: use.share for use in space.networks}
    return judge(outcome.cycles, shares, outcome.arch.clock_mhz, outcome.area)


def _direction(larger: bool) -> StudyDirection:
    return StudyDirection.MAXIMIZE if larger else StudyDirection.MINIMIZE


def _distribution(values: tuple[Value, ...]) -> BaseDistribution:
    places = range(len(values))
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return IntDistribution(0, places[-1])
    return CategoricalDistribution(list(places))


def _values_key(values: Any) -> str:
    return json.dumps(dict(values), sort_keys=True)
