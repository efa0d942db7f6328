"""What comes from DRAM in a pass by tiles, and what goes there: tiles as they lie, out of rows, or by rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gatewright.compiler.emit.tile_pass import TilePass
from gatewright.compiler.emit.tile_traffic import Piece, Place, Stream
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.max_pool import QuantisedMaxPool
from gatewright.compiler.plan.bands import Rows, needed_rows
from gatewright.compiler.plan.spills import rows_in_beats
from gatewright.compiler.plan.tile_rings import stream_ring
from gatewright.contract.arch import BEAT_BYTES


def streams_of(of: TilePass) -> tuple[list[Stream], list[Stream]]:
    """The streams of a pass: those that come, and those that go."""
    return _Streams(of).all()


class _Streams:
    """Makes the streams of a pass."""

    def __init__(self, of: TilePass) -> None:
        self.of = of

    def all(self) -> tuple[list[Stream], list[Stream]]:
        """What comes, and what goes."""
        block, one, off_chip = self.of.block, self.of.one, self.of.image.off_chip
        ends = [end for _, end in self.of.layout.steps]
        begins = [first for first, _ in self.of.layout.steps]
        incoming, outgoing = list[Stream](), list[Stream]()
        stream = block.last.output if block.last in one.layers else None
        for layer in one.layers:
            if one.by_rows:
                incoming.append(self._rows_in(layer))
            elif layer.source in off_chip:
                units = self.of.active(layer)
                ring = self.of.layout.rings[layer.source]
                incoming.append(Stream(units, ring.units, self._loads(layer), ends, begins))
            if layer is block.first and layer.output in off_chip:
                outgoing.append(self._rows_out(layer))
            elif layer.output in off_chip and layer.output == stream:
                adds = block.shortcut not in one.layers
                units = self.of.active(layer) if adds else list(range(block.tiles))
                place = self._place(layer.output, stream_ring(one), layer)
                outgoing.append(Stream(units, place.ring, place.runs, done=ends))
                if adds:
                    incoming.append(Stream(units, place.ring, place.runs, ends, begins))
        return incoming, outgoing

    def _place(self, tensor: str, ring: str, layer: QuantisedConv) -> Place:
        placed, edge = self.of.layout.rings[ring], self.of.edge(layer)
        size = edge * edge * self.of.channels(tensor)
        return Place(self.of.image.off_chip[tensor].dram, placed.address, placed.units, size)

    def _loads(self, layer: QuantisedConv) -> Callable[[Sequence[int]], list[Piece]]:
        """How tiles of a layer's source come: as they lie, or out of rows, or without what a stride leaves out."""
        place, shape = self._place(layer.source, layer.source, layer), self.of.graph.shapes[layer.source]
        edge, stride, channels = self.of.edge(layer), layer.stride, shape.channels
        beats, whole = channels // BEAT_BYTES, self.of.block.tile_in(shape)
        in_rows = any(isinstance(la, QuantisedMaxPool) and layer.source == la.output for la in self.of.graph.layers)
        if stride == 1 and not in_rows:
            return place.runs

        def pieces(units: Sequence[int]) -> list[Piece]:
            found = []
            for unit in units:
                down, across = divmod(unit, self.of.block.grid[1])
                if in_rows:
                    dram, pitch = place.dram + (down * shape.width + across) * whole * channels, shape.width * channels
                else:
                    dram, pitch = place.dram + unit * whole * whole * channels, whole * channels
                if stride == 1:
                    found.append(Piece(dram, place.slot(unit), edge * beats, edge, pitch))
                    continue
                for row in range(edge):
                    address = place.slot(unit) + row * edge * channels
                    found.append(Piece(dram + row * stride * pitch, address, beats, edge, stride * channels))
            return found

        return pieces

    def _rows_in(self, layer: QuantisedConv) -> Stream:
        """The rows of the first convolution's map, for rows of tiles of the second one's."""
        shape, edge = self.of.graph.shapes[layer.source], self.of.edge(layer)
        pitch = shape.width * self.of.channels(layer.source)
        unit = rows_in_beats(pitch) if pitch else 1
        ring = self.of.layout.rings[layer.source]
        place = Place(self.of.image.off_chip[layer.source].dram, ring.address, max(1, ring.units // unit), unit * pitch)
        needed, kept = [], []
        for first, end in self.of.layout.steps:
            rows = Rows(first // self.of.block.grid[1] * edge, end // self.of.block.grid[1] * edge)
            read = needed_rows(layer, rows)
            needed.append(-(-min(read.end, shape.height) // unit))
            kept.append(max(0, read.first) // unit)
        units = range(shape.height // unit) if pitch else ()
        return Stream(units, place.ring, place.runs, needed, kept)

    def _rows_out(self, layer: QuantisedConv) -> Stream:
        """The rows of the first convolution's map, complete with each row of tiles."""
        shape, edge = self.of.graph.shapes[layer.output], self.of.edge(layer)
        pitch = shape.width * self.of.channels(layer.output)
        unit = rows_in_beats(pitch) if pitch else 1
        ring = self.of.layout.rings[layer.output]
        place = Place(self.of.image.off_chip[layer.output].dram, ring.address, max(1, ring.units // unit), unit * pitch)
        done = [end // self.of.block.grid[1] * edge // unit for _, end in self.of.layout.steps]
        units = range(shape.height // unit) if pitch else ()
        return Stream(units, place.ring, place.runs, done=done)
