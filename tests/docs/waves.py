"""``python -m tests.docs.waves``: draw the manual's timing diagrams from a run of the RTL.

Builds a small machine in Verilator, runs the program of ``tests/docs/diagrams.py`` in lockstep with the simulator, and
writes the signals of the pictures' windows into ``docs/waves/NAME.wave.json`` (WaveJSON). With ``--check`` nothing is
written: the exit code is 1 if a file is not what the run gives. Minutes, most of them for the build.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gatewright.verify import design, lockstep, runner, tools
from gatewright.verify.expectations import expect
from tests.docs.diagrams import ARCH, DIAGRAMS, Diagram, Lane, program
from tests.docs.pages import PAGES

FOLDER = PAGES / "waves"
CLOCK = "clk"
BOOT = "trace_boot"

Sample = Mapping[str, int]
"""The value of each port in a cycle."""


def samples_of(vcd: Path, names: Sequence[str]) -> list[dict[str, int]]:
    """The values of signals as each rising edge of the clock finds them, from the cycle on in which ``boot`` is 1."""
    wanted, ids = {*names, CLOCK, BOOT}, dict[str, str]()
    values = dict.fromkeys(wanted, 0)
    settled, rising, cycles = dict(values), False, list[dict[str, int]]()
    with vcd.open() as file:
        for line in file:
            words = line.split()
            if not words:
                continue
            if words[0] == "$var":
                code, name = words[3:5]
                if name in wanted and name not in ids.values():
                    ids[code] = name
            elif line[0] == "#":
                if rising and (cycles or settled[BOOT]):
                    cycles.append(settled)
                settled, rising = dict(values), False
            elif line[0] in "01xz" and words[0][1:] in ids:
                name, value = ids[words[0][1:]], int(line[0] == "1")
                rising |= name == CLOCK and value > values[name]
                values[name] = value
            elif line[0] == "b" and words[1] in ids:
                values[ids[words[1]]] = int(words[0][1:], 2)
    missing = wanted - set(ids.values())
    assert not missing, f"the waveforms lack {', '.join(sorted(missing))}"
    return cycles


def picture(diagram: Diagram, cycles: Mapping[int, Sample], first: int, last: int) -> dict[str, Any]:
    """A diagram as WaveJSON."""
    window = [cycles[cycle] for cycle in range(first, last + 1)]
    groups: list[Any] = [{"name": "clk", "wave": "p" + "." * (len(window) - 1)}]
    for name, lanes in diagram.groups:
        drawn = [_lane(lane, window) for lane in lanes]
        groups += [[name, *drawn]] if name else drawn
    return {
        "signal": groups,
        "head": {"text": diagram.title},
        "foot": {"tick": first},
        "config": {"hscale": diagram.scale},
    }


def _lane(lane: Lane, window: Sequence[Sample]) -> dict[str, Any]:
    if not lane.valid:
        bits = [sample[lane.port] >> (lane.bit or 0) & 1 for sample in window]
        return {"name": lane.label, "wave": _marks(list(map(str, bits)), "".join)}
    shown = [lane.show(sample[lane.port]) if sample[lane.valid] else "" for sample in window]
    marks = _marks(shown, lambda text: "=" if text else "x")
    return {
        "name": lane.label,
        "wave": marks,
        "data": [text for text, mark in zip(shown, marks, strict=True) if mark == "="],
    }


def _marks(values: Sequence[str], mark: Callable[[str], str]) -> str:
    """A mark for each value; a dot where it is that of the cycle before."""
    before = [None, *values]
    return "".join("." if value == last else mark(value) for value, last in zip(values, before, strict=False))


def text_of(waves: Mapping[str, Any]) -> str:
    """As the file holds it: a signal a line."""
    return json.dumps(waves, indent=1) + "\n"


def from_the_rtl() -> dict[str, str]:
    """The texts of all diagrams by name, of a run of the RTL that agrees with the simulator in every cycle and byte."""
    expectation = expect(program())
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, lockstep.capacity_for([expectation]))
    names = sorted(
        {port for one in DIAGRAMS for _, lanes in one.groups for lane in lanes for port in (lane.port, lane.valid)}
    )
    with tempfile.TemporaryDirectory() as made:
        job, vcd = Path(made), Path(made) / "run.vcd"
        lockstep.write_jobs(bench, [expectation], job)
        window = ("+wave_image=0", "+wave_first=0", f"+wave_last={expectation.cycles + 1}", f"+wave_file={vcd}")
        runner.run(bench.build(waves=True), job, window)
        difference = lockstep.judge(bench, expectation, job, 0).difference
        assert difference is None, difference
        cycles = samples_of(vcd, [name for name in names if name])
    by_number = dict(enumerate(cycles))
    records = expectation.trace.records
    return {one.name: text_of(picture(one, by_number, *one.window(records))) for one in DIAGRAMS}


def main() -> int:
    """Write the diagrams, or compare them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.docs.waves", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    options = parser.parse_args()
    os.environ.setdefault(tools.QUICK_VARIABLE, "1")  # the simulator runs for a second: optimising it takes longer
    wrong = 0
    for name, text in from_the_rtl().items():
        path = FOLDER / f"{name}.wave.json"
        same = path.is_file() and path.read_text() == text
        print(f"{path.relative_to(PAGES.parent)}: {'as it was' if same else 'differs' if options.check else 'written'}")
        wrong += not same
        if not options.check and not same:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return int(options.check and bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
