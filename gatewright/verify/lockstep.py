"""Programs through RTL and simulator, compared; at the first difference a report and a window of waveforms."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import Images
from gatewright.contract.program import Program
from gatewright.contract.trace import TRACE_DTYPE, Trace
from gatewright.verify import runner, tools
from gatewright.verify.difference import Finding, read_events, read_outcome, report
from gatewright.verify.expectations import STOP_LIMIT, Expectation, cycle_limit, write_files
from gatewright.verify.final_state import final_differences, read_registers
from gatewright.verify.memory_files import as_beats

BASE = 0x4_0000
"""Where the image lies in DRAM: not 0, so that a forgotten base address shows."""

WINDOW_BEFORE, WINDOW_AFTER = 400, 100
"""Cycles of waveforms around a difference."""


@dataclass(frozen=True)
class Verified:
    """One program's comparison. ``difference`` is the report of the first difference; without one all was equal."""

    number: int
    instructions: int
    events: int
    writes: int
    dram_writes: int
    compared_bytes: int
    cycles: int
    seconds: float
    """Processor time of the program in the simulator, without its start and the files."""
    difference: str | None = None
    finding: Finding | None = None
    """The difference as the monitor saw it; None where only the final state differs."""
    waves: Path | None = None
    seen: npt.NDArray[np.int64] | None = None
    """Every event of the RTL where its cycles are its own, [events, 3]: unit, kind (dispatch or control, start, run,
    retire), cycle; None where they are the simulator's."""


@dataclass(frozen=True)
class Bench:
    """How to compare: the simulator's build and its mode. ``stall`` 0 compares cycles, others are seeds of stalls."""

    verilog: str
    arch: ArchConfig
    capacity: runner.Capacity
    stall: int = 0
    bench: str = "bench"

    @property
    def exact(self) -> bool:
        return self.stall == 0 and self.bench == "bench"

    def build(self, waves: bool = False) -> runner.Build:
        """The simulator, made if it is not there."""
        return runner.build(self.verilog, self.arch, self.capacity, bench=self.bench, waves=waves)


def capacity_for(expectations: Sequence[Expectation]) -> runner.Capacity:
    """Memories large enough for every one of the programs."""
    return runner.Capacity.of(
        max(len(e.trace.records) for e in expectations),
        max(0 if e.writes is None else e.writes.capacity for e in expectations),
        max(len(e.image) for e in expectations),
    )


def verify(
    bench: Bench, expectations: Sequence[Expectation], *, first: int = 0, waves: Path | None = None
) -> list[Verified]:
    """Run programs one after the other on one machine, without a reset in between, up to the first difference.

    ``first`` is the number of the first one. ``waves``: a file for a window of waveforms around a difference,
    for which the programs run again in a second build.
    """
    made = bench.build()
    with tempfile.TemporaryDirectory(prefix="gatewright-") as name:
        job = Path(name)
        write_jobs(bench, expectations, job, first)
        runner.run(made, job)
        results = []
        for number, expectation in enumerate(expectations, start=first):
            results.append(judge(bench, expectation, job, number))
            if results[-1].difference is not None:
                break
        if results[-1].finding is not None and waves is not None:
            results[-1] = keep_waves(bench, results[-1], job, waves)
        return results


def stops(bench: Bench, programs: Sequence[Program]) -> list[dict[str, int]]:
    """The control registers behind each of some programs that must stop the machine with an error.

    They run one after the other; the machine recovers by itself in between.
    """
    made = bench.build()
    nothing = Trace(np.zeros(0, TRACE_DTYPE), 0)
    with tempfile.TemporaryDirectory(prefix="gatewright-") as name:
        job = Path(name)
        expectations = [Expectation(p, p.image, nothing, {}, p.image, np.zeros(0, np.uint8), None) for p in programs]
        write_jobs(bench, expectations, job, error=True)
        runner.run(made, job)
        return [read_registers(job / f"image_{number}" / "registers.json").values for number in range(len(programs))]


def write_jobs(
    bench: Bench, expectations: Sequence[Expectation], job: Path, first: int = 0, error: bool = False
) -> None:
    """Everything that the bench reads, in the folder ``job``. ``error``: the programs stop the machine early."""
    jobs = []
    for number, expectation in enumerate(expectations, start=first):
        program = expectation.program
        if program.arch != bench.arch:
            raise GatewrightError(f"program {number} is for arch {program.arch.name}, the RTL is {bench.arch.name}")
        write_files(expectation, job / f"image_{number}", exact=bench.exact)
        jobs.append(
            {
                "number": number,
                "beats": len(as_beats(expectation.image)),
                "base": BASE,
                "code_address": program.code_address,
                "boot_count": program.boot_count,
                **_image_registers(expectation.images),
                "stall": bench.stall,
                "error": int(error),
                "limit": STOP_LIMIT if error else 2 * cycle_limit(expectation, exact=bench.exact),
            }
        )
    (job / "jobs.json").write_text(json.dumps(jobs))


def _image_registers(images: Images) -> dict[str, int]:
    """What the host writes for the images of a start, by register."""
    rings = {"INPUT": images.inputs, "OUTPUT": images.outputs}
    fields = {"OFFSET": "offset", "STRIDE": "stride", "SLOTS": "slots"}
    of_rings = {f"{ring}_{name}": getattr(rings[ring], field) for ring in rings for name, field in fields.items()}
    return {"IMAGES": images.count, **of_rings}


def judge(bench: Bench, expectation: Expectation, job: Path, number: int) -> Verified:
    """Read what a run left behind in ``job`` about program ``number``."""
    folder = job / f"image_{number}"
    outcome = read_outcome(folder / "result.txt")
    registers = read_registers(folder / "registers.json")
    totals = outcome.totals
    difference = None
    if outcome.finding is not None:
        difference = report(outcome.finding, expectation, registers.values)
    else:
        lines = final_differences(expectation, folder, registers, exact=bench.exact)
        if lines:
            difference = "\n  ".join(["all events agree, but the final state differs:", *lines])
    sequences = () if expectation.writes is None else expectation.writes.sequences
    compared = sum(int(s.counts.sum()) for s in sequences) + len(expectation.dram) + len(expectation.scratchpad)
    return Verified(
        number=number,
        instructions=totals["instructions"],
        events=outcome.events,
        writes=outcome.writes,
        dram_writes=totals["dram_writes"],
        compared_bytes=compared,
        cycles=totals["cycle"] + 1,
        seconds=registers.seconds,
        difference=difference,
        finding=outcome.finding,
        seen=None if bench.exact else read_events(folder / "events_seen.txt"),
    )


def keep_waves(bench: Bench, result: Verified, job: Path, waves: Path) -> Verified:
    """Run again in the build with waveforms, and keep a window around the difference in the file ``waves``."""
    assert result.finding is not None and result.difference is not None
    cycle, window = result.finding.cycle, job / "window.vcd"
    runner.run(
        bench.build(waves=True),
        job,
        (
            f"+wave_image={result.number}",
            f"+wave_first={max(0, cycle - WINDOW_BEFORE)}",
            f"+wave_last={cycle + WINDOW_AFTER}",
            f"+wave_file={window}",
        ),
    )
    second = read_outcome(job / f"image_{result.number}" / "result.txt").finding
    note = "" if second == result.finding else f"\n  the run with waveforms found another difference: {second}"
    if not window.is_file():
        raise GatewrightError(f"the run with waveforms wrote no {window.name}:\n{tools.tail(job / 'run.log')}")
    try:
        waves.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(window, waves)
    except OSError as error:
        raise GatewrightError(f"cannot write {waves}: {error.strerror}") from error
    return replace(result, difference=result.difference + note, waves=waves)
