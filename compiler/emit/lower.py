"""Lowering: a quantised graph, and the gate decisions of a sample, become one program.

A layer becomes chunks of pixels: GATHER forms their patches, MATMUL multiplies them part by part,
EPILOGUE writes the results. Filters are loaded ahead of their layer as far as the weight buffer allows.
Gates run on the machine too; their masks and index tables are what the layers after them refer to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gatewright.compiler.emit.access import FILTERS_IN_DRAM, PORT_B, reads, writes
from gatewright.compiler.emit.average_product import AverageProduct
from gatewright.compiler.emit.context import Context, Listings
from gatewright.compiler.emit.emit import CONTROL_LAYERS, Emitter
from gatewright.compiler.emit.filter_loader import AHEAD, FilterLoader
from gatewright.compiler.emit.image_loader import ImageLoader
from gatewright.compiler.emit.lower_convolutions import ConvolutionLowering
from gatewright.compiler.emit.lower_exits import ExitLowering
from gatewright.compiler.emit.lower_gates import GateLowering
from gatewright.compiler.emit.placed_maps import OutputMap, SourceMap
from gatewright.compiler.emit.placements import Placements
from gatewright.compiler.emit.row_traffic import PIECE_BEATS
from gatewright.compiler.emit.wake import Wakes
from gatewright.compiler.emit.windows import windows
from gatewright.compiler.graph.graph import Decisions, QuantisedGraph, joined
from gatewright.compiler.graph.leaving import taken_exit
from gatewright.compiler.graph.serving import serving_gates
from gatewright.compiler.kinds.bins import QuantisedBins
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.exit import QuantisedExit
from gatewright.compiler.kinds.gate import QuantisedGate
from gatewright.compiler.kinds.interpolation import QuantisedConstant, QuantisedInterpolation
from gatewright.compiler.kinds.output import QuantisedOutput
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.bands import Rows
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.live import check_live
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.compiler.plan.row_rings import first_image_rows
from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import EpilogueKind, Opcode, Space
from gatewright.contract.program import Program
from gatewright.contract.program_parts import GateRecord, LayerKind


class Lowering:
    """One program in the making. Use ``lower``."""

    def __init__(
        self,
        image: NetworkImage,
        decisions: Decisions,
        live: bool,
        out: Emitter | None = None,
        listings: Listings | None = None,
    ) -> None:
        self.image, self.graph, self.arch = image, image.graph, image.arch
        self.context = Context(image, decisions, live, out, listings)
        self.loader = FilterLoader(self.context)
        self.image_loader = ImageLoader(self.context)
        self.wakes = Wakes(self.context, self.loader)
        self.gates = GateLowering(self.context, self.loader, self.wakes)
        self._convolutions = ConvolutionLowering(self)
        self.placements = Placements(self.context)
        self.exits = ExitLowering(self)
        self._last = "" if live else _exit_taken(self.graph, decisions)
        self._heads: dict[str, AverageProduct] = {}
        self._serving = serving_gates(self.graph)
        self.kinds: dict[str, LayerKind] = dict.fromkeys(CONTROL_LAYERS, "control")

    def run(self) -> None:
        """Emit everything, up to the exit at which the sample leaves."""
        self.loader.last_turn = self.loader.turn.get(self._last, self.loader.last_turn)
        self._start()
        waiting = [layer for layer in self.graph.layers if isinstance(layer, QuantisedOutput)]
        groups = joined(self.graph.layers)
        for group, behind in zip(groups, [*groups[1:], []], strict=True):
            for layer in group:
                self.context.out.layer = layer.name
                self.loader.load_until(self.loader.turn[layer.name])
            self.kinds |= {layer.name: "gate" if layer.name in self._serving else layer.role for layer in group}
            group[0].lower(self, group)
            if self._last in (layer.name for layer in group):
                break
            for layer in group:
                self.loader.release(layer)
            self.loader.load_until(self.loader.turn[group[-1].name] + AHEAD)
            end = self.graph.layers.index(behind[0]) if behind else len(self.graph.layers)
            while waiting and self.graph.layers.index(waiting[0]) < end:
                self.kinds[waiting[0].name] = waiting[0].role
                waiting[0].lower(self, waiting[:1])
                del waiting[0]
        if not self._last:  # whoever leaves needs no map any more
            self.context.postponed.emit_all()

    def _start(self) -> None:
        """The image and what the stem needs, in the order of need; then the rest."""
        if self.image_loader.ring is None:
            self.image_loader.whole(lambda: self.loader.load_until(0))
        else:
            self.image_loader.rows(first_image_rows(self.image))
            self.loader.load_until(0)
        self.context.out.load_next_page()

    def convolutions(self, layers: Sequence[QuantisedConv]) -> None:
        """Convolutions of one source."""
        self._convolutions.emit(layers)

    def advance_classifier(self, head: QuantisedClassifier | QuantisedExit, rows: int) -> None:
        """Gather the first rows of the classifier's map, once half of them are there."""
        if head.name in self.wakes or (self.image.head is not None and head.name in self.image.head.names):
            return
        shape = self.graph.shapes[head.source]
        if 2 * rows < shape.height:
            return
        words = slices_of(shape.channels, self.arch) * padded_vectors(shape.height * shape.width)
        if head.name not in self._heads and self.context.may_begin_early(words):
            self._heads[head.name] = self.average(head)
        if head.name in self._heads:
            self._heads[head.name].gather_rows(rows)

    def average(self, layer: QuantisedClassifier | QuantisedExit) -> AverageProduct:
        """The product of a classifier, as far as it has been begun."""
        if layer.name in self._heads:
            return self._heads[layer.name]
        self.context.macs[layer.name] = 0
        shape = self.graph.shapes[layer.source]
        assert layer.source not in self.image.pitches
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
            margins=self.image.addresses[layer.margins_name] if isinstance(layer, QuantisedExit) else None,
        )

    def classifier(self, layer: QuantisedClassifier) -> None:
        """The logits, and their way to DRAM."""
        if layer.name in self.wakes:
            wake = self.wakes.of(layer.name)
            wake.finish()
            wake.reduce(EpilogueKind.REDUCE_RAW, self.image.addresses[layer.output])
        elif self.image.head is None:
            self.average(layer).finish()
        self.placements.logits(layer)
        self.store(layer.output)

    def give(self, layer: QuantisedOutput) -> None:
        """A map that the network returns, on its way to DRAM; one that lies there is where it shall be."""
        self.context.out.layer = layer.name
        if layer.source not in self.image.spilled:
            self.store(layer.source)

    def bins(self, layer: QuantisedBins) -> None:
        """The averages of a map's bins, from those of its tiles."""
        self.loader.weights(layer.name)  # no filters, but the parameter
        self.context.macs[layer.name] = 0
        pooled = next(one for one in self.graph.layers if isinstance(one, Pooling) and one.name == layer.source)
        tiles, bins = pooled.shape(self.graph), self.graph.shapes[layer.output]
        source = SourceMap(self.image.addresses[layer.source], tiles.height, tiles.width, tiles.channels)
        place = self.image.addresses[layer.output], bins.height, bins.width, bins.channels
        output = OutputMap(*place, self.image.parameter_entry[layer.name])
        windows(
            self.context, EpilogueKind.AVERAGE, source, output, Rows(0, bins.height), layer.window, step=layer.window
        )
        self.placements.map(layer.output)

    def constant(self, layer: QuantisedConstant) -> None:
        """Bring a map that is the same for every image."""
        self.context.macs[layer.name] = 0
        region, address = self.image.constants[layer.name], self.image.addresses[layer.output]
        self._move(Opcode.LOAD, region.address, address, -(-region.size // BEAT_BYTES))
        self.placements.map(layer.output)

    def store_filters(self, layer: QuantisedInterpolation) -> None:
        """Bring the maps to DRAM that this layer, and those behind it, have as filters and that are there."""
        here = self.graph.layers.index(layer)
        complete = {tensor for before in self.graph.layers[:here] for tensor in before.writes}
        for other in self.graph.layers:
            known = isinstance(other, QuantisedInterpolation) and other.filters_from in complete
            if known and other.name in self.context.not_stored:
                assert isinstance(other, QuantisedInterpolation)
                self.context.not_stored.remove(other.name)
                self._store_filters(other)

    def _store_filters(self, layer: QuantisedInterpolation) -> None:
        """The map as it lies: a pixel is a row of whole beats."""
        bank = self.image.banks[layer.name]
        self.context.out.layer = layer.name
        self._move(Opcode.STORE, bank.address, self.image.addresses[layer.filters_from], bank.rows * bank.row_beats)

    def _move(self, opcode: Opcode, dram: int, address: int, beats: int) -> None:
        """Beats from DRAM to the scratchpad, or (filters) the other way; in pieces, if they are many."""
        for first in range(0, beats, PIECE_BEATS):
            count = min(PIECE_BEATS, beats - first)
            low = address + first * BEAT_BYTES
            place = "scratchpad", low, low + count * BEAT_BYTES
            if opcode == Opcode.LOAD:
                fields = {"space": int(Space.SCRATCHPAD), "rows": 1, "row_beats": count}
                accesses = [writes(*place), PORT_B]
            else:
                fields, accesses = {"beats": count}, [reads(*place), PORT_B, writes(*FILTERS_IN_DRAM)]
            dram_address = dram + first * BEAT_BYTES
            self.context.out.emit(opcode, accesses, dram_address=dram_address, address=low, **fields)

    def store(self, tensor: str) -> None:
        """Take an output of the network to DRAM."""
        address, output = self.image.addresses[tensor], self.image.outputs[tensor]
        beats = -(-output.bytes // BEAT_BYTES)
        self.context.out.emit(
            Opcode.STORE,
            [reads("scratchpad", address, address + beats * BEAT_BYTES), PORT_B],
            dram_address=output.region.address,
            address=address,
            beats=beats,
            ring=1,
        )

    def gate_records(self) -> list[GateRecord]:
        """In the network's order: gates become tables in one that depends on the image."""
        order = [layer.name for layer in self.graph.layers]
        return sorted(self.context.records, key=lambda record: order.index(record.name))

    def assemble(self, sample: npt.NDArray[np.int8] | None) -> Program:
        """The program, when all is emitted."""
        given = list(self.image.outputs)
        given = given[: given.index(self._last) + 1] if self._last else given
        static = self.image.static_image
        shared = np.concatenate([static, *self.context.listings.data])
        code_address = len(shared)
        code = self.context.out.finish(code_address)
        image = np.concatenate([shared, np.frombuffer(encode(code), np.uint8)])
        starts = self.context.out.page_starts
        program = Program(
            arch=self.arch,
            code=code,
            image=image,
            code_address=code_address,
            boot_count=starts[1] if len(starts) > 1 else len(code),
            input_region=self.image.input_region,
            outputs=[self.image.outputs[name] for name in given],
            regions=self.image.regions,
            placements=self.placements.found,
            gates=self.gate_records(),
            exits=self.exits.records,
            layers=self.context.out.layers,
            layer_kinds=self.kinds,
            macs=self.context.macs,
            page_starts=starts,
            input_layout=self.image.input_layout,
            live=self.context.live,
        )
        program.image = program.with_sample(sample)
        return program


def _exit_taken(graph: QuantisedGraph, decisions: Decisions) -> str:
    """The exit at which a sample leaves, by its name, which is also that of its logits; "" for the network's end."""
    exits = [layer.name for layer in graph.layers if isinstance(layer, QuantisedExit)]
    return [*exits, ""][taken_exit(graph, decisions)]


def lower(image: NetworkImage, decisions: Decisions, sample: npt.NDArray[np.int8] | None = None) -> Program:
    """Compile a network for one sample's gate decisions (or, without gates, for any sample).

    ``sample`` is the quantised image [height, width, channels]; without it the input region is
    zero and the simulator takes the sample.
    """
    lowering = Lowering(image, decisions, live=False)
    lowering.run()
    return lowering.assemble(sample)


def lower_live(image: NetworkImage) -> Program:
    """Compile a network for every sample: sizes are upper bounds, and the tables decide."""
    check_live(image)
    everywhere = gates_everywhere(image.graph)
    lowering = Lowering(image, everywhere, live=bool(everywhere))
    lowering.run()
    return lowering.assemble(None)


def gates_everywhere(graph: QuantisedGraph) -> Decisions:
    """Every gate on: what a live program is compiled for."""
    gates = [layer for layer in graph.layers if isinstance(layer, QuantisedGate | QuantisedExit)]
    return {gate.name: np.ones(gate.decision_shape, np.bool_) for gate in gates}
