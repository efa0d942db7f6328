"""Maps as instructions name them: where rows lie, of a map whole, compact or a ring, and what kernels read of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm

from gatewright.compiler.emit.decided_gate import DecidedGate
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.filters import Slices
from gatewright.compiler.plan.planes import Plane
from gatewright.contract.arch import ArchConfig
from gatewright.contract.isa import FORMATS, Opcode

ADDRESS_SPACE = 1 << next(field.bits for field in FORMATS[Opcode.GATHER].fields if field.name == "source")
"""Bytes that an address in the scratchpad can tell apart: sums of addresses are taken modulo that."""


@dataclass(frozen=True)
class PlacedRows:
    """Some rows of a map as an instruction names them, and the bytes they take.

    ``address`` is that of row 0, modulo the address space; rows from ``wrap_row`` on, if it is not 0, lie
    ``wrap_bytes`` lower. ``ranges`` are half-open.
    """

    address: int
    wrap_row: int
    wrap_bytes: int
    ranges: tuple[tuple[int, int], ...]

    @property
    def wrap(self) -> dict[str, int]:
        """The fields of an instruction that reads or writes the rows."""
        return {"wrap_row": self.wrap_row, "wrap_bytes": self.wrap_bytes} if self.wrap_row else {}


def placed_rows(address: int, pitch: int, ring: int | None, first: int, end: int, origin: int = 0) -> PlacedRows:
    """Rows [first, end) of a map at ``address``, of ``pitch`` bytes each, perhaps in a ``ring`` of so many rows.

    ``first`` and ``end``, and what an instruction counts, begin with row ``origin`` of the map.
    """
    if origin:
        placed = placed_rows(address, pitch, ring, first + origin, end + origin)
        wrap_row = placed.wrap_row - origin if placed.wrap_row else 0
        return replace(placed, address=(placed.address + origin * pitch) % ADDRESS_SPACE, wrap_row=wrap_row)
    if ring is None or ring * pitch == 0:
        return PlacedRows(address, 0, 0, ((address + first * pitch, address + end * pitch),))
    if end - first > ring:
        raise AssertionError(f"rows {first} to {end} of a ring of {ring}")
    turn = first // ring
    lower, wrap = turn * ring * pitch, (turn + 1) * ring
    base = (address - lower) % ADDRESS_SPACE
    if end <= wrap:
        return PlacedRows(base, 0, 0, ((address - lower + first * pitch, address - lower + end * pitch),))
    behind = address + (end - wrap) * pitch
    ranges = (address - lower + first * pitch, address + ring * pitch), (address, behind)
    return PlacedRows(base, wrap, ring * pitch, ranges)


@dataclass(frozen=True)
class SourceMap:
    """The input map of a GATHER: scratchpad bytes [y][x][channel], perhaps compact and masked."""

    address: int
    height: int
    width: int
    channels: int
    channel_gate: DecidedGate | None = None
    tile_gate: DecidedGate | None = None
    ring: int | None = None
    """Rows that are kept, if not all are."""
    moving: bool = False
    """As the output map that it was."""
    at_once: bool = False
    """Whether who wrote it goes by other lists, so that whoever reads any of it waits for all."""
    follows: int | None = None
    """The table of a gate of whole maps: without its decision nothing is read. What is read does not show it."""

    def masked(self, gate: DecidedGate | None) -> SourceMap:
        """The map with tiles that a gate left out. If it left out the whole map that has no rows: all around is 0."""
        if gate is None or not gate.whole:
            return replace(self, tile_gate=gate)
        return self if len(gate.entries) else replace(self, height=0)

    planes: tuple[Plane, ...] = ()
    """How it lies, if it lies in planes; with a ``pitch``, slices of the channels of an ordinary map."""

    pitch: int = 0
    """Bytes from a pixel to the next; 0 for its channels."""

    origin: int = 0
    """The row from which rows are counted, those of ``height`` too."""

    @property
    def apart(self) -> bool:
        """Whether its pixels do not lie side by side."""
        return self.pitch not in (0, self.channels) or (self.pitch > 0 and self.channel_gate is not None)

    def from_row(self, row: int) -> SourceMap:
        """The map as if it began with a row: an instruction counts so far, and no further."""
        return replace(self, height=self.height - row, origin=self.origin + row)

    def rows(self, first: int, end: int) -> PlacedRows:
        """Where rows [first, end) lie."""
        pitch = self.width * (self.pitch or self.channels)
        return placed_rows(self.address, pitch, self.ring, first, end, self.origin)

    def plane(self, plane: Plane) -> SourceMap:
        """One of its planes."""
        if self.pitch:
            return replace(self, address=self.address + plane.first, channels=plane.count, planes=())
        address = self.address + (self.ring or self.height) * self.width * plane.first
        return replace(self, address=address, channels=plane.count, planes=())


@dataclass(frozen=True)
class SourcePart:
    """One of several maps that a convolution reads, and its slices among those of the whole reduction."""

    source: SourceMap
    slices: Slices


@dataclass(frozen=True)
class ResidualMap:
    """The map that an EPILOGUE adds from elsewhere, perhaps coarser than the output by 2**shift."""

    address: int
    width: int
    stored: int
    shift: int
    ring: int | None = None
    """Rows that are kept, if not all are."""
    origin: int = 0
    """The row from which rows are counted."""

    def rows(self, first: int, end: int) -> PlacedRows:
        """Where what rows [first, end) of the output need lies; in a ring it must not lie around its end."""
        needed = first >> self.shift, -(-end >> self.shift)
        placed = placed_rows(self.address, self.width * self.stored, self.ring, *needed, self.origin)
        if placed.wrap_row:
            raise AssertionError(f"rows {needed} of a residual from elsewhere lie around the end of a ring")
        return placed


@dataclass(frozen=True)
class OutputMap:
    """The output map of an EPILOGUE, its parameters and what is done on the way."""

    address: int
    height: int
    width: int
    channels: int
    parameters: int
    channel_gate: DecidedGate | None = None
    residual: bool = False
    relu: bool = False
    pool: Pooling | None = None
    pool_address: int = 0
    ring: int | None = None
    """Rows that are kept, if not all are."""

    pixels: int = 1
    """Vectors that are written for a pixel."""

    first_channel: int | None = None
    """The channel that filter 0 writes, of a group of filters with parameters of its own."""

    planes: tuple[Plane, ...] = ()
    """How it lies, if it lies in planes."""

    plane: Plane | None = None
    """The plane of it that is meant."""

    pitch: int = 0
    """Bytes from a pixel to the next, of a part of a concatenation; 0 for what is stored."""

    offset: int = 0
    """The byte in a pixel at which its channels begin."""
    residual_map: ResidualMap | None = None
    """Where the residual is, if it is not in the output's place."""
    moving: bool = False
    """Where in its region a pixel lies only the machine knows; so it is for whoever reads it, by the same tables."""
    origin: int = 0
    """The row from which rows are counted, those of ``height`` too."""

    def from_row(self, row: int) -> OutputMap:
        """The map as if it began with a row: an instruction counts so far, and no further."""
        added = self.residual_map
        added = None if added is None else replace(added, origin=added.origin + (row >> added.shift))
        return replace(self, height=self.height - row, origin=self.origin + row, residual_map=added)

    @property
    def stored(self) -> int:
        """Bytes of a pixel."""
        if self.pitch:
            return self.pitch
        return self.pixels * (self.channels if self.channel_gate is None else len(self.channel_gate.entries))

    def rows(self, first: int, end: int) -> PlacedRows:
        """Where rows [first, end) lie."""
        before = 0 if self.plane is None else (self.ring or self.height) * self.width * self.plane.first
        return placed_rows(self.address + before, self.width * self.stored, self.ring, first, end, self.origin)


@dataclass(frozen=True)
class Kernel:
    """The geometry of a convolution."""

    height: int = 1
    width: int = 1
    stride: int = 1
    padding_y: int = 0
    padding_x: int = 0
    dilation: int = 1

    @property
    def taps(self) -> int:
        return self.height * self.width

    @property
    def reach(self) -> int:
        """Rows of the input from the first to the last that the kernel reads at once."""
        return (self.height - 1) * self.dilation + 1

    def piece_unit(self, source: SourceMap, arch: ArchConfig) -> int:
        """Slices in which pieces of the reduction may begin.

        Where the pixels of a kernel row do not lie side by side GATHER begins with a kernel row, whose elements may be
        no whole slices.
        """
        apart = self.dilation > 1 or source.apart
        if self.width == 1 or not apart or not source.channels:
            return 1
        return lcm(self.width * source.channels, arch.rows) // arch.rows
