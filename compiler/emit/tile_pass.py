"""A pass over maps in DRAM for one sample: the tiles of its layers, its rings and its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gatewright.compiler.emit.decided_gate import DecidedGate
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.rooms import room_of
from gatewright.compiler.plan.tile_rings import PassLayout, lay_out, least_bytes, ring_needs
from gatewright.compiler.plan.tile_steps import Work
from gatewright.compiler.plan.tiled import TiledPass
from gatewright.contract.encodings import COORDINATE_BITS
from gatewright.contract.errors import GatewrightError

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower_convolutions import ConvolutionLowering

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TileChoice:
    """Tiles of a layer's output: their numbers in raster order, and the tables of their places in the grid and in one
    column; whether they get the ReLU, and what is pooled along."""

    numbers: Numbers
    table: int | None
    column_table: int | None
    relu: bool
    pool: Pooling | None
    live: bool = False
    """Whether the machine decides which of them are there: the tables are the gate's, and each step has its own."""
    without: int | None = None
    """The table of a gate of the whole map without whose entries the machine computes none of them."""


class TilePass:
    """What is known of it when its gates are decided."""

    def __init__(self, convolutions: ConvolutionLowering, one: TiledPass) -> None:
        self.convolutions, self.one, self.block = convolutions, one, one.block
        self.context, self.image, self.graph = convolutions.context, convolutions.image, convolutions.graph
        self.sets = {layer.name: self._sets_of(layer) for layer in one.layers}
        self.layout = self._lay_out()

    def active(self, layer: QuantisedConv) -> list[int]:
        """The tiles that a layer computes."""
        sets = self.sets[layer.name] if layer.name in self.sets else self._sets_of(layer)
        return sorted({int(n) for chosen in sets for n in chosen.numbers})

    def edge(self, layer: QuantisedConv) -> int:
        """The edge of a tile of a layer's output."""
        return self.block.tile_in(self.graph.shapes[layer.output])

    def channels(self, tensor: str) -> int:
        """Channels of a map as they are stored."""
        writer = next((la for la in self.graph.layers if tensor in la.writes), None)
        if isinstance(writer, Pooling):
            return self.channels(writer.source)
        if isinstance(writer, QuantisedConv):
            return self.convolutions.filters_of(writer)
        return self.graph.shapes[tensor].channels

    def _sets_of(self, layer: QuantisedConv) -> list[TileChoice]:
        """The sets of tiles that a layer computes; a shortcut finishes those that are inactive."""
        gate, completer = self.context.gate(layer.output_tiles), self.image.completer(layer)
        finishes = None if completer is None else self.context.gate(completer.output_tiles)
        if completer is not None and finishes is not None:
            return [
                self._chosen(finishes, False, False, None),
                self._chosen(finishes, True, completer.relu_of_skipped, self.image.pooling_of(layer)),
            ]
        pool = self.image.poolings.get(layer.output)
        if gate is not None:
            return [self._chosen(gate, False, layer.relu, pool)]
        return [TileChoice(np.arange(self.block.tiles), None, None, layer.relu, pool)]

    def _chosen(self, gate: DecidedGate, complement: bool, relu: bool, pool: Pooling | None) -> TileChoice:
        """The tiles that a gate picks, or leaves out: what decides about the whole map picks all or none."""
        if gate.whole:
            without = (gate.complement_table if complement else gate.table) if gate.live else None
            tiles = self.block.tiles if gate.live or (len(gate.entries) > 0) != complement else 0
            return TileChoice(np.arange(tiles), None, None, relu, pool, without=without)
        entries = (gate.complement if complement else gate.entries).astype(np.int64)
        numbers = (entries >> COORDINATE_BITS) * gate.grid[1] + (entries & ((1 << COORDINATE_BITS) - 1))
        table, column = gate.table, gate.column_table
        if complement:
            table, column = gate.complement_table, gate.column_complement_table
        return TileChoice(numbers, table, table if gate.live else column, relu, pool, gate.live)

    def _lay_out(self) -> PassLayout:
        """The rings, as large as this sample's maps leave room for."""
        one, arch = self.one, self.context.arch
        needs = ring_needs(one, self.graph, self.image.off_chip, self.channels)
        maps, size = self.image.maps, arch.scratchpad_bytes
        address, room = room_of(maps.rooms[one.rings], maps.beside[one.rings], self.graph.shapes, self.channels, size)
        work = [
            Work(self._macs(layer), self._filter_bytes(layer), len(self.active(layer)), self._behind_bytes(layer))
            for layer in one.layers
        ]
        active = sorted({number for layer in one.layers for number in self.active(layer)})
        layout = lay_out(one, self.graph, arch, needs, address, room, work, active)
        if layout is None:
            raise GatewrightError(
                f"arch {arch.name}: beside what lives with it the scratchpad of {arch.scratchpad_kib} KiB has {room} "
                f"bytes for tiles of {one.layers[0].name}'s maps, which need {least_bytes(needs)}; raise scratchpad_kib"
            )
        return layout

    def _macs(self, layer: QuantisedConv) -> int:
        pixels = len(self.active(layer)) * self.edge(layer) ** 2
        taps = layer.weight.shape[1] * layer.weight.shape[2]
        macs = pixels * self.convolutions.filters_of(layer) * taps * self.channels(layer.source)
        return macs // self._undecided(layer.output_tiles, layer.output_channels, layer.input_channels)

    def _undecided(self, *gates: str | None) -> int:
        """By what sizes are divided of which a live program knows the largest: a half is as likely as any other."""
        return 2 ** sum(gate is not None for gate in gates) if self.context.live else 1

    def _filter_bytes(self, layer: QuantisedConv) -> int:
        """Bytes of a layer's filters that are read."""
        bank = self.image.banks[layer.name]
        gate = self.context.gate(bank.gate)
        size = layer.weight.size if bank.streamed else 0
        return size if gate is None else size * len(gate.entries) // bank.rows // self._undecided(bank.gate)

    def _behind_bytes(self, layer: QuantisedConv) -> int:
        """Bytes of the filters of what is multiplied in the wake of a layer."""
        wake = self.image.wakes.get(layer.name)
        return 0 if wake is None else self.image.banks[wake.bank].filters * self.image.banks[wake.bank].reduction
