"""GATHER, the dynamic index module: it forms im2col vectors of the tiles that a table lists, and of no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_COLUMNS, MASKS
from gatewright.contract.encodings import REGION_UNIT, SCRATCHPAD_SPACE
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import NO_MASK, NO_TABLE, Unit
from gatewright.contract.timing import GATHER_LATENCY, TILE_CYCLES
from gatewright.sim.stepped.instruction import (
    Instruction,
    effective_channels,
    effective_tiles,
    has_filters,
    tile_position,
)
from gatewright.sim.stepped.state import Shared

READ_STAGE, MASK_STAGE, WRITE_STAGE = 2, 5, GATHER_LATENCY - 1
"""Counters 0, address 1, scratchpad 2 and 3, rotate 4, mask 5, rotate 6, patch buffer 7."""

assert WRITE_STAGE > MASK_STAGE

Lanes = npt.NDArray[np.int64]


@dataclass
class Piece:
    """At most ``gather_bytes`` consecutive bytes of one run of one pixel, on their way.

    ``y`` and ``x`` are the input row and the first input column of the run, a kernel row or a pixel of it, ``begin``
    and ``count`` the piece's bytes in it, ``reduction`` the element k of its first byte and ``zeros`` the lanes behind
    the vector's end.
    A piece with count 0 moves nothing (``last`` only).
    """

    vector: int
    y: int
    x: int
    begin: int
    count: int
    reduction: int
    zeros: int
    last: bool
    data: npt.NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))


def _nothing(last: bool) -> Piece:
    """A piece without bytes."""
    return Piece(0, 0, 0, 0, 0, 0, 0, last)


class GatherUnit:
    """Loop counters (tile, pixel, kernel row, piece) and a pipeline of GATHER_LATENCY stages.

    Of every vector only slices first_slice to first_slice + slice_count - 1 are formed: pieces begin and end there.

    s: the instruction's registers are loaded with the counts of its tables. From s + 1 on one piece a
    cycle enters the pipeline. A tile from a table takes at least TILE_CYCLES cycles: behind its last piece the walk
    idles, while the address of the next tile, whose entry was read ahead, is multiplied out. Bytes are read from port
    A in stage READ_STAGE, lanes of borders and inactive tiles are cleared in MASK_STAGE, and bytes are written at
    WRITE_STAGE; the last piece of a vector writes the zeros behind its end with it. The last cycle of the walk, a
    piece or an idle one, completes the instruction as it leaves the pipeline.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._active: Instruction | None = None
        self._pieces: Iterator[Piece | None] | None = None
        self._channels = 0
        self._stages: list[Piece | None] = [None] * GATHER_LATENCY

    def step(self) -> None:
        """One clock cycle."""
        if self._active is None:
            self._active = self._shared.take(Unit.GATHER)
            if self._active is None:
                return
            tiles = effective_tiles(self._active, self._shared.tables)
            if not has_filters(self._active, self._shared.tables):
                tiles = 0
            self._channels = effective_channels(self._active, self._shared.tables)
            self._check(self._active)
            if tiles and self._active["tile"] and self._runs(self._active):
                self._check_begin(self._active)
                self._pieces, entering = self._walk(self._active, tiles), None
            else:
                self._pieces, entering = iter(()), _nothing(last=True)
            self._stages = [entering, *self._stages[:-1]]
            return
        assert self._pieces is not None
        self._stages = [next(self._pieces, None), *self._stages[:-1]]
        self._move(self._active)

    @staticmethod
    def _check(gather: Instruction) -> None:
        if gather["source_mask"] == NO_MASK:
            return
        if gather["source_mask"] >= MASKS:
            raise GatewrightError(f"{gather}: source_mask = {gather['source_mask']}; the machine has {MASKS} masks")
        if gather["kernel_width"] > MASK_COLUMNS:
            raise GatewrightError(
                f"{gather}: kernel_width = {gather['kernel_width']}; with a source_mask it is at most {MASK_COLUMNS}"
            )

    def _check_begin(self, gather: Instruction) -> None:
        """Where pixels are apart the first slice begins with a kernel row."""
        row = gather["kernel_width"] * self._channels
        if self._columns(gather) < gather["kernel_width"] and gather["first_slice"] * self._shared.arch.rows % row:
            raise GatewrightError(
                f"{gather}: first_slice = {gather['first_slice']} does not begin with a kernel row of {row} elements, "
                "whose pixels lie apart"
            )

    def _runs(self, gather: Instruction) -> list[tuple[int, int, int]]:
        """(run, first byte of it, bytes) of every piece of a pixel."""
        rows, widest = self._shared.arch.rows, self._shared.arch.gather_bytes
        run = self._columns(gather) * self._channels
        first = gather["first_slice"] * rows
        end = first + gather["slice_count"] * rows
        pieces = []
        for number in range(gather["kernel_height"] * gather["kernel_width"] // max(1, self._columns(gather))):
            begin = max(0, first - number * run)
            behind = min(run, end - number * run)
            pieces += [(number, at, min(widest, behind - at)) for at in range(begin, behind, widest)]
        return pieces

    @staticmethod
    def _columns(gather: Instruction) -> int:
        """Columns of the kernel that are one run: all, if their pixels lie side by side, or each is."""
        return 1 if gather["pixel_channels"] or gather["dilation"] > 1 else gather["kernel_width"]

    def _walk(self, gather: Instruction, tiles: int) -> Iterator[Piece | None]:
        """One piece a cycle, in the order of the counters; None in a cycle that waits for the next tile."""
        pieces = gather["tile"] ** 2 * len(self._runs(gather))
        idle = 0 if gather["tile_table"] == NO_TABLE else max(0, TILE_CYCLES - pieces)
        for tile in range(tiles):
            final = tile == tiles - 1
            yield from self._walk_tile(gather, tile, final and not idle)
            for cycle in range(idle):
                yield _nothing(last=True) if final and cycle == idle - 1 else None

    def _walk_tile(self, gather: Instruction, tile: int, final: bool) -> Iterator[Piece]:
        edge, stride = gather["tile"], gather["stride"]
        columns, step = self._columns(gather), max(1, gather["dilation"])
        runs = self._runs(gather)
        for pixel in range(edge * edge):
            for number, (run, begin, count) in enumerate(runs, 1):
                tile_y, tile_x = tile_position(gather, self._shared.tables, tile)
                reduction = run * columns * self._channels + begin
                kernel_row, kernel_column = divmod(run, gather["kernel_width"] // columns)
                ends_vector = number == len(runs)
                yield Piece(
                    vector=tile * edge * edge + pixel,
                    y=(tile_y * edge + pixel // edge) * stride + kernel_row * step - gather["padding_y"],
                    x=(tile_x * edge + pixel % edge) * stride + kernel_column * step - gather["padding_x"],
                    begin=begin,
                    count=count,
                    reduction=reduction,
                    zeros=-(reduction + count) % self._shared.arch.rows if ends_vector else 0,
                    last=final and ends_vector and pixel == edge * edge - 1,
                )

    def _move(self, gather: Instruction) -> None:
        """The work of the stages in this cycle."""
        reading, masking, writing = (self._stages[s] for s in (READ_STAGE, MASK_STAGE, WRITE_STAGE))
        if reading is not None and reading.count:
            pitch = gather["pixel_channels"] or self._channels
            start = gather["source"] + (reading.y * gather["width"] + reading.x) * pitch + reading.begin
            if gather["wrap_row"] and reading.y >= gather["wrap_row"]:
                start -= gather["wrap_bytes"]
            reading.data = self._shared.scratchpad.read_a((start + np.arange(reading.count)) % SCRATCHPAD_SPACE)
        if masking is not None and masking.count:
            self._mask(gather, masking)
        if writing is not None:
            self._write(gather, writing)

    def _mask(self, gather: Instruction, piece: Piece) -> None:
        columns: Lanes = piece.x + (piece.begin + np.arange(piece.count)) // self._channels
        kept = (columns >= 0) & (columns < gather["width"]) & (0 <= piece.y < gather["height"])
        if gather["source_mask"] != NO_MASK:
            tile = gather["source_tile"]
            bits = piece.y // tile * gather["source_grid"] + columns // tile
            kept &= self._shared.masks.read(gather["source_mask"], bits, gather)
        piece.data = np.where(kept, piece.data, np.int8(0))

    def _write(self, gather: Instruction, piece: Piece) -> None:
        if piece.count:
            rows = self._shared.arch.rows
            element: Lanes = piece.reduction + np.arange(piece.count + piece.zeros)
            slices = element // rows - gather["first_slice"]
            words = gather["patch_base"] * REGION_UNIT + slices * gather["patch_vectors"] + piece.vector
            data = np.concatenate([piece.data, np.zeros(piece.zeros, np.int8)])
            self._shared.patch.write(words, element % rows, data, gather)
        if piece.last:
            self._shared.completions.retire(gather)
            self._active = None
