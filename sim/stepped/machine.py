"""The stepped machine: every unit moves once a clock cycle, and the result is what their registers hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gatewright.contract.encodings import INSTRUCTION_BEATS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import ONE_IMAGE, Images
from gatewright.contract.isa import COLUMNS, NO_TABLE, QUEUED_UNITS, Opcode, Space, Unit, column
from gatewright.contract.program import Program
from gatewright.contract.trace import TRACE_DTYPE, Trace
from gatewright.sim.result import MachineResult
from gatewright.sim.stepped.array.unit import ArrayUnit
from gatewright.sim.stepped.control.sequencer import Sequencer
from gatewright.sim.stepped.epilogue.unit import EpilogueUnit
from gatewright.sim.stepped.gather.unit import GatherUnit
from gatewright.sim.stepped.index.unit import IndexUnit
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.load.unit import LoadUnit
from gatewright.sim.stepped.state import Shared
from gatewright.sim.stepped.store.unit import StoreUnit


class SteppedUnit(Protocol):
    """A unit: it takes instructions from its queue in ``Shared``, and moves once a clock cycle."""

    def step(self) -> None: ...


UNITS: dict[Unit, Callable[[Shared], SteppedUnit]] = {
    Unit.LOAD: LoadUnit,
    Unit.GATHER: GatherUnit,
    Unit.ARRAY: ArrayUnit,
    Unit.EPILOGUE: EpilogueUnit,
    Unit.INDEX: IndexUnit,
    Unit.STORE: StoreUnit,
}
"""Every unit with a queue."""


class SteppedMachine:
    """All units of one machine, ready to boot a program.

    ``fill_seed`` fills the memories that are undefined at power-on with random contents; without it they are zero.
    ``images``: how many images the start runs, and where their inputs and outputs lie.
    """

    def __init__(
        self,
        program: Program,
        image: npt.NDArray[np.uint8],
        fill_seed: int | None = None,
        images: Images = ONE_IMAGE,
    ) -> None:
        fill = None if fill_seed is None else np.random.default_rng(fill_seed)
        self.shared = Shared(program.arch, image, fill)
        self.units = {unit: UNITS[unit](self.shared) for unit in QUEUED_UNITS}
        self.sequencer = Sequencer(self.shared, program, images)
        load = self.units[Unit.LOAD]
        assert isinstance(load, LoadUnit)
        self._load = load
        self._program = program
        load.boot(_boot_load(program))
        self.steps = [*(unit.step for unit in self.units.values()), self._step_sequencer]

    def _step_sequencer(self) -> None:
        self.sequencer.step(self._load.boot_done)

    def step(self) -> None:
        """One clock cycle: the units compute from its start, in any order, and then the edge commits."""
        for step in self.steps:
            step()
        self.shared.clock.tick()
        if self.sequencer.boots:
            self._load.boot(_boot_load(self._program))

    def trace(self) -> Trace:
        """The record of every instruction of all images, once the machine has stopped; none of one that is left out."""
        executed = self.sequencer.executed
        records = np.zeros(len(executed), TRACE_DTYPE)
        for record, i in zip(records, executed, strict=True):
            record["instruction"], record["unit"] = i.row, i.unit
            record["dispatch"], record["start"], record["run"], record["done"] = i.dispatch, i.start, i.run, i.done
        return Trace(records, executed[-1].done)

    def result(self, program: Program) -> MachineResult:
        """What the machine holds, once it has stopped."""
        shared, trace = self.shared, self.trace()
        return MachineResult(
            cycles=trace.cycles,
            trace=trace,
            outputs=program.values(shared.dram.bytes),
            dram=shared.dram.bytes,
            scratchpad=shared.scratchpad.bytes.view(np.uint8),
            masks=shared.masks.contents(),
            tables=shared.tables.contents(),
        )


def _boot_load(program: Program) -> Instruction:
    """The load of page 0, as if it were an instruction."""
    code = np.zeros(COLUMNS, np.int64)
    code[0] = Opcode.LOAD
    values = {
        "dram_address": program.code_address,
        "space": Space.INSTRUCTIONS,
        "rows": 1,
        "row_beats": program.boot_count * INSTRUCTION_BEATS,
        "row_table": NO_TABLE,
    }
    for name, value in values.items():
        code[column(Opcode.LOAD, name)] = value
    return Instruction(-1, code)


def step_simulate(
    program: Program,
    sample: npt.NDArray[np.int8] | None = None,
    *,
    max_cycles: int = 10_000_000,
    fill_seed: int | None = None,
) -> MachineResult:
    """Run a program clock cycle by clock cycle.

    ``sample`` (int8, the input region's size) replaces the image's input; without it the image's stays. ``fill_seed``
    gives undefined memories random contents instead of zeros.
    Raises ``GatewrightError`` for a program that uses a port twice in a cycle, leaves a memory, runs past its
    end, or has not ended after ``max_cycles``.
    """
    return _run(SteppedMachine(program, program.with_sample(sample), fill_seed), program, max_cycles)


def step_simulate_images(
    program: Program,
    image: npt.NDArray[np.uint8],
    images: Images,
    *,
    max_cycles: int = 10_000_000,
    fill_seed: int | None = None,
) -> MachineResult:
    """``step_simulate`` for several images in one start, on a DRAM with the rings that ``images`` tells of.

    See ``contract.images.lay_out``, which makes both, and the fast simulator's ``simulate_images``.
    """
    return _run(SteppedMachine(program, image, fill_seed, images), program, max_cycles)


def _run(machine: SteppedMachine, program: Program, max_cycles: int) -> MachineResult:
    while not machine.sequencer.stopped:
        if machine.shared.clock.cycle >= max_cycles:
            raise GatewrightError(
                f"the program has not ended after {max_cycles} cycles; {len(machine.sequencer.executed)} instructions "
                f"of {len(program.code)} were dispatched. Check its waits, or raise max_cycles"
            )
        machine.step()
    return machine.result(program)
