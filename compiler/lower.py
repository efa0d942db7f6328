"""Lowering: a quantised graph, and the gate decisions of a sample, become one program.

A layer becomes chunks of pixels: GATHER forms their patches, MATMUL multiplies them part by part,
EPILOGUE writes the results. Filters are loaded ahead of their layer as far as the weight buffer allows.
Gates run on the machine too; their masks and index tables are what the layers after them refer to.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gatewright.arch import BEAT_BYTES, ArchConfig
from gatewright.compiler.allocate import Ring
from gatewright.compiler.emit import Access, Emitter, reads, writes
from gatewright.compiler.graph import (
    Pooling,
    QuantisedChannelGate,
    QuantisedClassifier,
    QuantisedConv,
    QuantisedSpatialGate,
)
from gatewright.compiler.layout import padded_vectors, slices_of
from gatewright.compiler.network_image import FilterBank, NetworkImage
from gatewright.compiler.tiling import TileSet, all_tiles, chunks, listed_tiles, split_chunk
from gatewright.errors import GatewrightError
from gatewright.index_table import build_table
from gatewright.isa import NO_TABLE, EpilogueKind, Opcode, Space, Stationary
from gatewright.program import GateRecord, Placement, Program

Decisions = dict[str, npt.NDArray[np.bool_]]
"""Per gate: [grid height, grid width] for tiles, [channels] for channels."""

_TABLE_PIXELS = 4095
_INPUT_PIECES = 4


@dataclass
class _Gate:
    """A decided gate: its mask, its tables, and what they hold."""

    mask: int
    table: int
    entries: npt.NDArray[np.uint16]
    complement_table: int = NO_TABLE
    complement: npt.NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))
    tile: int = 1
    grid_width: int = 0


@dataclass(frozen=True)
class _Source:
    """The input map of a GATHER."""

    address: int
    height: int
    width: int
    channels: int
    channel_gate: _Gate | None = None
    tile_gate: _Gate | None = None


@dataclass(frozen=True)
class _Output:
    """The output map of an EPILOGUE."""

    address: int
    height: int
    width: int
    channels: int
    parameters: int
    channel_gate: _Gate | None = None
    residual: bool = False
    relu: bool = False
    pool: Pooling | None = None
    pool_address: int = 0


class Lowering:
    """One program in the making. Use ``lower``."""

    def __init__(self, image: NetworkImage, decisions: Decisions) -> None:
        self.image, self.graph, self.arch = image, image.graph, image.arch
        self.decisions = decisions
        self.out = Emitter(self.arch)
        self.gates: dict[str, _Gate] = {}
        self.records: list[GateRecord] = []
        self.placements: list[Placement] = []
        self.kinds: dict[str, str] = {"start": "control", "next page": "control", "end": "control"}
        self.macs: dict[str, int] = {}
        self.patches = Ring(self.arch.patch_words, "patch buffer")
        self.weights = Ring(self.arch.weight_words, "weight buffer")
        self._patch_order: list[str] = []
        self._tables = self._masks = self._bank = self._serial = 0
        self._pending = [bank for layer in self.graph.layers for bank in self._banks_of(layer)]

    def run(self, sample: npt.NDArray[np.int8] | None) -> Program:
        """Emit everything and assemble the program."""
        self._start()
        for layer in self.graph.layers:
            if isinstance(layer, Pooling):
                continue  # rides along with its source's epilogue
            self.out.layer = layer.name
            self._load_ahead()
            if isinstance(layer, QuantisedConv):
                self._conv(layer)
            elif isinstance(layer, QuantisedSpatialGate):
                self._spatial_gate(layer)
            elif isinstance(layer, QuantisedChannelGate):
                self._channel_gate(layer)
            else:
                self._classifier(layer)
            for bank in self._banks_of(layer):
                self.weights.release(bank.name)
        static = self.image.static_image
        code_address = len(static)
        code = self.out.finish(code_address)
        from gatewright.isa import encode

        encoded = np.frombuffer(encode(code), np.uint8)
        image = np.concatenate([static, encoded])
        if sample is not None:
            region = self.image.input_region
            if sample.dtype != np.int8 or sample.size != region.size:
                raise GatewrightError(f"the sample must be {region.size} int8 values, got {sample.size} {sample.dtype}")
            image[region.address : region.address + region.size] = sample.reshape(-1).view(np.uint8)
        starts = self.out.page_starts
        return Program(
            arch=self.arch,
            code=code,
            image=image,
            code_address=code_address,
            boot_count=starts[1] if len(starts) > 1 else len(code),
            input_region=self.image.input_region,
            output_region=self.image.output_region,
            regions=self.image.regions,
            placements=self.placements,
            gates=self.records,
            layers=self.out.layers,
            layer_kinds=self.kinds,
            macs=self.macs,
            page_starts=starts,
        )

    # -- loading ---------------------------------------------------------------------------------

    def _start(self) -> None:
        """The image in pieces, so that the first rows can be used early; the stem's filters; the rest."""
        address = self.image.addresses[self.graph.input]
        beats, region = self.image.input_beats, self.image.input_region
        step = -(-beats // _INPUT_PIECES)
        for first in range(0, beats, step):
            count = min(step, beats - first)
            low = address + first * BEAT_BYTES
            self.out.emit(
                Opcode.LOAD,
                [writes("scratchpad", low, low + count * BEAT_BYTES)],
                dram_address=region.address + first * BEAT_BYTES,
                space=Space.SCRATCHPAD,
                address=low,
                rows=1,
                row_beats=count,
            )
            if first == 0:
                self._load_ahead(limit=1)
        self.out.load_next_page()
        self.out.emit(
            Opcode.LOAD,
            [writes("parameter", 0, self.image.parameter_beats * 2)],
            dram_address=self.image.parameter_address,
            space=Space.PARAMETERS,
            address=0,
            rows=1,
            row_beats=self.image.parameter_beats,
        )

    def _banks_of(self, layer: object) -> list[FilterBank]:
        if isinstance(layer, Pooling):
            return []
        names = [layer.name]  # type: ignore[attr-defined]
        if isinstance(layer, QuantisedChannelGate):
            names.insert(0, f"{layer.name}.hidden")
        return [self.image.banks[name] for name in names]

    def _load_ahead(self, limit: int = 1000) -> None:
        """Load filters in order of use, while there is room and their gate is decided."""
        while self._pending and limit:
            bank = self._pending[0]
            if bank.gate is not None and bank.gate not in self.gates:
                return
            gate = self.gates.get(bank.gate) if bank.gate else None
            rows = bank.rows if gate is None else len(gate.entries)
            slices = bank.slices if gate is None else slices_of(bank.taps * rows, self.arch)
            base = self.weights.take(bank.name, slices * bank.vectors)
            if base is None:
                return
            self._pending.pop(0)
            limit -= 1
            if rows == 0:
                continue
            accesses = [writes("weight", base, base + slices * bank.vectors)]
            if gate is not None:
                accesses.append(reads("table", gate.table, gate.table + 1))
            self.out.emit(
                Opcode.LOAD,
                accesses,
                dram_address=bank.address,
                space=bank.space,
                address=base // 4,
                rows=bank.rows,
                row_beats=bank.row_beats,
                row_stride=bank.row_beats * BEAT_BYTES,
                row_table=NO_TABLE if gate is None else gate.table,
                vectors=bank.vectors,
                taps=bank.taps,
                count=bank.slices,
            )

    def _weight_base(self, name: str) -> int:
        if name not in self.weights.live:
            raise GatewrightError(
                f"arch {self.arch.name}: the weight buffer cannot hold the filters of {name} "
                "beside those in use; raise weight_kib"
            )
        return self.weights.live[name][0]

    # -- layers ----------------------------------------------------------------------------------

    def _conv(self, layer: QuantisedConv) -> None:
        shape = self.graph.shapes[layer.output]
        gate = self.gates.get(layer.output_tiles) if layer.output_tiles else None
        consumer = self.image.consumer(layer)
        finishing = self.gates.get(consumer.output_tiles) if consumer and consumer.output_tiles else None
        self.kinds[layer.name] = "gated" if gate or layer.output_channels or layer.input_channels else "ungated"
        self.macs[layer.name] = 0
        pool = self.image.poolings.get(layer.output)
        if finishing is not None and not layer.relu:
            assert consumer is not None
            after = self.image.poolings.get(consumer.output)
            self._conv_tiles(layer, self._tiles(finishing, False), relu=False, pool=None)
            self._conv_tiles(layer, self._tiles(finishing, True), relu=consumer.relu, pool=after)
            self._place_map(layer.name + " (active tiles)", layer.output, layer)
        elif gate is not None:
            self._conv_tiles(layer, self._tiles(gate, False), layer.relu, pool)
        else:
            tile = pool.tile if pool else 1
            while -(-shape.height // tile) * -(-shape.width // tile) > _TABLE_PIXELS:
                tile *= 2
            self._conv_tiles(layer, all_tiles(shape.height, shape.width, tile), layer.relu, pool)
        if not (finishing is not None and not layer.relu):
            self._place_map(layer.output, layer.output, layer)
        if pool is not None or (finishing is not None and not layer.relu and after is not None):
            self._place_pooled(layer, pool)

    def _tiles(self, gate: _Gate, complement: bool) -> TileSet:
        if complement:
            return listed_tiles(gate.complement, gate.tile, gate.complement_table)
        return listed_tiles(gate.entries, gate.tile, gate.table)

    def _conv_tiles(self, layer: QuantisedConv, tiles: TileSet, relu: bool, pool: Pooling | None) -> None:
        source_shape, shape = self.graph.shapes[layer.source], self.graph.shapes[layer.output]
        in_gate = self.gates[layer.input_channels] if layer.input_channels else None
        out_gate = self.gates[layer.output_channels] if layer.output_channels else None
        if pool is not None and pool.tile != tiles.tile:
            raise GatewrightError(f"layer {layer.name}: pooled in tiles of {pool.tile}, computed in tiles of {tiles.tile}")
        source = _Source(
            self.image.addresses[layer.source],
            source_shape.height,
            source_shape.width,
            source_shape.channels if in_gate is None else len(in_gate.entries),
            in_gate,
            self.gates[layer.input_tiles] if layer.input_tiles else None,
        )
        output = _Output(
            self.image.addresses[layer.output],
            shape.height,
            shape.width,
            shape.channels,
            self.image.parameter_entry[layer.name],
            out_gate,
            layer.residual is not None,
            relu,
            pool,
            0 if pool is None else self.image.addresses[pool.name],
        )
        filters = shape.channels if out_gate is None else len(out_gate.entries)
        if filters == 0 or len(tiles) == 0:
            return
        kernel = layer.weight.shape[1], layer.weight.shape[2]
        self._matrix(layer.name, source, output, tiles, filters, kernel, layer.stride, layer.padding)

    def _matrix(
        self,
        name: str,
        source: _Source,
        output: _Output,
        tiles: TileSet,
        filters: int,
        kernel: tuple[int, int],
        stride: int,
        padding: int,
    ) -> None:
        """All chunks of a convolution; the gather runs two chunks ahead in program order."""
        slices = slices_of(kernel[0] * kernel[1] * source.channels, self.arch)
        self.macs[name] += len(tiles) * tiles.area * filters * kernel[0] * kernel[1] * source.channels
        pieces = chunks(tiles, slices, self.arch, self.arch.patch_words)
        gathered: list[tuple[int, int, int, int]] = []
        for number in range(len(pieces) + 1):
            if number < len(pieces):
                first, count = pieces[number]
                base, vectors = self._gather(source, output, tiles, first, count, slices, kernel, stride, padding)
                gathered.append((first, count, base, vectors))
            if number > 0:
                self._multiply(name, source, output, tiles, filters, kernel, slices, *gathered[number - 1])

    def _gather(
        self,
        source: _Source,
        output: _Output,
        tiles: TileSet,
        first: int,
        count: int,
        slices: int,
        kernel: tuple[int, int],
        stride: int,
        padding: int,
    ) -> tuple[int, int]:
        """Form the patches of a chunk; return the region's base word and its vectors."""
        vectors = padded_vectors(count * tiles.area)
        base = self._take_patches(slices * vectors)
        if source.channels == 0:
            return base, vectors
        rows = tiles.rows[first : first + count]
        low = max(0, int(rows[0]) * stride - padding)
        high = min(source.height, (int(rows[-1]) + tiles.tile - 1) * stride - padding + kernel[0])
        pitch = source.width * source.channels
        accesses = [
            reads("scratchpad", source.address + low * pitch, source.address + high * pitch),
            writes("patch", base, base + slices * vectors),
        ]
        fields: dict[str, int] = {}
        if tiles.table is not None:
            accesses.append(reads("table", tiles.table, tiles.table + 1))
            fields["tile_table"] = tiles.table
        if source.channel_gate is not None:
            accesses.append(reads("table", source.channel_gate.table, source.channel_gate.table + 1))
            fields["channel_table"] = source.channel_gate.table
        if source.tile_gate is not None:
            gate = source.tile_gate
            accesses.append(reads("mask", gate.mask, gate.mask + 1))
            fields |= {"source_mask": gate.mask, "source_tile": gate.tile, "source_grid": gate.grid_width}
        self.out.emit(
            Opcode.GATHER,
            accesses,
            source=source.address,
            height=source.height,
            width=source.width,
            channels=source.channels,
            kernel_height=kernel[0],
            kernel_width=kernel[1],
            stride=stride,
            padding=padding,
            out_width=output.width,
            tile=tiles.tile,
            first_tile=first,
            tile_count=count,
            patch_base=base // 4,
            patch_vectors=vectors,
            **fields,
        )
        return base, vectors

    def _take_patches(self, words: int) -> int:
        """A region of the patch ring; the oldest ones give way (their readers are waited for)."""
        self._serial += 1
        name = f"chunk {self._serial}"
        while (base := self.patches.take(name, words)) is None:
            self.patches.release(self._patch_order.pop(0))
        self._patch_order.append(name)
        return base

    def _multiply(
        self,
        name: str,
        source: _Source,
        output: _Output,
        tiles: TileSet,
        filters: int,
        kernel: tuple[int, int],
        slices: int,
        first: int,
        count: int,
        base: int,
        vectors: int,
    ) -> None:
        """The MATMULs and EPILOGUEs of a chunk."""
        indirect = output.channel_gate is not None
        only = output.residual or output.pool is not None
        capacity = self.arch.accumulator_depth
        if only and count * tiles.area > capacity:
            raise GatewrightError(
                f"arch {self.arch.name}: {name} needs {count * tiles.area} accumulator entries; raise accumulator_depth"
            )
        chunk = {"tile": tiles.tile, "first_tile": first, "tile_count": count}
        tables = [] if tiles.table is None else [tiles.table]
        if tiles.table is not None:
            chunk["tile_table"] = tiles.table
        if output.channel_gate is not None:
            chunk["filter_table"] = output.channel_gate.table
            tables.append(output.channel_gate.table)
        for part in split_chunk(count * tiles.area, filters, self.arch, indirect, only, capacity):
            sizes = chunk | {
                "first_pixel": part.first_pixel,
                "pixel_count": part.pixels,
                "first_filter": part.first_filter,
                "filter_count": part.filters,
                "stationary": int(part.stationary),
            }
            self._matmul(name, source, kernel[0] * kernel[1], slices, base, vectors, sizes, tables)
            self._epilogue(output, tiles, first, count, sizes, tables)

    def _matmul(
        self,
        name: str,
        source: _Source,
        taps: int,
        slices: int,
        base: int,
        vectors: int,
        sizes: dict[str, int],
        tables: list[int],
    ) -> None:
        bank = self.image.banks[name]
        self._bank ^= 1
        accesses = [
            reads("patch", base, base + slices * vectors),
            writes("accumulator", self._bank, self._bank + 1),
            *(reads("table", table, table + 1) for table in tables),
        ]
        extra: dict[str, int] = {}
        if source.channels:
            weight_base = self._weight_base(name)
            accesses.append(reads("weight", weight_base, weight_base + slices * bank.vectors))
            extra["weight_base"] = weight_base // 4
        if source.channel_gate is not None:
            extra["channel_table"] = source.channel_gate.table
            accesses.append(reads("table", source.channel_gate.table, source.channel_gate.table + 1))
        self.out.emit(
            Opcode.MATMUL,
            accesses,
            patch_base=base // 4,
            patch_vectors=vectors,
            weight_vectors=bank.vectors,
            taps=taps,
            channels=source.channels,
            slice_count=slices,
            bank=self._bank,
            **sizes,
            **extra,
        )

    def _epilogue(
        self, output: _Output, tiles: TileSet, first: int, count: int, sizes: dict[str, int], tables: list[int]
    ) -> None:
        stored = output.channels if output.channel_gate is None else len(output.channel_gate.entries)
        rows = tiles.rows[first : first + count]
        low = int(rows[0]) * output.width * stored
        high = min(output.height, int(rows[-1]) + tiles.tile) * output.width * stored
        entry = output.parameters
        accesses = [
            reads("accumulator", self._bank, self._bank + 1),
            writes("scratchpad", output.address + low, output.address + high),
            Access("parameter", entry - 1, entry + output.channels, early=True),
            *(Access("table", table, table + 1, early=True) for table in tables),
        ]
        extra: dict[str, int] = {}
        if output.pool is not None:
            grid = -(-output.width // output.pool.tile)
            top, bottom = int(rows[0]) // tiles.tile, int(rows[-1]) // tiles.tile + 1
            pitch = grid * output.channels
            accesses.append(writes("scratchpad", output.pool_address + top * pitch, output.pool_address + bottom * pitch))
            extra = {"pool": 1, "pool_address": output.pool_address, "grid_width": grid}
        self.out.emit(
            Opcode.EPILOGUE,
            accesses,
            kind=EpilogueKind.STORE,
            destination=output.address,
            out_height=output.height,
            out_width=output.width,
            channels=output.channels,
            compact=int(output.channel_gate is not None),
            bank=self._bank,
            parameters=entry,
            residual=int(output.residual),
            relu=int(output.relu),
            **sizes,
            **extra,
        )

    # -- gates and head --------------------------------------------------------------------------

    def _pooled_source(self, pooling_name: str) -> _Source:
        pooling = next(p for p in self.image.poolings.values() if p.name == pooling_name)
        shape = self.graph.shapes[pooling.source]
        down, across = -(-shape.height // pooling.tile), -(-shape.width // pooling.tile)
        return _Source(self.image.addresses[pooling_name], down, across, shape.channels)

    def _decided(self, name: str) -> npt.NDArray[np.bool_]:
        if name not in self.decisions:
            raise GatewrightError(f"no decision for gate {name}; run the reference on the sample first")
        return self.decisions[name]

    def _take_table(self) -> int:
        self._tables = (self._tables + 1) % self.arch.tables
        return self._tables

    def _index(self, name: str, kind: str, mask: int, decision: npt.NDArray[np.bool_], complement: bool) -> tuple[int, npt.NDArray[np.uint16]]:
        """Emit INDEX; return the table and the entries that it will hold."""
        entries = build_table(decision, complement)
        if len(entries) > self.arch.table_entries or decision.size > 1024:
            raise GatewrightError(f"gate {name}: {decision.size} bits do not fit a mask or table of arch {self.arch.name}")
        table = self._take_table()
        row = self.out.emit(
            Opcode.INDEX,
            [reads("mask", mask, mask + 1), writes("table", table, table + 1)],
            mask=mask,
            bits=decision.size,
            grid_width=decision.shape[1] if decision.ndim == 2 else 0,
            table=table,
            complement=int(complement),
        )
        if not complement:
            bits = tuple(int(b) for b in decision.reshape(-1))
            self.records.append(
                GateRecord(name, kind, mask, decision.size, bits, tuple(int(e) for e in entries), row)
            )
        return table, entries

    def _threshold(self, name: str, mask: int, first_bit: int, width: int, sizes: dict[str, int]) -> None:
        entry = self.image.parameter_entry[name]
        self.out.emit(
            Opcode.EPILOGUE,
            [
                reads("accumulator", self._bank, self._bank + 1),
                Access("parameter", entry, entry + sizes["filter_count"], early=True),
                writes("mask", mask, mask + 1),
            ],
            kind=EpilogueKind.THRESHOLD,
            destination=mask * 1024 + first_bit,
            out_height=1,
            out_width=width,
            bank=self._bank,
            parameters=entry,
            **sizes,
        )

    def _spatial_gate(self, layer: QuantisedSpatialGate) -> None:
        """One logit per tile: pixels stand still, the one filter streams; block by block as gathered."""
        self.kinds[layer.name] = "gate"
        self._masks = mask = (self._masks + 1) % 15
        source = self._pooled_source(layer.pooling)
        tiles = all_tiles(*layer.grid, 1)
        kernel = layer.weight.shape[1], layer.weight.shape[2]
        slices = slices_of(layer.weight[0].size, self.arch)
        output = _Output(0, layer.grid[0], layer.grid[1], 1, 0)
        self.macs[layer.name] = len(tiles) * layer.weight[0].size
        step = self.arch.columns
        gathered = []
        for number, first in enumerate([*range(0, len(tiles), step), None]):
            if first is not None:
                count = min(step, len(tiles) - first)
                region = self._gather(source, output, tiles, first, count, slices, kernel, layer.stride, layer.padding)
                gathered.append((first, count, *region))
            if number > 0:
                start, count, base, vectors = gathered[number - 1]
                sizes = {
                    "tile": 1,
                    "first_tile": start,
                    "tile_count": count,
                    "pixel_count": count,
                    "filter_count": 1,
                    "stationary": int(Stationary.PIXELS),
                }
                self._matmul(layer.name, source, kernel[0] * kernel[1], slices, base, vectors, sizes, [])
                self._threshold(layer.name, mask, start, layer.grid[1], sizes)
        decision = self._decided(layer.name)
        table, entries = self._index(layer.name, "spatial", mask, decision, False)
        gate = _Gate(mask, table, entries, tile=layer.tile, grid_width=layer.grid[1])
        if self._has_shortcut(layer.name):
            gate.complement_table, gate.complement = self._index(layer.name, "spatial", mask, decision, True)
        self.gates[layer.name] = gate

    def _has_shortcut(self, gate: str) -> bool:
        """Whether some layer's output needs finishing where the gate is off."""
        return any(
            isinstance(layer, QuantisedConv)
            and not layer.relu
            and (consumer := self.image.consumer(layer)) is not None
            and consumer.output_tiles == gate
            for layer in self.graph.layers
        )

    def _channel_gate(self, layer: QuantisedChannelGate) -> None:
        self.kinds[layer.name] = "gate"
        self._masks = mask = (self._masks + 1) % 15
        hidden_name = f"{layer.name}.hidden"
        source = self._pooled_source(layer.pooling)
        hidden = self.image.addresses[hidden_name]
        tiles = all_tiles(source.height, source.width, 1)
        self._reduce(hidden_name, layer.name, source, tiles, len(layer.hidden_weight), hidden, EpilogueKind.REDUCE)
        outputs = len(layer.weight)
        vector = _Source(hidden, 1, 1, len(layer.hidden_weight))
        one = all_tiles(1, 1, 1)
        slices = slices_of(vector.channels, self.arch)
        base, vectors = self._gather(vector, _Output(0, 1, 1, 1, 0), one, 0, 1, slices, (1, 1), 1, 0)
        sizes = {"tile": 1, "tile_count": 1, "pixel_count": 1, "filter_count": outputs, "stationary": 0}
        self._matmul(layer.name, vector, 1, slices, base, vectors, sizes, [])
        self._threshold(layer.name, mask, 0, 1, sizes)
        self.macs[layer.name] += outputs * vector.channels
        table, entries = self._index(layer.name, "channel", mask, self._decided(layer.name), False)
        self.gates[layer.name] = _Gate(mask, table, entries)

    def _reduce(
        self,
        bank: str,
        layer: str,
        source: _Source,
        tiles: TileSet,
        filters: int,
        destination: int,
        kind: EpilogueKind,
    ) -> None:
        """A fully connected layer on the average of a map: product per pixel, then the sum."""
        slices = slices_of(source.channels, self.arch)
        if len(tiles) > self.arch.accumulator_depth:
            raise GatewrightError(
                f"arch {self.arch.name}: {layer} averages {len(tiles)} pixels; accumulator_depth is too small"
            )
        output = _Output(0, source.height, source.width, 1, 0)
        self.macs[layer] = len(tiles) * filters * source.channels
        base, vectors = self._gather(source, output, tiles, 0, len(tiles), slices, (1, 1), 1, 0)
        entry = self.image.parameter_entry[bank]
        item = 4 if kind == EpilogueKind.REDUCE_RAW else 1
        for first in range(0, filters, self.arch.columns):
            count = min(self.arch.columns, filters - first)
            sizes = {
                "tile": 1,
                "tile_count": len(tiles),
                "pixel_count": len(tiles),
                "first_filter": first,
                "filter_count": count,
                "stationary": 0,
            }
            self._matmul(bank, source, 1, slices, base, vectors, sizes, [])
            self.out.emit(
                Opcode.EPILOGUE,
                [
                    reads("accumulator", self._bank, self._bank + 1),
                    Access("parameter", entry, entry + filters, early=True),
                    writes("scratchpad", destination + item * first, destination + item * (first + count)),
                ],
                kind=kind,
                destination=destination,
                out_height=source.height,
                out_width=source.width,
                channels=filters,
                bank=self._bank,
                parameters=entry,
                relu=int(kind == EpilogueKind.REDUCE),
                **sizes,
            )

    def _classifier(self, layer: QuantisedClassifier) -> None:
        self.kinds[layer.name] = "ungated"
        shape = self.graph.shapes[layer.source]
        source = _Source(self.image.addresses[layer.source], shape.height, shape.width, shape.channels)
        tiles = all_tiles(shape.height, shape.width, 1)
        address = self.image.addresses[layer.output]
        self._reduce(layer.name, layer.name, source, tiles, len(layer.weight), address, EpilogueKind.REDUCE_RAW)
        self.placements.append(
            Placement(layer.output, "logits", address, 1, 1, len(layer.weight), len(self.out.rows) - 1)
        )
        self.out.emit(
            Opcode.STORE,
            [reads("scratchpad", address, address + self.image.output_beats * BEAT_BYTES)],
            dram_address=self.image.output_region.address,
            address=address,
            beats=self.image.output_beats,
        )

    # -- bookkeeping -----------------------------------------------------------------------------

    def _place_map(self, name: str, tensor: str, layer: QuantisedConv) -> None:
        if name != tensor:
            return  # an intermediate state of an in-place sum; the sum itself is recorded
        shape = self.graph.shapes[tensor]
        compact = layer.output_channels is not None
        self.placements.append(
            Placement(
                tensor,
                "compact" if compact else "map",
                self.image.addresses[tensor],
                shape.height,
                shape.width,
                shape.channels,
                len(self.out.rows) - 1,
                layer.output_tiles if layer.residual is None else None,
                layer.output_channels,
            )
        )

    def _place_pooled(self, layer: QuantisedConv, pool: Pooling | None) -> None:
        if pool is None:
            return
        source = self._pooled_source(pool.name)
        self.placements.append(
            Placement(
                pool.name,
                "map",
                self.image.addresses[pool.name],
                source.height,
                source.width,
                source.channels,
                len(self.out.rows) - 1,
            )
        )


def lower(image: NetworkImage, decisions: Decisions, sample: npt.NDArray[np.int8] | None = None) -> Program:
    """Compile a network for one sample's gate decisions (or, without gates, for any sample).

    ``sample`` is the quantised image [height, width, channels]; without it the input region is
    zero and the simulator takes the sample.
    """
    return Lowering(image, decisions).run(sample)
