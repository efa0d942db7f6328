"""The slots and the reads of EPILOGUE's kind DEPTHWISE, and the registers in which its sums grow.

From outside in: the blocks of ``columns`` channels, the tiles, a tile's rows, the source's columns along such a row,
the rows of a window. The last pixel of a column completes the window that ends with it, if one does: then a slot
writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import numpy as np
import numpy.typing as npt

from gatewright.contract.encodings import (
    DEPTHWISE_ENTRIES,
    DEPTHWISE_PARTS,
    DEPTHWISE_ROWS,
    MOST_DEPTHWISE_STEP,
    MOST_DEPTHWISE_WINDOW,
    SCRATCHPAD_SPACE,
)
from gatewright.contract.isa import NO_TABLE, Stationary
from gatewright.contract.timing import DEPTHWISE_LEAD
from gatewright.sim.stepped.epilogue.slots import Kind, Slot
from gatewright.sim.stepped.epilogue.windows import source_address
from gatewright.sim.stepped.instruction import Instruction, effective_work, filter_number, tile_position
from gatewright.sim.stepped.memories.tables import Tables


def check_depthwise(fields: Instruction) -> str | None:
    """What is wrong with the operands, if anything is."""
    if fields["stationary"] != Stationary.FILTERS:
        return "a depthwise convolution needs stationary filters"
    if not 1 <= fields["window"] <= MOST_DEPTHWISE_WINDOW:
        return f"a depthwise kernel has an edge of 1 to {MOST_DEPTHWISE_WINDOW}"
    if not 1 <= fields["step"] <= MOST_DEPTHWISE_STEP:
        return f"the step of a depthwise convolution is 1 to {MOST_DEPTHWISE_STEP}"
    if fields["inset"] >= fields["window"]:
        return "inset is below window"
    if fields["compact"] and fields["filter_table"] == NO_TABLE:
        return "compact needs a filter_table"
    return None


class KernelSums:
    """Weights [row, column of the kernel, lane], and a sum for each window that the present column is part of.

    Sum k is that of the window whose column of the kernel ``k`` lies on the present column of the source; a column's
    first pixel moves every sum on by one.
    """

    def __init__(self, columns: int) -> None:
        self.weights = np.zeros((MOST_DEPTHWISE_WINDOW, MOST_DEPTHWISE_WINDOW, columns), np.int64)
        self._sums = np.zeros((MOST_DEPTHWISE_WINDOW, columns), np.int64)

    def load(self, part: int, raw: tuple[int, int, int], lane: int) -> None:
        """Take what a parameter entry (bias, multiplier, shift) has for a lane."""
        contents = [*int(raw[0]).to_bytes(4, "little", signed=True), *int(raw[1]).to_bytes(2, "little")]
        for row, (entry, begin) in enumerate(DEPTHWISE_ROWS):
            if entry == part:
                taken = np.array(contents[begin : begin + MOST_DEPTHWISE_WINDOW], np.uint8)
                self.weights[row, :, lane] = taken.view(np.int8)

    def add(self, row: int, window: int, pixel: npt.NDArray[np.int8] | None) -> None:
        """A pixel in a row of the kernel, [lanes]; None outside of the map."""
        if row == 0:
            self._sums[1:] = self._sums[:-1].copy()
            self._sums[MOST_DEPTHWISE_WINDOW - window] = 0
        if pixel is not None:
            self._sums[:, : len(pixel)] += self.weights[row, :, : len(pixel)] * pixel

    def complete(self) -> npt.NDArray[np.int64]:
        """The sum of the window that ends with the present column."""
        return self._sums[-1].copy()


class DepthwiseWalk:
    """The counters of a DEPTHWISE."""

    def __init__(self, fields: Instruction, tables: Tables, columns: int, stored: int) -> None:
        work = effective_work(fields, tables, 1)
        self._fields, self._tables, self._columns, self._stored = fields, tables, columns, stored
        self._pixels, self._channels = work.pixels, work.filters

    def _lanes(self, block: int) -> int:
        return min(self._columns, self._channels - block * self._columns)

    def _blocks(self) -> range:
        return range(-(-self._channels // self._columns))

    def parameters(self, block: int) -> Iterator[Slot]:
        """Three a lane: the weights of two rows, those of the third, what every filter has."""
        for lane in range(self._lanes(block)):
            channel = filter_number(self._fields, self._tables, block * self._columns + lane)
            entry = self._fields["parameters"] + DEPTHWISE_ENTRIES * channel
            for part in range(DEPTHWISE_PARTS):
                last = part == DEPTHWISE_PARTS - 1
                kind = Kind.PARAMETER if last else Kind.WEIGHTS
                yield Slot(kind, lane=lane, parameter=entry + part, row=part)

    def _pieces(self) -> Iterator[tuple[int, int, int]]:
        """(y, x, results) of every piece of a tile's row."""
        fields, edge = self._fields, self._fields["tile"]
        pixel = 0
        while pixel < self._pixels:
            tile, inside = divmod(fields["first_pixel"] + pixel, edge**2)
            tile_y, tile_x = tile_position(fields, self._tables, tile)
            row, column = divmod(inside, edge)
            count = min(edge - column, self._pixels - pixel)
            yield tile_y * edge + row, tile_x * edge + column, count
            pixel += count

    def _columns_of(self) -> Iterator[tuple[int, int, int | None]]:
        """(first row of the window, column, x of the result that it completes or None), from the padding's corner.

        The y of a result is its window's first row divided by the step.
        """
        step, window = self._fields["step"], self._fields["window"]
        for y, x, count in self._pieces():
            for column in range((count - 1) * step + window):
                done, rest = divmod(column - (window - 1), step)
                yield y * step, x * step + column, x + done if done >= 0 and rest == 0 else None

    def reads(self) -> Iterator[tuple[int | None, int]]:
        """(address or None, bytes) of each KERNEL slot."""
        for block in self._blocks():
            channel = self._fields["first_filter"] + block * self._columns
            for top, x, _ in self._columns_of():
                for dy in range(self._fields["window"]):
                    yield source_address(self._fields, top + dy, x, self._stored, channel), self._lanes(block)

    def slots(self) -> Iterator[Slot | None]:
        """The slots from the cycle r on."""
        yield from repeat(None, DEPTHWISE_LEAD)
        for block in self._blocks():
            if block > 0:
                yield from self.parameters(block)
            yield from self._block(block)

    def _block(self, block: int) -> Iterator[Slot]:
        fields, lanes, written = self._fields, self._lanes(block), 0
        channel = fields["first_filter"] + block * self._columns
        final = block == len(self._blocks()) - 1
        for top, _, result in self._columns_of():
            for dy in range(fields["window"]):
                yield Slot(Kind.KERNEL, count=lanes, row=dy)
            if result is not None:
                written += 1
                y = top // fields["step"]
                address = None
                if y < fields["out_height"] and result < fields["out_width"]:
                    at = (y * fields["out_width"] + result) * self._stored + channel
                    address = (fields["destination"] + at) % SCRATCHPAD_SPACE
                last = final and written == self._pixels
                yield Slot(Kind.KERNEL_SUM, last, address=address, count=lanes)
