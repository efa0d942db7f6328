"""The slots of EPILOGUE's kind TAPS, in the order of their counters: output pixels, rows of a window, its columns."""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.sim.stepped.epilogue.slots import Kind, Slot
from gatewright.sim.stepped.epilogue.windows import in_map, output_pixels, place_of
from gatewright.sim.stepped.instruction import Instruction


def tap_slots(fields: Instruction, columns: int) -> Iterator[Slot]:
    """A TAP for each place of a window, then the slot that writes the bit of its sum."""
    for pixel in output_pixels(fields, columns):
        for place in range(fields["window"] ** 2):
            dy, dx = divmod(place, fields["window"])
            number = place_of(fields, pixel.y * fields["step"] + dy, pixel.x * fields["step"] + dx)
            entry = None if number is None else fields["source"] + number
            yield Slot(Kind.TAP, entry=entry, lane=place, first=place == 0)
        bit = fields["destination"] + pixel.y * fields["out_width"] + pixel.x
        address = bit if in_map(fields, pixel) else None
        yield Slot(Kind.TAPPED, pixel.last, address=address, count=1)
