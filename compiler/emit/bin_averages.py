"""The averages of bins that overlap, each by an EPILOGUE of its own."""

from __future__ import annotations

from gatewright.compiler.emit.access import PORT_B, Access, reads, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.placed_maps import ADDRESS_SPACE
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.compiler.plan.bin_windows import areas, bin_windows
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import EpilogueKind, Opcode, Stationary


def average_bins(context: Context, gate: QuantisedSpatialGate) -> None:
    """Write a gate's averages [row of the grid][column][channel] of the map that it looks at, which is complete."""
    image, shape = context.image, context.graph.shapes[gate.source]
    if gate.source in image.spilled or gate.source in image.ring_bytes:
        raise GatewrightError(
            f"arch {context.arch.name}: gate {gate.name} averages overlapping bins of {gate.source}, which does "
            f"not fit the scratchpad of {context.arch.scratchpad_kib} KiB whole; raise scratchpad_kib"
        )
    sizes, windows = areas(gate.grid, shape), bin_windows(gate.grid, shape)
    assert windows is not None
    source, target, channels = image.addresses[gate.source], image.addresses[gate.bins_name], shape.channels
    for cell, one in enumerate(windows):
        low, place = source + one.offset * channels, target + cell * channels
        parameters = image.parameter_entry[gate.name] + 2 + sizes.index(one.area)
        context.out.emit(
            Opcode.EPILOGUE,
            [
                reads("scratchpad", low, low + one.height * shape.width * channels),
                writes("scratchpad", place, place + channels),
                Access("parameter", parameters - 1, parameters, early=True),
                PORT_B,
            ],
            kind=EpilogueKind.AVERAGE,
            stationary=Stationary.FILTERS,
            destination=(place - one.place * channels) % ADDRESS_SPACE,
            out_height=1 + one.place,
            out_width=one.out_width,
            channels=channels,
            tile=1,
            first_tile=one.place,
            tile_count=1,
            pixel_count=1,
            filter_count=channels,
            parameters=parameters,
            source=low,
            source_height=one.height,
            source_width=shape.width,
            window=one.window,
            step=one.step,
            inset=one.inset,
        )
