"""The fast simulator's face: run a program on one sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.errors import GatewrightError
from gatewright.program import Program
from gatewright.sim import work
from gatewright.sim.audit import Auditor
from gatewright.sim.observe import Tensor, read_placement
from gatewright.sim.result import SimResult
from gatewright.sim.run import Run
from gatewright.sim.state import State
from gatewright.trace import Trace


def simulate(
    program: Program, sample: npt.NDArray[np.int8] | None = None, *, observe: bool = False, audit: bool = False
) -> SimResult:
    """Run ``program`` to its end, exactly in values and in cycles.

    ``sample`` (int8, as many bytes as the program's input region; [height, width, channels]) replaces
    the input region in a private copy of the image. ``observe`` collects the program's tensors.
    ``audit`` checks afterwards that no two units race for a memory location. A program that does
    something illegal raises ``GatewrightError`` with the number of the instruction, counted in
    execution order from 0.
    """
    run = Run(program, _with_sample(program, sample))
    auditor = Auditor(run.geometry, run.state) if audit else None
    tensors: dict[str, Tensor] = {}
    due = sorted({placement.last_write for placement in program.placements}) if observe else []
    finished = False
    while not finished:
        stop = run.count + 1 if auditor else (due[0] + 1 if due else -1)
        fetched_from = run.pc
        finished = run.advance(stop + 1 if stop >= 0 else stop)
        if auditor:
            auditor.record(run.executed[run.count], run.work[run.count], fetched_from)
        while due and due[0] < run.count:
            last_write = due.pop(0)
            for placement in program.placements:
                if placement.last_write == last_write:
                    tensors[placement.tensor] = read_placement(program, placement, run.state)
    records, cycles = run.schedule()
    executed = slice(1, run.count + 1)
    if auditor:
        auditor.check(run.executed[executed], run.work[executed], records)
    state = run.state
    return SimResult(
        cycles=cycles,
        trace=Trace(records, cycles),
        logits=_logits(program, state),
        dram=state.dram,
        scratchpad=state.scratchpad.view(np.uint8),
        masks=state.masks,
        tables=[entries[:count].copy() for entries, count in zip(state.tables, state.counts, strict=True)],
        work=work.as_records(run.work[executed]),
        tensors=tensors,
    )


def _with_sample(program: Program, sample: npt.NDArray[np.int8] | None) -> npt.NDArray[np.uint8]:
    if sample is None:
        return program.image
    region = program.input_region
    if sample.dtype != np.int8 or sample.size != region.size:
        raise GatewrightError(
            f"sample: {sample.dtype} {list(sample.shape)} is not the {region.size} int8 values of region {region.name!r}"
        )
    if region.address + region.size > len(program.image):
        raise GatewrightError(
            f"region {region.name!r} ends at byte {region.address + region.size} of an image of "
            f"{len(program.image)} bytes; compile the program again"
        )
    image = program.image.copy()
    image[region.address : region.address + region.size] = np.ascontiguousarray(sample).reshape(-1).view(np.uint8)
    return image


def _logits(program: Program, state: State) -> npt.NDArray[np.int32]:
    region = program.output_region
    raw = state.dram[region.address : region.address + region.size // 4 * 4]
    return np.frombuffer(raw.tobytes(), "<i4").astype(np.int32)
