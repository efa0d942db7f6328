"""The fast simulator's face: run a program on one sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import DramConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import ONE_IMAGE, Images
from gatewright.contract.program import Program
from gatewright.contract.trace import Trace
from gatewright.sim.audit.audit import Auditor
from gatewright.sim.fast import sequencer, work
from gatewright.sim.fast.observe import Tensor, read_gate, read_placement
from gatewright.sim.fast.run import Run
from gatewright.sim.fast.state import geometry
from gatewright.sim.result import SimResult


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
    run = Run(program, program.with_sample(sample))
    auditor = Auditor(run.geometry, run.state) if audit else None
    tensors: dict[str, Tensor] = {}
    gates: dict[str, npt.NDArray[np.bool_]] = {}
    moments = {p.last_write for p in program.placements} | {g.index_instruction for g in program.gates}
    due = sorted(moments) if observe else []
    finished = False
    while not finished:
        stop = run.count + 1 if auditor else (due[0] + 1 if due else -1)
        fetched_from = run.pc
        finished = run.advance(stop + 1 if stop >= 0 else stop)
        if auditor:
            auditor.record(run.executed[run.count], run.work[run.count], fetched_from)
        while due and due[0] < run.count:
            last_write = due.pop(0)
            gates |= _gates(program, run, last_write)
            for placement in program.placements:
                if placement.last_write == last_write:
                    tensors[placement.tensor] = read_placement(program, placement, run.state, gates)
    records, cycles = run.schedule()
    if auditor:
        rows = slice(1, run.count + 1)
        auditor.check(run.executed[rows], run.work[rows], records[rows])
    return _result(program, run, records, cycles, tensors, gates)


def simulate_decided(program: Program) -> SimResult:
    """Run ``program`` with the decisions that it was compiled for in place of its gates' own.

    What a gate computes takes its cycles, and its mask is overwritten before the first INDEX reads it. So cycles are
    those of an image on which the gates decide so, be there one or not; the values are of no use. A live program,
    which was compiled for no decisions, is a ``GatewrightError``.
    """
    if program.live:
        raise GatewrightError("a live program has no decisions to run with; compile the network for decisions")
    run = Run(program, program.with_sample(None))
    for gate in sorted(program.gates, key=lambda gate: gate.index_instruction):
        run.advance(gate.index_instruction + 1)
        run.state.masks[gate.mask :].reshape(-1)[: gate.bits] = np.asarray(gate.decision, np.bool_)
    run.advance()
    return _result(program, run, *run.schedule(), {}, {})


def simulate_images(
    program: Program, image: npt.NDArray[np.uint8], images: Images, *, observe: bool = False
) -> SimResult:
    """Run ``program`` for several images in one start, on a DRAM with the rings that ``images`` tells of.

    See ``contract.images.lay_out``, which makes both. The trace has the records of all images, one behind the other;
    ``outputs`` is what lies in the program's own place, which no image of a ring writes. ``observe`` collects
    ``gates_of_images``.
    """
    run = Run(program, image, images)
    if not observe:
        run.advance()
        return _result(program, run, *run.schedule(), {}, {})
    gates = [_gates_of_image(program, run)]
    while run.begin_next_image():
        gates.append(_gates_of_image(program, run))
    return replace(_result(program, run, *run.schedule(), {}, {}), gates_of_images=gates)


def _gates_of_image(program: Program, run: Run) -> dict[str, npt.NDArray[np.bool_]]:
    """Run an image to its end; what the gates decided that it got to."""
    gates: dict[str, npt.NDArray[np.bool_]] = {}
    for instruction in sorted({gate.index_instruction for gate in program.gates}):
        if run.advance_image(run.boot_row + instruction + 2):
            return gates
        gates |= _gates(program, run, instruction)
    run.advance_image()
    return gates


def _gates(program: Program, run: Run, instruction: int) -> dict[str, npt.NDArray[np.bool_]]:
    """The decisions that the INDEX ``instruction`` of this image, just executed, has read."""
    left_out = bool(run.work[run.boot_row + instruction + 1, work.LEFT_OUT])
    return {
        gate.name: np.zeros(gate.bits, np.bool_) if left_out else read_gate(gate, run.state)
        for gate in program.gates
        if gate.index_instruction == instruction
    }


def _kept(run: Run) -> npt.NDArray[np.bool_]:
    """Which rows of a run are instructions that were executed: neither boot pages' LOADs nor what SKIPs left out."""
    done = run.work[: run.count + 1]
    return np.asarray((done[:, work.OPCODE] != sequencer.BOOT) & (done[:, work.LEFT_OUT] == 0))


def _result(
    program: Program,
    run: Run,
    records: npt.NDArray[np.void],
    cycles: int,
    tensors: dict[str, Tensor],
    gates: dict[str, npt.NDArray[np.bool_]],
) -> SimResult:
    """What a run leaves: records of the instructions alone, without boot pages' LOADs and what SKIPs left out."""
    done, kept, state = run.work[: run.count + 1], _kept(run), run.state
    return SimResult(
        cycles=cycles,
        trace=Trace(records[kept], cycles),
        outputs=program.values(state.dram),
        dram=state.dram,
        scratchpad=state.scratchpad.view(np.uint8),
        masks=state.masks,
        tables=[entries[:count].copy() for entries, count in zip(state.tables, state.counts, strict=True)],
        work=work.as_records(done[kept]),
        tensors=tensors,
        gates=gates,
        left_out=records[done[:, work.LEFT_OUT] != 0],
    )


class Schedules:
    """A start of the machine whose values are computed once, and its schedule with any DRAM.

    What a program computes does not depend on the DRAM, since its waits alone order it: only the instructions and their
    sizes are needed.
    """

    def __init__(self, program: Program, image: npt.NDArray[np.uint8], images: Images = ONE_IMAGE) -> None:
        self._arch = program.arch
        self._run = Run(program, image, images)
        self._run.advance()
        self.dram = self._run.state.dram
        """What the start leaves in DRAM."""

    def with_dram(self, dram: DramConfig) -> tuple[npt.NDArray[np.void], int]:
        """The instructions' trace records, and the cycles, with this DRAM behind the machine."""
        self._run.geometry = geometry(replace(self._arch, dram=dram))
        records, cycles = self._run.schedule()
        return records[_kept(self._run)], cycles


def cycles_by_dram(
    program: Program, drams: Sequence[DramConfig], sample: npt.NDArray[np.int8] | None = None
) -> tuple[npt.NDArray[np.int32], list[int]]:
    """The logits of a run, and its cycles with each of several DRAMs instead of the program's own."""
    schedules = Schedules(program, program.with_sample(sample))
    return program.logits(schedules.dram), [schedules.with_dram(dram)[1] for dram in drams]
