"""The slots and the reads of EPILOGUE's kinds MAX, AVERAGE and DIGITS, in the order of their counters.

From outside in: the blocks of ``columns`` channels, the output pixels, the rows of a window, its columns. One counter
of the output's place (y, x), from which the window's first place in the source follows; it runs twice, once in front of
the slots (which need where to write) and once in front of the reads (which need where to read).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gatewright.contract.encodings import MOST_DIGITS_WINDOW, SCRATCHPAD_SPACE
from gatewright.contract.isa import NO_TABLE, EpilogueKind, Stationary
from gatewright.sim.stepped.epilogue.slots import Kind, Slot
from gatewright.sim.stepped.instruction import Instruction

WINDOW_KINDS = (EpilogueKind.MAX, EpilogueKind.AVERAGE, EpilogueKind.DIGITS)


def check_windows(fields: Instruction, columns: int) -> str | None:
    """What is wrong with the operands of a kind beyond THRESHOLD, if anything is."""
    kind = fields["kind"]
    if kind not in (*WINDOW_KINDS, EpilogueKind.TAPS):
        return f"kind {kind} does not exist"
    if fields["stationary"] != Stationary.FILTERS or fields["tile"] != 1:
        return "windows need stationary filters and tile 1"
    if fields["tile_table"] != NO_TABLE or fields["filter_table"] != NO_TABLE:
        return "windows take no tables"
    if fields["only"]:
        return "windows always have their filters"
    if fields["window"] == 0 or fields["step"] == 0 or fields["inset"] >= fields["window"]:
        return "window and step are at least 1, and inset is below window"
    if kind == EpilogueKind.DIGITS and fields["window"] > MOST_DIGITS_WINDOW:
        return f"a window of more than {MOST_DIGITS_WINDOW} pixels has a sum of more than two digits"
    if kind == EpilogueKind.TAPS:
        return _check_taps(fields, columns)
    if kind != EpilogueKind.DIGITS and fields["parameters"] == 0:
        return "there is no parameter entry before entry 0 for the pooling"
    return None


def _check_taps(fields: Instruction, columns: int) -> str | None:
    if fields["window"] ** 2 > columns:
        return f"an array of {columns} columns has no lane for each place of a window"
    if fields["channels"] != 1:
        return "taps make one bit for each window: channels is 1"
    if fields["wrap_row"]:
        return "accumulators are no ring of rows"
    return None


@dataclass(frozen=True)
class Pixel:
    """An output pixel of one block of channels: its place, the block's first channel, and how many it has."""

    y: int
    x: int
    channel: int
    lanes: int
    last: bool


def output_pixels(fields: Instruction, columns: int) -> Iterator[Pixel]:
    """Every output pixel of every block."""
    count = min(max(0, fields["tile_count"] - fields["first_pixel"]), fields["pixel_count"])
    first = fields["first_tile"] + fields["first_pixel"]
    for begin in range(0, fields["filter_count"], columns):
        lanes = min(columns, fields["filter_count"] - begin)
        for pixel in range(count):
            y, x = divmod(first + pixel, max(1, fields["out_width"]))  # a map without columns: of one, outside of it
            last = begin + lanes == fields["filter_count"] and pixel == count - 1
            yield Pixel(y, x, fields["first_filter"] + begin, lanes, last)


def in_map(fields: Instruction, pixel: Pixel) -> bool:
    """Whether a pixel lies in the output map: it may lie below it."""
    return pixel.y < fields["out_height"] and pixel.x < fields["out_width"]


def window_reads(fields: Instruction, columns: int) -> Iterator[tuple[int | None, int]]:
    """(address or None, bytes) of each WINDOW slot. Outside of the source there is a turn, but no address."""
    for pixel in output_pixels(fields, columns):
        for dy in range(fields["window"]):
            for dx in range(fields["window"]):
                y, x = pixel.y * fields["step"] + dy, pixel.x * fields["step"] + dx
                yield source_address(fields, y, x, fields["channels"], pixel.channel), pixel.lanes


def place_of(fields: Instruction, y: int, x: int) -> int | None:
    """The number in the source of a place that is counted from the padding's corner; None outside of the source."""
    y, x = y - fields["inset"], x - fields["inset"]
    if not (0 <= y < fields["source_height"] and 0 <= x < fields["source_width"]):
        return None
    return y * fields["source_width"] + x


def source_address(fields: Instruction, y: int, x: int, stored: int, channel: int) -> int | None:
    """Of a channel of a place that is counted from the padding's corner; None outside of the source."""
    number = place_of(fields, y, x)
    if number is None:
        return None
    address = fields["source"] + number * stored + channel
    if fields["wrap_row"] and y - fields["inset"] >= fields["wrap_row"]:
        address -= fields["wrap_bytes"]
    return address % SCRATCHPAD_SPACE


def window_slots(fields: Instruction, columns: int) -> Iterator[Slot]:
    """A WINDOW slot for each place of a window, then what writes its result: POOL, or HIGH and LOW."""
    digits = fields["kind"] == EpilogueKind.DIGITS
    for pixel in output_pixels(fields, columns):
        for place in range(fields["window"] ** 2):
            yield Slot(Kind.WINDOW, count=pixel.lanes, first=place == 0)
        if digits:
            yield Slot(Kind.HIGH, address=_target(fields, pixel, 2, 0), count=pixel.lanes)
            yield Slot(Kind.LOW, pixel.last, address=_target(fields, pixel, 2, 1), count=pixel.lanes)
        else:
            address, entry = _target(fields, pixel, 1, 0), fields["parameters"] - 1
            yield Slot(Kind.POOL, pixel.last, parameter=entry, address=address, count=pixel.lanes)


def _target(fields: Instruction, pixel: Pixel, places: int, place: int) -> int | None:
    """Where one of the ``places`` results of a pixel goes; None outside of the output map."""
    if not in_map(fields, pixel):
        return None
    number = places * (pixel.y * fields["out_width"] + pixel.x) + place
    return (fields["destination"] + number * fields["channels"] + pixel.channel) % SCRATCHPAD_SPACE
