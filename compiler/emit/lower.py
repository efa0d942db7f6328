"""Lowering: a quantised graph, and the gate decisions of a sample, become one program.

A layer becomes chunks of pixels: GATHER forms their patches, MATMUL multiplies them part by part,
EPILOGUE writes the results. Filters are loaded ahead of their layer as far as the weight buffer allows.
Gates run on the machine too; their masks and index tables are what the layers after them refer to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from gatewright.compiler.emit.average_product import AverageProduct
from gatewright.compiler.emit.context import Context, Kernel, OutputMap, SourceMap
from gatewright.compiler.emit.emit import CONTROL_LAYERS, PORT_B, reads, writes
from gatewright.compiler.emit.filter_loader import AHEAD, FilterLoader
from gatewright.compiler.emit.lower_gates import GateLowering
from gatewright.compiler.emit.matrix import convolve
from gatewright.compiler.emit.streamed import convolve_streamed
from gatewright.compiler.graph.graph import Decisions, QuantisedLayer
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.compiler.plan.tiling import MOST_TILES, TileSet, all_tiles
from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.errors import GatewrightError
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import EpilogueKind, Opcode, Space
from gatewright.contract.program import LayerKind, Placement, PlacementKind, Program

_IMAGE_PIECES = 4
"""LOADs that bring the image: the first rows are used while the others arrive."""

_FINISHED = object()


class Lowering:
    """One program in the making. Use ``lower``."""

    def __init__(self, image: NetworkImage, decisions: Decisions) -> None:
        self.image, self.graph, self.arch = image, image.graph, image.arch
        self.context = Context(image, decisions)
        self.loader = FilterLoader(self.context)
        self.gates = GateLowering(self.context, self.loader)
        self.placements: list[Placement] = []
        self._head: AverageProduct | None = None
        self.kinds: dict[str, LayerKind] = dict.fromkeys(CONTROL_LAYERS, "control")

    def run(self, sample: npt.NDArray[np.int8] | None) -> Program:
        """Emit everything and assemble the program."""
        self._start()
        for group in _groups(self.graph.layers):
            for layer in group:
                self.context.out.layer = layer.name
                self.loader.load_until(self.loader.turn[layer.name])
            self.kinds |= {layer.name: layer.role for layer in group}
            group[0].lower(self, group)
            for layer in group:
                self.loader.release(layer)
            self.loader.load_until(self.loader.turn[group[-1].name] + AHEAD)
        return self._assemble(sample)

    def _start(self) -> None:
        """The image in pieces and what the stem needs, in the order of need; then the rest."""
        out, address = self.context.out, self.image.addresses[self.graph.input]
        beats, region = self.image.input_beats, self.image.input_region
        step = -(-beats // _IMAGE_PIECES)
        for first in range(0, beats, step):
            count = min(step, beats - first)
            low = address + first * BEAT_BYTES
            out.emit(
                Opcode.LOAD,
                [writes("scratchpad", low, low + count * BEAT_BYTES), PORT_B],
                dram_address=region.address + first * BEAT_BYTES,
                space=Space.SCRATCHPAD,
                address=low,
                rows=1,
                row_beats=count,
            )
            if first == 0:
                self.loader.load_until(0)
        out.load_next_page()

    def convolutions(self, layers: Sequence[QuantisedConv]) -> None:
        """Convolutions of one source: chunk by chunk in turn, or one after the other where filters are streamed."""
        chunks = [self._conv(layer) for layer in layers]
        if any(bank.streamed for layer in layers for bank in self.loader.banks_of(layer)):
            for layer in chunks:
                _interleave([layer])
        else:
            _interleave(chunks)

    def _conv(self, layer: QuantisedConv) -> Iterator[None]:
        """A convolution: dense, on the active tiles, or (a shortcut) finishing the inactive tiles too."""
        shape = self.graph.shapes[layer.output]
        gate = self.context.gate(layer.output_tiles)
        completer = self.image.completer(layer)
        finishes = self.context.gate(completer.output_tiles) if completer else None
        self.context.macs[layer.name] = 0
        if completer is not None and finishes is not None:
            after = self.image.pooling_of(layer)
            yield from self._conv_tiles(layer, finishes.tiles(), relu=False, pool=None)
            yield from self._conv_tiles(layer, finishes.tiles(complement=True), relu=completer.relu, pool=after)
            return  # the map is complete once the adder has added to it
        pool = self.image.poolings.get(layer.output)
        if gate is not None:
            yield from self._conv_tiles(layer, gate.tiles(), layer.relu, pool)
        else:
            tile = pool.tile if pool else 1
            while -(-shape.height // tile) * -(-shape.width // tile) > MOST_TILES and pool is None:
                tile *= 2
            yield from self._conv_tiles(layer, all_tiles(shape.height, shape.width, tile), layer.relu, pool)
        self._place(layer, pool)

    def _conv_tiles(self, layer: QuantisedConv, tiles: TileSet, relu: bool, pool: Pooling | None) -> Iterator[None]:
        context = self.context
        source_shape, shape = self.graph.shapes[layer.source], self.graph.shapes[layer.output]
        in_gate, out_gate = context.gate(layer.input_channels), context.gate(layer.output_channels)
        if pool is not None and pool.tile != tiles.tile:
            raise GatewrightError(
                f"layer {layer.name}: its output is pooled in tiles of {pool.tile}, computed in tiles of {tiles.tile}"
            )
        rows = self.image.input_layout.rows if layer.source == self.graph.input else 1
        source = SourceMap(
            self.image.addresses[layer.source],
            source_shape.height,
            source_shape.width,
            rows * source_shape.channels if in_gate is None else len(in_gate.entries),
            in_gate,
            context.gate(layer.input_tiles),
        )
        output = OutputMap(
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
        height, width = layer.weight.shape[1:3]
        kernel = Kernel(height, width, layer.stride, layer.padding, layer.padding)
        if rows > 1:
            kernel = Kernel(1, width, 1, 0, layer.padding)
        if filters and len(tiles):
            yield from self._way(layer.name, source, tiles, kernel)(
                context,
                self.loader,
                layer.name,
                source,
                output,
                tiles,
                filters,
                kernel,
                self._readers(layer, pool, tiles.tile),
            )

    def _way(self, name: str, source: SourceMap, tiles: TileSet, kernel: Kernel) -> Callable[..., Iterator[None]]:
        """Whole reductions chunk by chunk if filters are resident and patches fit, else pieces."""
        words = slices_of(kernel.taps * source.channels, self.arch) * padded_vectors(tiles.area)
        whole = 4 * words <= self.context.patches.size and not self.image.banks[name].streamed
        return convolve if whole else convolve_streamed

    def _readers(self, layer: QuantisedConv, pool: Pooling | None, tile: int) -> Callable[[int], None]:
        """What may begin while the layer is still being written: gates on its pooled map, the classifier's gather."""
        pooled = pool.name if pool is not None and pool.source == layer.output else None
        readers = [reader for reader in self.graph.layers if {layer.output, pooled} & set(reader.reads)]

        def written(rows: int) -> None:
            for reader in readers:
                reader.advance(self, rows, rows * tile)

        return written

    def advance_classifier(self, head: QuantisedClassifier, rows: int) -> None:
        """Gather the first rows of the classifier's map, once half of them are there."""
        shape = self.graph.shapes[head.source]
        if 2 * rows < shape.height:
            return
        words = slices_of(shape.channels, self.arch) * padded_vectors(shape.height * shape.width)
        if self._head is None and self.context.may_begin_early(words):
            self._head = self._average(head)
        if self._head is not None:
            self._head.gather_rows(rows)

    def _average(self, layer: QuantisedClassifier) -> AverageProduct:
        self.context.macs[layer.name] = 0
        shape = self.graph.shapes[layer.source]
        source = SourceMap(self.image.addresses[layer.source], shape.height, shape.width, shape.channels)
        address = self.image.addresses[layer.output]
        return AverageProduct(
            self.context,
            self.loader,
            layer.name,
            layer.name,
            source,
            len(layer.weight),
            address,
            EpilogueKind.REDUCE_RAW,
        )

    def classifier(self, layer: QuantisedClassifier) -> None:
        """The logits, and their way to DRAM."""
        (self._head or self._average(layer)).finish()
        address = self.image.addresses[layer.output]
        row = len(self.context.out.rows) - 1
        self.placements.append(Placement(layer.output, "logits", address, 1, 1, len(layer.weight), row))
        self.context.out.emit(
            Opcode.STORE,
            [reads("scratchpad", address, address + self.image.output_beats * BEAT_BYTES), PORT_B],
            dram_address=self.image.output_region.address,
            address=address,
            beats=self.image.output_beats,
        )

    def _place(self, layer: QuantisedConv, pool: Pooling | None) -> None:
        """Record where the layer's output, and its pooled map, lie when the layer is done."""
        shape, row = self.graph.shapes[layer.output], len(self.context.out.rows) - 1
        address = self.image.addresses[layer.output]
        kind: PlacementKind = "map" if layer.output_channels is None else "compact"
        tiles = None if layer.residual is not None else layer.output_tiles
        self.placements.append(
            Placement(
                layer.output,
                kind,
                address,
                shape.height,
                shape.width,
                shape.channels,
                row,
                tiles,
                layer.output_channels,
            )
        )
        if pool is not None:
            pooled = self.gates.pooled_source(pool.name)
            self.placements.append(
                Placement(pool.name, "map", pooled.address, pooled.height, pooled.width, pooled.channels, row)
            )

    def _assemble(self, sample: npt.NDArray[np.int8] | None) -> Program:
        static = self.image.static_image
        code_address = len(static)
        code = self.context.out.finish(code_address)
        image = np.concatenate([static, np.frombuffer(encode(code), np.uint8)])
        starts = self.context.out.page_starts
        program = Program(
            arch=self.arch,
            code=code,
            image=image,
            code_address=code_address,
            boot_count=starts[1] if len(starts) > 1 else len(code),
            input_region=self.image.input_region,
            output_region=self.image.output_region,
            regions=self.image.regions,
            placements=self.placements,
            gates=self.context.records,
            layers=self.context.out.layers,
            layer_kinds=self.kinds,
            macs=self.context.macs,
            page_starts=starts,
            input_layout=self.image.input_layout,
        )
        program.image = program.with_sample(sample)
        return program


def _groups(layers: list[QuantisedLayer]) -> list[list[QuantisedLayer]]:
    """Layers in order, those together that join their predecessor; what has no filters rides along with its source."""
    groups: list[list[QuantisedLayer]] = []
    for layer in layers:
        if not layer.banks:
            continue
        if groups and layer.joins(groups[-1][-1]):
            groups[-1].append(layer)
        else:
            groups.append([layer])
    return groups


def _interleave(chunks: list[Iterator[None]]) -> None:
    """Emit several layers' chunks in turn: where one keeps the array busy the other keeps the epilogue busy."""
    while chunks:
        chunks = [layer for layer in chunks if next(layer, _FINISHED) is None]


def lower(image: NetworkImage, decisions: Decisions, sample: npt.NDArray[np.int8] | None = None) -> Program:
    """Compile a network for one sample's gate decisions (or, without gates, for any sample).

    ``sample`` is the quantised image [height, width, channels]; without it the input region is
    zero and the simulator takes the sample.
    """
    return Lowering(image, decisions).run(sample)
