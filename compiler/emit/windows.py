"""EPILOGUEs that read windows of a map: maxima, averages over tiles, and sums as two digits."""

from __future__ import annotations

from gatewright.compiler.emit.access import PORT_B, Access, reads, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.placed_maps import OutputMap, SourceMap
from gatewright.compiler.plan.bands import Rows
from gatewright.compiler.plan.tile_sets import MOST_TILES
from gatewright.contract.isa import EpilogueKind, Opcode, Stationary


def windows(
    context: Context,
    kind: EpilogueKind,
    source: SourceMap,
    output: OutputMap,
    rows: Rows,
    window: int,
    step: int,
    inset: int = 0,
    only: Rows | None = None,
    part: tuple[int, int] | None = None,
) -> None:
    """Rows of ``output`` from windows of ``source``, which has its channels; ``parameters`` as with ``pool``.

    ``only``: of the pixels of these rows, one row behind the other, those in this range. ``part``: so many channels
    from one on, not all.
    """
    above = -(-inset // step)
    if rows.end * output.width > MOST_TILES and rows.first >= above:  # further than an instruction can count
        row = rows.first - above
        source, output = source.from_row(row * step), output.from_row(row)
        rows = Rows(above, rows.end - row)
    first_filter, filters = part or (0, output.channels)
    first = max(0, rows.first * step - inset)
    end = min(source.height, (rows.end - 1) * step - inset + window)
    read, written = source.rows(first, end), output.rows(rows.first, rows.end)
    pixels = only or Rows(0, (rows.end - rows.first) * output.width)
    count = pixels.end - pixels.first
    accesses = [
        *(reads("scratchpad", *place) for place in read.ranges),
        *(writes("scratchpad", *place) for place in written.ranges),
        PORT_B,
    ]
    if kind != EpilogueKind.DIGITS:
        accesses.append(Access("parameter", output.parameters - 1, output.parameters, early=True))
    context.out.emit(
        Opcode.EPILOGUE,
        accesses,
        kind=kind,
        stationary=Stationary.FILTERS,
        destination=written.address,
        out_height=output.height,
        out_width=output.width,
        channels=output.pitch or output.channels,
        tile=1,
        first_tile=rows.first * output.width + pixels.first,
        tile_count=count,
        pixel_count=count,
        first_filter=first_filter,
        filter_count=filters,
        parameters=output.parameters,
        source=read.address,
        source_height=source.height,
        source_width=source.width,
        window=window,
        step=step,
        inset=inset,
        **read.wrap,
    )
