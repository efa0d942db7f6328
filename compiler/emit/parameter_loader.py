"""The epilogue's parameters on their way on chip: in pieces ahead of their layers, or with each group of filters."""

from __future__ import annotations

from gatewright.compiler.emit.access import writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.plan.channel_blocks import PARAMETER_PIECE
from gatewright.compiler.plan.operand_ring import Ring
from gatewright.contract.arch import BEAT_BYTES, PARAMETER_BYTES
from gatewright.contract.isa import Opcode, Space


class ParameterLoader:
    """Places parameters in their buffer and emits their LOADs.

    Those of most layers take their turns in a ring. Behind it is room for groups of filters that bring their own.
    """

    def __init__(self, context: Context) -> None:
        self.context, self.image = context, context.image
        self._loaded = 0
        reserved = context.arch.parameter_entries - self.image.parameter_capacity
        self._groups = Ring(reserved, "parameter buffer")

    def load_until(self, end: int, in_use: int) -> bool:
        """Load up to entry ``end``, in pieces; False while entries from ``in_use`` on are in the way."""
        image, capacity = self.image, self.image.parameter_capacity
        while self._loaded < end:
            first = self._loaded
            room = (in_use + capacity) // PARAMETER_PIECE * PARAMETER_PIECE
            wanted = -(-end // PARAMETER_PIECE) * PARAMETER_PIECE
            wrap = (first // capacity + 1) * capacity
            last = min(wanted, wrap, room, image.parameters) if first else image.first_parameters
            if last <= first or last - in_use > capacity:
                return False
            self._load(image.parameter_address + first * PARAMETER_BYTES, first % capacity, last - first)
            self._loaded = last
        return True

    def has_room(self, bank: str) -> bool:
        """Whether there is room for what a group of a bank's filters brings."""
        parameters = self.image.group_parameters.get(bank)
        return parameters is None or self._groups.place(parameters.entries, self._groups.live) is not None

    def load_group(self, bank: str, group: int, region: str) -> None:
        """Load what a group of a bank's filters brings, if anything, under the name of the group's region."""
        parameters = self.image.group_parameters.get(bank)
        if parameters is not None:
            place = self._groups.take(region, parameters.entries)
            assert place is not None
            address = parameters.address + group * parameters.entries * PARAMETER_BYTES
            self._load(address, self.image.parameter_capacity + place, parameters.entries)

    def release(self, region: str) -> None:
        """A group's region gives way."""
        self._groups.release(region)

    def first_entry(self, bank: str, region: str) -> int | None:
        """The entry of a loaded group's first filter; None if the bank's parameters do not come by groups."""
        if bank not in self.image.group_parameters:
            return None
        return self.image.parameter_capacity + self._groups.live[region][0] + 1

    def _load(self, dram_address: int, address: int, entries: int) -> None:
        self.context.out.emit(
            Opcode.LOAD,
            [writes("parameter", address, address + entries)],
            dram_address=dram_address,
            space=Space.PARAMETERS,
            address=address,
            rows=1,
            row_beats=-(-entries * PARAMETER_BYTES // BEAT_BYTES),
        )
