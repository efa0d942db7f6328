"""A timeline is a document of the Trace Event Format, by a schema of the format and a validator of others."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gatewright.report.timeline import timeline, write_timeline
from gatewright.sim.fast.machine import simulate
from tests.measure import hand_run
from tests.measure.test_attribution_random import random_program

SCHEMA = json.loads(Path(__file__).with_name("trace_event_format.json").read_text())
FORMAT = Draft202012Validator(SCHEMA)


def _faults(document: Any) -> list[str]:
    return [f"{'/'.join(map(str, fault.absolute_path))}: {fault.message}" for fault in FORMAT.iter_errors(document)]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_file_of_the_hand_worked_run(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    write_timeline(hand_run.hand_program(), hand_run.hand_result(), path)
    assert _faults(json.loads(path.read_text())) == []


@pytest.mark.parametrize("seed", range(3))
def test_timelines_of_random_programs(seed: int) -> None:
    print(f"seed {seed}")
    program = random_program(seed)
    assert _faults(json.loads(json.dumps(timeline(program, simulate(program))))) == []


def _slice(document: Any) -> Any:
    return next(event for event in document["traceEvents"] if event["ph"] == "X")


def _metadata(document: Any, name: str) -> Any:
    return next(event for event in document["traceEvents"] if event["name"] == name)


SPOILT: dict[str, Callable[[Any], object]] = {
    "no events": lambda d: d.pop("traceEvents"),
    "a unit of time that viewers do not have": lambda d: d.update(displayTimeUnit="us"),
    "an unknown phase": lambda d: _slice(d).update(ph="Q"),
    "a phase that needs an id": lambda d: _slice(d).update(ph="b"),
    "a slice without a name": lambda d: _slice(d).pop("name"),
    "a slice without a start": lambda d: _slice(d).pop("ts"),
    "a slice without a length": lambda d: _slice(d).pop("dur"),
    "a negative length": lambda d: _slice(d).update(dur=-1),
    "a start in words": lambda d: _slice(d).update(ts="12"),
    "a slice of no thread": lambda d: _slice(d).pop("tid"),
    "a slice of no process": lambda d: _slice(d).pop("pid"),
    "arguments that are a list": lambda d: _slice(d).update(args=[]),
    "a colour that is not reserved": lambda d: _slice(d).update(cname="gray"),
    "a counter of words": lambda d: _slice(d).update(ph="C", args={"busy": "yes"}),
    "metadata that viewers do not have": lambda d: _metadata(d, "thread_name").update(name="unit_name"),
    "a thread's name without one": lambda d: _metadata(d, "thread_name").update(args={}),
    "a thread's name for no thread": lambda d: _metadata(d, "thread_name").pop("tid"),
    "an order in words": lambda d: _metadata(d, "thread_sort_index")["args"].update(sort_index="1"),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_the_schema_refuses(fault: str) -> None:
    document = copy.deepcopy(timeline(hand_run.hand_program(), hand_run.hand_result()))
    assert _faults(document) == []
    SPOILT[fault](document)
    assert len(_faults(document)) >= 1
