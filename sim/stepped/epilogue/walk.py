"""The slots of an EPILOGUE: what enters its pipeline in each cycle, in the order of its counters."""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.contract.arch import TRANSPOSED_FILTERS
from gatewright.contract.encodings import SCRATCHPAD_SPACE
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import NO_TABLE, EpilogueKind, Stationary
from gatewright.sim.stepped.epilogue.depthwise import DepthwiseWalk, check_depthwise
from gatewright.sim.stepped.epilogue.slots import Kind, Slot
from gatewright.sim.stepped.epilogue.taps import tap_slots
from gatewright.sim.stepped.epilogue.windows import WINDOW_KINDS, check_windows, window_reads, window_slots
from gatewright.sim.stepped.instruction import Instruction, effective_work, filter_number, tile_position
from gatewright.sim.stepped.state import Shared


class EpilogueWalk:
    """The counters of one EPILOGUE; its sizes are registered as it starts. Table entries are read slot by slot."""

    def __init__(self, shared: Shared, instruction: Instruction) -> None:
        self._tables, self._columns = shared.tables, shared.arch.columns
        self._has_depthwise = shared.arch.depthwise
        self._fields = instruction
        work = effective_work(instruction, shared.tables, shared.arch.rows)
        self._pixels, self._filters = work.pixels, work.filters
        self._by_filter = instruction["stationary"] == Stationary.FILTERS
        self._standing = work.filters if self._by_filter else work.pixels
        self.empty = 0 in (work.pixels, work.filters)
        self._check()
        compact = bool(instruction["compact"])
        self._stored = shared.tables.count(instruction["filter_table"]) if compact else instruction["channels"]
        self._depthwise: DepthwiseWalk | None = None
        if instruction["kind"] == EpilogueKind.DEPTHWISE:
            self._depthwise = DepthwiseWalk(instruction, shared.tables, self._columns, self._stored)

    def _check(self) -> None:
        fields, kind = self._fields, self._fields["kind"]
        reduces = kind in (EpilogueKind.REDUCE, EpilogueKind.REDUCE_RAW)
        fault = None
        if kind == EpilogueKind.DEPTHWISE and self._has_depthwise:
            fault = check_depthwise(fields)
        elif kind > EpilogueKind.THRESHOLD:
            fault = check_windows(fields, self._columns)
        if reduces and not self._by_filter:
            fault = "a reduction needs stationary filters"
        elif fields["digits"] and not reduces:
            fault = "digits needs a reduction"
        elif fields["digits"] and not self.empty and self._pixels != 2:
            fault = f"digits adds up the entries of 2 pixels, not of {self._pixels}"
        elif kind == EpilogueKind.THRESHOLD and (self._pixels if self._by_filter else self._filters) > 1:
            fault = "a threshold takes one pixel, or one filter with stationary pixels"
        elif (fields["pool"] or fields["residual"]) and not (kind == EpilogueKind.STORE and self._by_filter):
            fault = "pool and residual need kind STORE and stationary filters"
        elif fields["elsewhere"] and not fields["residual"]:
            fault = "elsewhere says where a residual is, and there is none"
        elif fields["upsample"] and not fields["elsewhere"]:
            fault = "only a residual from elsewhere can be coarser than the output"
        elif fields["pool"] and (fields["first_pixel"] % fields["tile"] ** 2 or self._pixels % fields["tile"] ** 2):
            fault = "pool needs whole tiles"
        elif fields["compact"] and fields["filter_table"] == NO_TABLE:
            fault = "compact needs a filter_table"
        if fault:
            raise GatewrightError(f"{fields}: {fault}")

    def preload(self) -> Iterator[Slot]:
        """The parameters of the first block, one a cycle; none without work, or where each slot brings its own."""
        if self.empty or self._fields["kind"] in WINDOW_KINDS:
            return
        if self._depthwise is not None:
            yield from self._depthwise.parameters(0)
        elif self._by_filter:
            yield from self._parameters(0)
        elif self._fields["kind"] == EpilogueKind.THRESHOLD:
            yield Slot(Kind.PARAMETER, parameter=self._parameter(0))

    def work(self) -> Iterator[Slot | None]:
        """The slots from the cycle r on; None for a cycle that only waits for port B."""
        kind = self._fields["kind"]
        if kind in WINDOW_KINDS:
            yield from window_slots(self._fields, self._columns)
            return
        if kind == EpilogueKind.TAPS:
            yield from tap_slots(self._fields, self._columns)
            return
        if self._depthwise is not None:
            yield from self._depthwise.slots()
            return
        blocks = -(-self._standing // self._columns)
        for block in range(blocks):
            final = block == blocks - 1
            if self._by_filter and block > 0:
                yield from self._parameters(block)
            if kind == EpilogueKind.THRESHOLD:
                first_bit = self._fields["destination"] + block * self._columns
                entry = self._fields["accumulator"] + block
                yield Slot(Kind.SIGN, final, entry, address=first_bit, count=self._lanes(block))
            elif kind == EpilogueKind.STORE:
                yield from self._store_pixels(block, final) if self._by_filter else self._transpose(block, final)
            else:
                yield from self._reduce(block, final)

    def _lanes(self, block: int) -> int:
        return min(self._columns, self._standing - block * self._columns)

    def _parameter(self, position: int) -> int:
        return self._fields["parameters"] + filter_number(self._fields, self._tables, position)

    def _parameters(self, block: int) -> Iterator[Slot]:
        for lane in range(self._lanes(block)):
            yield Slot(Kind.PARAMETER, lane=lane, parameter=self._parameter(block * self._columns + lane))

    def _place(self, pixel: int) -> tuple[int, int, int, int]:
        """(tile y, tile x, y, x) of a pixel of the instruction."""
        edge = self._fields["tile"]
        tile, inside = divmod(self._fields["first_pixel"] + pixel, edge * edge)
        tile_y, tile_x = tile_position(self._fields, self._tables, tile)
        return tile_y, tile_x, tile_y * edge + inside // edge, tile_x * edge + inside % edge

    def _address(self, pixel: int, position: int) -> int | None:
        """Byte address of a pixel's channel at a position of the filter list; None outside the map."""
        fields = self._fields
        _, _, y, x = self._place(pixel)
        if y >= fields["out_height"] or x >= fields["out_width"]:
            return None
        at = fields["first_filter"] + position
        address = fields["destination"] + (y * fields["out_width"] + x) * self._stored + at
        if fields["wrap_row"] and y >= fields["wrap_row"]:
            address -= fields["wrap_bytes"]
        return address % SCRATCHPAD_SPACE

    def _residual_address(self, pixel: int, position: int) -> int | None:
        """Byte address of what is added there; None outside the output map."""
        fields = self._fields
        if not fields["elsewhere"]:
            return self._address(pixel, position)
        _, _, y, x = self._place(pixel)
        if y >= fields["out_height"] or x >= fields["out_width"]:
            return None
        place = (y >> fields["upsample"]) * fields["source_width"] + (x >> fields["upsample"])
        address = fields["source"] + place * self._stored + fields["first_filter"] + position
        return address % SCRATCHPAD_SPACE

    def _store_pixels(self, block: int, final: bool) -> Iterator[Slot | None]:
        fields, lanes, edge = self._fields, self._lanes(block), self._fields["tile"]
        position = block * self._columns
        for pixel in range(self._pixels):
            if fields["residual"]:
                yield None
            ends_block = pixel == self._pixels - 1
            ends_tile = bool(fields["pool"]) and (pixel + 1) % (edge * edge) == 0
            entry = fields["accumulator"] + block * self._pixels + pixel
            yield Slot(
                Kind.ENTRY,
                final and ends_block and not ends_tile,
                entry,
                address=self._address(pixel, position),
                count=lanes,
                first=pixel % (edge * edge) == 0,
            )
            if ends_tile:
                tile_y, tile_x, _, _ = self._place(pixel)
                tile = tile_y * fields["grid_width"] + tile_x
                address = fields["pool_address"] + tile * fields["channels"] + fields["first_filter"] + position
                yield Slot(
                    Kind.POOL,
                    final and ends_block,
                    parameter=fields["parameters"] - 1,
                    address=address,
                    count=lanes,
                )

    def reads(self) -> Iterator[tuple[int | None, int]]:
        """(address or None, bytes) of what is read through port B, in the order of the slots that take it."""
        if self._fields["kind"] in WINDOW_KINDS:
            yield from window_reads(self._fields, self._columns)
        elif self._depthwise is not None:
            yield from self._depthwise.reads()
        elif self._fields["residual"]:
            yield from self._residual_reads()

    def _residual_reads(self) -> Iterator[tuple[int | None, int]]:
        for block in range(-(-self._standing // self._columns)):
            for pixel in range(self._pixels):
                yield self._residual_address(pixel, block * self._columns), self._lanes(block)

    def _transpose(self, block: int, final: bool) -> Iterator[Slot]:
        lanes, entries = self._lanes(block), self._fields["accumulator"] + block * self._filters
        for begin in range(0, self._filters, TRANSPOSED_FILTERS):
            size = min(TRANSPOSED_FILTERS, self._filters - begin)
            for row in range(size):
                position = begin + row
                parameter = self._parameter(position)
                yield Slot(Kind.COLLECT, entry=entries + position, lane=row, parameter=parameter, count=lanes)
            for lane in range(lanes):
                address = self._address(block * self._columns + lane, begin)
                ends = final and begin + size == self._filters and lane == lanes - 1
                yield Slot(Kind.TRANSPOSED, ends, lane=lane, address=address, count=size)

    def _reduce(self, block: int, final: bool) -> Iterator[Slot]:
        entries = self._fields["accumulator"] + block * self._pixels
        for pixel in range(self._pixels):
            yield Slot(Kind.SUM, entry=entries + pixel, first=pixel == 0)
        bytes_each = 4 if self._fields["kind"] == EpilogueKind.REDUCE_RAW else 1
        at = self._fields["first_filter"] + block * self._columns
        address = self._fields["destination"] + bytes_each * at
        yield Slot(Kind.TOTAL, final, address=address, count=self._lanes(block))
