"""What a program does, instruction by instruction, with the regions of the memories that it takes and gives back.

A ``Recorder`` emits a program as ever and notes besides in which *region* an address lies: a chunk's patches, a bank
of filters, a product's accumulators, a gate's mask. A region may lie elsewhere in another program.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from gatewright.compiler.emit.access import Access
from gatewright.compiler.emit.emit import Emitter
from gatewright.compiler.interleave.places import (
    ACCUMULATOR,
    MASK,
    PATCH,
    TABLE,
    WEIGHT,
    Place,
    places,
)
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import FORMATS, Opcode, Unit

OPERANDS = PATCH, WEIGHT
POOLS = *OPERANDS, ACCUMULATOR, TABLE, MASK
"""Memories whose regions can be placed anew where programs are interleaved."""


class Region(NamedTuple):
    """Addresses [low, high) of a pool from the moment at which an instruction takes them; ``number`` tells it from
    all others."""

    number: int
    memory: str
    low: int
    high: int


class Named(NamedTuple):
    """A field that names a place, and the region in which it lies; None in a memory that is no pool."""

    place: Place
    region: Region | None


class Use(NamedTuple):
    """An access, and its region; None in a memory that is no pool."""

    access: Access
    region: Region | None


class Recorded(NamedTuple):
    """An instruction: ``row`` is where the recorded program has it, ``image`` the number of its image there."""

    opcode: Opcode
    values: Mapping[str, int]
    uses: tuple[Use, ...]
    named: tuple[Named, ...]
    layer: str
    image: int
    row: int

    @property
    def unit(self) -> Unit:
        return FORMATS[self.opcode].unit


class Recorder(Emitter):
    """An emitter that records. SKIPs would hold up other images, so that it has none.

    ``pools``: the memories of which it notes regions. In others every address is what it is.
    """

    def __init__(self, arch: ArchConfig, pages_ahead: int, pools: Collection[str]) -> None:
        super().__init__(arch, pages_ahead)
        self.recorded: list[Recorded] = []
        self.image = 0
        """Of the instructions that come."""
        self.behind = 0, 0
        """Bytes by which input and outputs of this image lie behind where a program of one image has them."""
        self._regions: dict[str, list[Region]] = {memory: [] for memory in pools}
        self._count = 0

    def begin_region(self, memory: str, low: int, high: int) -> None:
        """What lay at these addresses is nobody's any more."""
        if memory not in self._regions:
            return
        beside = [region for region in self._regions[memory] if region.high <= low or region.low >= high]
        self._regions[memory] = [*beside, Region(self._count, memory, low, high)]
        self._count += 1

    def emit(self, opcode: Opcode, accesses: list[Access], **values: int) -> int:
        if values.get("ring"):
            values["dram_address"] += self.behind[opcode != Opcode.LOAD]
        row = super().emit(opcode, accesses, **values)
        uses = tuple(Use(a, self._region_of(a)) for a in accesses)
        named = tuple(
            Named(place, self._region(place.memory, place.address(values[place.field])))
            for place in places(opcode, values)
        )
        self.recorded.append(Recorded(opcode, values, uses, named, self.layer, self.image, row))
        return row

    @contextmanager
    def left_out_without(self, table: int | None) -> Iterator[None]:
        yield

    def exit_if_listed(self, table: int) -> int:
        raise GatewrightError("a network with early exits cannot run several images in one program: they end alone")

    def _region_of(self, access: Access) -> Region | None:
        """The region that an access lies in: as a whole, or what it does cannot be moved elsewhere."""
        region = self._region(access.memory, access.low)
        if access.memory in self._regions and access.low < access.high:
            assert region is not None and access.high <= region.high, f"{self.layer}: {access} lies in no region"
        return region

    def _region(self, memory: str, address: int) -> Region | None:
        for region in self._regions.get(memory, []):
            if region.low <= address < region.high:
                return region
        return None  # of an instruction that turned out to have no work
