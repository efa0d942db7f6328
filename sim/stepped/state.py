"""What the units share: the clock, the memories, the queues and the counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import INSTRUCTION_BYTES, ArchConfig
from gatewright.contract.isa import QUEUED_UNITS, Unit
from gatewright.sim.stepped.control.queue import Clock, Completions, Queue
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.memories.channel import DataChannel
from gatewright.sim.stepped.memories.memories import (
    Accumulators,
    Dram,
    InstructionMemory,
    OperandBuffer,
    Parameters,
    Scratchpad,
)
from gatewright.sim.stepped.memories.tables import Masks, Tables


class Shared:
    """The memories and registers between the units; ``fill`` gives the memories' undefined contents."""

    def __init__(self, arch: ArchConfig, image: npt.NDArray[np.uint8], fill: np.random.Generator | None) -> None:
        self.arch = arch
        self.clock = Clock()
        self.completions = Completions(self.clock)
        self.queues = {unit: Queue(self.clock, arch.queue_depth) for unit in QUEUED_UNITS}
        self.tables = Tables(self.clock, arch, fill)
        self.masks = Masks(self.clock)
        self.scratchpad = Scratchpad(self.clock, arch, fill)
        self.patch = OperandBuffer(self.clock, "patch buffer", arch.patch_words, arch.rows, fill)
        self.weights = OperandBuffer(self.clock, "weight buffer", arch.weight_words, arch.rows, fill)
        self.accumulators = Accumulators(self.clock, arch, fill)
        self.parameters = Parameters(self.clock, arch, fill)
        self.instructions = InstructionMemory(self.clock, arch.instruction_entries, INSTRUCTION_BYTES)
        self.dram = Dram(self.clock, image)
        self.channel = DataChannel(self.clock, arch.dram)

    def take(self, unit: Unit) -> Instruction | None:
        """The head of a unit's queue if its waits are met now: it leaves the queue, starts and runs this cycle."""
        head = self.queues[unit].head
        if head is None or not self.completions.met(head):
            return None
        self.queues[unit].pop()
        head.start = head.run = self.clock.cycle
        return head
