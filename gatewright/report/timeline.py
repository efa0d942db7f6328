"""A run as trace events, for Perfetto (ui.perfetto.dev) or chrome://tracing.

Every unit has a track. Instructions of a unit may overlap (a LOAD is on the bus while the next one
is addressed; a MATMUL drains while the next one streams), and slices of one track may not, so a
unit gets as many rows as it needs. One cycle is shown as one microsecond.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import FORMATS, OPERAND_COLUMN, WAITS, Opcode, Unit
from gatewright.contract.program import Program
from gatewright.measure.waterfall import stream_span
from gatewright.sim.result import SimResult

_PROCESS = 1
_ROWS_PER_TRACK = 100
"""Thread numbers are track * this + row, so that Perfetto sorts a unit's rows together."""

_TRACKS = ("SEQUENCER", "LOAD", "GATHER", "ARRAY load", "ARRAY", "ARRAY drain", "EPILOGUE", "INDEX", "STORE")


def write_timeline(program: Program, result: SimResult, path: str | Path) -> None:
    """Write a run's timeline to ``path``; the file appears whole or not at all."""
    path = Path(path)
    data = timeline(program, result)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(data, separators=(",", ":"), allow_nan=False), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise GatewrightError(f"cannot write the timeline to {path}: {error}") from error
    finally:
        if partial.parent.is_dir():
            partial.unlink(missing_ok=True)


def timeline(program: Program, result: SimResult) -> dict[str, Any]:
    """The trace-event document.

    A MATMUL has up to three slices: from its start to its first stream, its streams, its drain. An
    EPILOGUE that starts before its waits are met has a slice for that time.
    """
    rows = _Rows()
    for position, record in enumerate(result.trace.records):
        number, unit = int(record["instruction"]), Unit(int(record["unit"]))
        name = f"{program.layers[number]} {program.opcode_name(number)}"
        start, run, done = (int(record[key]) for key in ("start", "run", "done"))
        arguments = {**_arguments(program, number), "dispatch": int(record["dispatch"])}
        if run > start:
            rows.add(unit.name, f"{name} (waiting)", start, run, arguments, "waiting")
        span = stream_span(program, result.trace, result.work, position) if unit == Unit.ARRAY else None
        if span is not None:
            begin, end = span
            rows.add("ARRAY load", f"{name} (first load)", run, begin, arguments, "waiting")
            rows.add("ARRAY", name, begin, end, arguments, unit.name)
            rows.add("ARRAY drain", f"{name} (drain)", end, done, arguments, "drain")
        else:
            rows.add(unit.name, name, run, done, arguments, unit.name)
    return {
        "traceEvents": rows.names() + rows.events,
        "displayTimeUnit": "ns",
        "otherData": {"time_unit": "1 microsecond shown is 1 clock cycle", "cycles": result.cycles},
    }


class _Rows:
    """Slices, each on the first row of its track that is free by then."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._free: dict[str, list[int]] = {track: [] for track in _TRACKS}

    def add(self, track: str, name: str, begin: int, end: int, arguments: dict[str, Any], category: str) -> None:
        """One slice [begin, end) in cycles; an empty one is left out."""
        if end <= begin:
            return
        free = self._free[track]
        row = next((row for row, cycle in enumerate(free) if cycle <= begin), len(free))
        free[row : row + 1] = [end]
        event = {"name": name, "cat": category, "ph": "X", "ts": begin, "dur": end - begin}
        if category == "waiting":
            event["cname"] = "grey"
        self.events.append({**event, "pid": _PROCESS, "tid": _thread(track, row), "args": arguments})

    def names(self) -> list[dict[str, Any]]:
        """The metadata events that name and order the tracks."""
        found: list[dict[str, Any]] = [_metadata("process_name", 0, {"name": "machine (1 cycle = 1 us)"})]
        for track, free in self._free.items():
            for row in range(len(free)):
                thread = _thread(track, row)
                found.append(_metadata("thread_name", thread, {"name": track if not row else f"{track} {row + 1}"}))
                found.append(_metadata("thread_sort_index", thread, {"sort_index": thread}))
        return found


def _thread(track: str, row: int) -> int:
    return (_TRACKS.index(track) + 1) * _ROWS_PER_TRACK + row


def _metadata(name: str, thread: int, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "ph": "M", "pid": _PROCESS, "tid": thread, "args": arguments}


def _arguments(program: Program, number: int) -> dict[str, Any]:
    row = [int(value) for value in program.code[number]]
    opcode = Opcode(row[0])
    pairs = [(row[1 + 2 * wait], row[2 + 2 * wait]) for wait in range(WAITS)]
    waits = [f"{Unit(unit).name} {count}" for unit, count in pairs if unit != Unit.NONE]
    fields = {field.name: row[OPERAND_COLUMN + i] for i, field in enumerate(FORMATS[opcode].fields)}
    return {"instruction": number, "waits": ", ".join(waits) or "none", **fields}
