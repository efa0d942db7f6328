"""The timeline is a document that trace viewers accept, and shows when each unit works."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gatewright.contract.errors import GatewrightError
from gatewright.report.timeline import timeline, write_timeline
from gatewright.sim.fast.machine import simulate
from tests.measure import hand_run
from tests.measure.test_attribution_random import random_program


def _threads(document: dict[str, Any]) -> dict[int, str]:
    events = document["traceEvents"]
    return {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}


def test_units_and_spans_of_the_hand_worked_run() -> None:
    document = timeline(hand_run.hand_program(), hand_run.hand_result())
    threads = _threads(document)
    slices = [e for e in document["traceEvents"] if e["ph"] == "X"]
    spans = [(threads[e["tid"]], e["name"], e["ts"], e["ts"] + e["dur"]) for e in slices]
    assert [s for s in spans if s[0].startswith("ARRAY") and "conv1" in s[1]] == [
        ("ARRAY load", "conv1 MATMUL (first load)", 195, 196),
        ("ARRAY", "conv1 MATMUL", 196, 206),
        ("ARRAY drain", "conv1 MATMUL (drain)", 206, 220),
    ]
    assert [s[1:] for s in spans if s[0] == "EPILOGUE"][:2] == [
        ("conv1 EPILOGUE (waiting)", 112, 220),
        ("conv1 EPILOGUE", 220, 240),
    ]
    assert ("SEQUENCER", "end END", 441, 442) in spans
    (matmul,) = (e for e in slices if e["name"] == "conv2 MATMUL")
    assert matmul["args"]["instruction"] == 8
    assert matmul["args"]["waits"] == "GATHER 2"
    assert matmul["args"]["stationary"] == 1
    assert document["otherData"] == {"time_unit": "1 microsecond shown is 1 clock cycle", "cycles": 442}


@pytest.mark.parametrize("seed", range(5))
def test_slices_of_a_row_do_not_overlap(seed: int) -> None:
    print(f"seed {seed}")
    program = random_program(seed)
    result = simulate(program)
    document = timeline(program, result)
    rows: dict[int, list[tuple[int, int]]] = {}
    for event in document["traceEvents"]:
        if event["ph"] == "X":
            rows.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    assert set(rows) == set(_threads(document))
    for spans in rows.values():
        assert all(before[1] <= after[0] for before, after in pairwise(sorted(spans)))
    shown = {e["args"]["instruction"] for e in document["traceEvents"] if e["ph"] == "X"}
    assert shown == set(range(len(result.trace.records)))
    assert max(end for spans in rows.values() for _, end in spans) == result.cycles


def test_the_file_is_json_and_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "timeline.json"
    program, result = hand_run.hand_program(), hand_run.hand_result()
    write_timeline(program, result, path)
    assert json.loads(path.read_text()) == timeline(program, result)
    assert [p.name for p in path.parent.iterdir()] == ["timeline.json"]
    with pytest.raises(GatewrightError, match="timeline"):
        write_timeline(program, result, path / "below")
