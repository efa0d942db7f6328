"""Where a program of several images has what one of them was recorded with: tensors, masks, and who wrote them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gatewright.compiler.emit.emit import Emitter
from gatewright.compiler.interleave.places import SCRATCHPAD
from gatewright.compiler.interleave.recording import Recorded
from gatewright.contract.isa import Opcode, column
from gatewright.contract.program import of_image
from gatewright.contract.program_parts import GateRecord, Placement

_MASK = column(Opcode.INDEX, "mask")


@dataclass
class NewPlaces:
    """``emitted``: of each recorded row the one in the program; ``offset``: the part's first byte in the scratchpad."""

    recorded: Sequence[Recorded]
    emitted: Mapping[int, int]
    offset: int
    images: int
    _writers: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._writers = [one.row for one in self.recorded if _writes(one)]

    def gate(self, record: GateRecord, number: int, out: Emitter) -> GateRecord:
        """The record of an image's gate."""
        row = self.emitted[record.index_instruction]
        name = of_image(record.name, number, self.images)
        return replace(record, name=name, mask=out.rows[row][_MASK], index_instruction=row)

    def placement(self, placement: Placement, number: int) -> Placement:
        """Where a tensor of an image lies. Units keep their order, so that its last writer is the last still."""
        spatial, channel = placement.spatial_gate, placement.channel_gate
        last = self._writers[bisect_right(self._writers, placement.last_write) - 1]
        return replace(
            placement,
            tensor=of_image(placement.tensor, number, self.images),
            address=placement.address + self.offset,
            last_write=self.emitted[last],
            spatial_gate=None if spatial is None else of_image(spatial, number, self.images),
            channel_gate=None if channel is None else of_image(channel, number, self.images),
        )


def _writes(one: Recorded) -> bool:
    """Whether an instruction is an EPILOGUE that writes to the scratchpad."""
    written = any(use.access.write and use.access.memory == SCRATCHPAD for use in one.uses)
    return written and one.opcode == Opcode.EPILOGUE
