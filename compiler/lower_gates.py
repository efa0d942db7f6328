"""Gates on the machine: pooled maps in, masks and index tables out.

The gates of a block are emitted together, so that one unit works on the channel gate while another
works on the spatial gate: the block cannot begin before both are decided.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.compiler.context import Context, DecidedGate, Kernel, SourceMap
from gatewright.compiler.emit import Access, reads, writes
from gatewright.compiler.filter_loader import FilterLoader
from gatewright.compiler.graph import QuantisedChannelGate, QuantisedConv, QuantisedSpatialGate
from gatewright.compiler.layout import slices_of
from gatewright.compiler.matrix import gather, matmul
from gatewright.compiler.tiling import TileSet, all_tiles
from gatewright.errors import GatewrightError
from gatewright.index_table import build_table
from gatewright.isa import EpilogueKind, Opcode, Stationary
from gatewright.arch import MASK_BITS, MASKS
from gatewright.program import GateRecord


class GateLowering:
    """Emits gates; remembers which masks and tables are in use."""

    def __init__(self, context: Context, loader: FilterLoader) -> None:
        self.context, self.loader = context, loader
        self._mask = self._table = 0

    def emit(self, gates: list[QuantisedSpatialGate | QuantisedChannelGate]) -> None:
        """All gates of a block: channel gates up to their hidden layer, spatial gates, channel gates' decisions."""
        channel = [gate for gate in gates if isinstance(gate, QuantisedChannelGate)]
        spatial = [gate for gate in gates if isinstance(gate, QuantisedSpatialGate)]
        for gate in channel:
            self.context.out.layer = gate.name
            self._hidden(gate)
        masks = {}
        for gate in spatial:
            self.context.out.layer = gate.name
            masks[gate.name] = self._logits(gate)
        for gate in spatial:
            self.context.out.layer = gate.name
            decision = self._decided(gate.name)
            table, entries = self._index(gate.name, "spatial", masks[gate.name], decision, False)
            self.context.gates[gate.name] = DecidedGate(
                masks[gate.name], table, entries, tile=gate.tile, grid_width=gate.grid[1]
            )
        for gate in channel:
            self.context.out.layer = gate.name
            mask = self._channels(gate)
            table, entries = self._index(gate.name, "channel", mask, self._decided(gate.name), False)
            self.context.gates[gate.name] = DecidedGate(mask, table, entries)
        for gate in spatial:
            if self._finishes_a_shortcut(gate.name):
                self.context.out.layer = gate.name
                decided = self.context.gates[gate.name]
                decided.complement_table, decided.complement = self._index(
                    gate.name, "spatial", decided.mask, self._decided(gate.name), True
                )

    def pooled_source(self, pooling_name: str) -> SourceMap:
        """The pooled map that gates read, one pixel per tile."""
        context = self.context
        pooling = next(p for p in context.image.poolings.values() if p.name == pooling_name)
        shape = context.graph.shapes[pooling.source]
        down, across = -(-shape.height // pooling.tile), -(-shape.width // pooling.tile)
        return SourceMap(context.image.addresses[pooling_name], down, across, shape.channels)

    def _hidden(self, gate: QuantisedChannelGate) -> None:
        source = self.pooled_source(gate.pooling)
        destination = self.context.image.addresses[f"{gate.name}.hidden"]
        self.context.macs[gate.name] = 0
        average_product(
            self.context,
            self.loader,
            f"{gate.name}.hidden",
            gate.name,
            source,
            len(gate.hidden_weight),
            destination,
            EpilogueKind.REDUCE,
        )

    def _channels(self, gate: QuantisedChannelGate) -> int:
        """The second layer: one vector, a bit per filter. Returns the mask."""
        context = self.context
        mask = self._take_mask()
        vector = SourceMap(context.image.addresses[f"{gate.name}.hidden"], 1, 1, len(gate.hidden_weight))
        patches = gather(context, vector, 1, all_tiles(1, 1, 1), 0, 1, Kernel())
        sizes = {
            "tile": 1,
            "tile_count": 1,
            "pixel_count": 1,
            "filter_count": len(gate.weight),
            "stationary": int(Stationary.FILTERS),
        }
        matmul(context, self.loader, gate.name, vector, 1, patches, sizes, [])
        self._threshold(gate.name, mask, 0, 1, sizes)
        context.macs[gate.name] += gate.weight.size
        return mask

    def _logits(self, gate: QuantisedSpatialGate) -> int:
        """One logit per tile: pixels stand still and the one filter streams past, block by block. Returns the mask."""
        context = self.context
        mask = self._take_mask()
        source = self.pooled_source(gate.pooling)
        tiles = all_tiles(*gate.grid, 1)
        kernel = Kernel(gate.weight.shape[1], gate.weight.shape[2], gate.stride, gate.padding, gate.padding)
        context.macs[gate.name] = len(tiles) * gate.weight.size
        blocks = [(first, min(context.arch.columns, len(tiles) - first)) for first in range(0, len(tiles), context.arch.columns)]
        gathered = []
        for number in range(len(blocks) + 1):
            if number < len(blocks):
                gathered.append(gather(context, source, gate.grid[1], tiles, *blocks[number], kernel))
            if number > 0:
                first, count = blocks[number - 1]
                sizes = {
                    "tile": 1,
                    "first_tile": first,
                    "tile_count": count,
                    "pixel_count": count,
                    "filter_count": 1,
                    "stationary": int(Stationary.PIXELS),
                }
                matmul(context, self.loader, gate.name, source, kernel.taps, gathered[number - 1], sizes, [])
                self._threshold(gate.name, mask, first, gate.grid[1], sizes)
        return mask

    def _threshold(self, name: str, mask: int, first_bit: int, width: int, sizes: dict[str, int]) -> None:
        context = self.context
        entry = context.image.parameter_entry[name]
        context.out.emit(
            Opcode.EPILOGUE,
            [
                reads("accumulator", context.bank, context.bank + 1),
                Access("parameter", entry, entry + sizes["filter_count"], early=True),
                writes("mask", mask, mask + 1),
            ],
            kind=EpilogueKind.THRESHOLD,
            destination=mask * MASK_BITS + first_bit,
            out_height=1,
            out_width=width,
            bank=context.bank,
            parameters=entry,
            **sizes,
        )

    def _index(
        self, name: str, kind: str, mask: int, decision: npt.NDArray[np.bool_], complement: bool
    ) -> tuple[int, npt.NDArray[np.uint16]]:
        """Emit INDEX; return the table and the entries that it will hold."""
        context = self.context
        entries = build_table(decision, complement)
        if decision.size > min(MASK_BITS, context.arch.table_entries):
            raise GatewrightError(
                f"gate {name}: its {decision.size} bits do not fit a mask of {MASK_BITS} bits "
                f"and a table of {context.arch.table_entries} entries (arch {context.arch.name})"
            )
        table = self._table = (self._table + 1) % context.arch.tables
        row = context.out.emit(
            Opcode.INDEX,
            [reads("mask", mask, mask + 1), writes("table", table, table + 1)],
            mask=mask,
            bits=decision.size,
            grid_width=decision.shape[1] if decision.ndim == 2 else 0,
            table=table,
            complement=int(complement),
        )
        if not complement:
            bits = tuple(int(bit) for bit in decision.reshape(-1))
            table_entries = tuple(int(entry) for entry in entries)
            context.records.append(GateRecord(name, kind, mask, decision.size, bits, table_entries, row))
        return table, entries

    def _decided(self, name: str) -> npt.NDArray[np.bool_]:
        if name not in self.context.decisions:
            raise GatewrightError(f"no decision for gate {name}; run the integer reference on the sample first")
        return self.context.decisions[name]

    def _take_mask(self) -> int:
        self._mask = (self._mask + 1) % (MASKS - 1)
        return self._mask

    def _finishes_a_shortcut(self, gate: str) -> bool:
        """Whether some layer's output still needs its ReLU where the gate is off."""
        image = self.context.image
        return any(
            isinstance(layer, QuantisedConv)
            and not layer.relu
            and (consumer := image.consumer(layer)) is not None
            and consumer.output_tiles == gate
            for layer in self.context.graph.layers
        )


def average_product(
    context: Context,
    loader: FilterLoader,
    bank: str,
    layer: str,
    source: SourceMap,
    filters: int,
    destination: int,
    kind: EpilogueKind,
) -> None:
    """A fully connected layer on the average of a map: the product per pixel, then the sum over them."""
    tiles: TileSet = all_tiles(source.height, source.width, 1)
    if len(tiles) > context.arch.accumulator_depth:
        raise GatewrightError(
            f"arch {context.arch.name}: {layer} averages {len(tiles)} pixels, accumulator_depth is "
            f"{context.arch.accumulator_depth}; raise it"
        )
    context.macs[layer] += len(tiles) * filters * source.channels
    patches = gather(context, source, source.width, tiles, 0, len(tiles), Kernel())
    assert patches[2] == slices_of(source.channels, context.arch)
    entry = context.image.parameter_entry[bank]
    item = 4 if kind == EpilogueKind.REDUCE_RAW else 1
    for first in range(0, filters, context.arch.columns):
        count = min(context.arch.columns, filters - first)
        sizes = {
            "tile": 1,
            "tile_count": len(tiles),
            "pixel_count": len(tiles),
            "first_filter": first,
            "filter_count": count,
            "stationary": int(Stationary.FILTERS),
        }
        matmul(context, loader, bank, source, 1, patches, sizes, [])
        context.out.emit(
            Opcode.EPILOGUE,
            [
                reads("accumulator", context.bank, context.bank + 1),
                Access("parameter", entry, entry + filters, early=True),
                writes("scratchpad", destination + item * first, destination + item * (first + count)),
            ],
            kind=kind,
            destination=destination,
            out_height=source.height,
            out_width=source.width,
            channels=filters,
            bank=context.bank,
            parameters=entry,
            relu=int(kind == EpilogueKind.REDUCE),
            **sizes,
        )
