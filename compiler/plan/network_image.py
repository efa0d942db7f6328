"""What all programs of a network share: weights and parameters in DRAM, and where they go on chip."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gatewright.compiler.graph.graph import QuantisedGraph, Requantisation
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.allocate import Spill
from gatewright.compiler.plan.array_share import Share
from gatewright.compiler.plan.bands import BandedBlock
from gatewright.compiler.plan.bank_layout import BankLayout
from gatewright.compiler.plan.by_taps import ZERO_BEATS, by_taps, spread_maps
from gatewright.compiler.plan.chains import Chain
from gatewright.compiler.plan.depthwise import in_epilogue, maps_beside, zeroed_layers
from gatewright.compiler.plan.filters import FilterBank, without_filters
from gatewright.compiler.plan.head import Head, head_of
from gatewright.compiler.plan.input_layout import input_layout
from gatewright.compiler.plan.layout import ImageBuilder, parameter_bytes
from gatewright.compiler.plan.map_layout import MapLayout
from gatewright.compiler.plan.maps import plan_maps
from gatewright.compiler.plan.parameters import GroupParameters, ParameterLayout
from gatewright.compiler.plan.pitches import laid, pitches
from gatewright.compiler.plan.planes import check_planes, widths_by_map
from gatewright.compiler.plan.rooms import DramMap
from gatewright.compiler.plan.side_by_side import Order
from gatewright.compiler.plan.spills import DramRows, maps_of
from gatewright.compiler.plan.stem import PooledConvolution, pooled_convolutions
from gatewright.compiler.plan.tiled import TiledPass
from gatewright.compiler.plan.wake import Wake, wakes_of
from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.program_parts import Output, Region


@dataclass
class NetworkImage:
    """The sample-independent part of every program of a verified quantised graph on an architecture."""

    graph: QuantisedGraph
    arch: ArchConfig
    live: bool = False
    """Whether its maps lie so that a live program can be made, if they do not fit the scratchpad whole."""
    addresses: dict[str, int] = field(init=False)
    pooled: list[PooledConvolution] = field(init=False)
    pitches: dict[str, int] = field(init=False)
    """Bytes from a pixel to the next, of maps of which that is not the channels."""
    laid: QuantisedGraph = field(init=False)
    """The graph with the shapes that maps have where they lie, with the pitch as channels."""
    planes: dict[str, int] = field(init=False)
    """Channels of a plane of the maps that lie in planes."""
    blocks: list[BandedBlock] = field(init=False)
    """Blocks that are computed band by band."""
    chains: tuple[Chain, ...] = field(init=False)
    """Convolutions around grouped ones that are."""
    by_channels: dict[str, Chain] = field(init=False)
    """By layer, convolutions around depthwise ones that are computed block of channels by block of channels."""
    share: Share = field(init=False)
    share_entry: dict[str, int] = field(init=False, default_factory=dict)
    """The first entry of the parameters of these channels."""
    head: Head | None = field(init=False)
    """The last convolution and the classifier, if that works in its wake."""
    wakes: dict[str, Wake] = field(init=False)
    """By convolution, what multiplies the average of its output in its wake."""
    ring_bytes: dict[str, int] = field(init=False)
    """Bytes of the rings of maps of which only rows are kept."""
    spilled: dict[str, DramRows] = field(init=False, default_factory=dict)
    """Maps that lie in DRAM by rows, and the first of their rings."""
    constants: dict[str, Region] = field(init=False, default_factory=dict)
    """Maps that are the same for every image."""
    row_rings: dict[tuple[str, str], DramRows] = field(init=False, default_factory=dict)
    """By layer and map in DRAM, the ring that the layer uses."""
    step_rows: dict[str, int] = field(init=False, default_factory=dict)
    """Rows of a step of convolutions that go over maps in DRAM alone, if not as many as usual."""
    apart: set[str] = field(init=False, default_factory=set)
    """Maps in DRAM whose averages are made apart."""
    spills: dict[str, Spill] = field(init=False, default_factory=dict)
    """How they were planned."""
    passes: dict[str, TiledPass] = field(init=False, default_factory=dict)
    """By layer, what goes by tiles or rows of maps in DRAM."""
    off_chip: dict[str, DramMap] = field(init=False, default_factory=dict)
    """Maps that lie in DRAM, of whose tiles or rows some are there in turn."""
    by_taps: set[str] = field(init=False, default_factory=set)
    """Convolutions of a live program whose filters come tap by tap."""
    spread: set[str] = field(init=False, default_factory=set)
    """Maps with gated channels whose pixels lie as far apart as if all of these were there."""
    read_whole: set[str] = field(init=False, default_factory=set)
    """Of these the maps that are read as if all channels were there, with zeros behind the active ones."""
    zeroed: dict[str, str] = field(init=False, default_factory=dict)
    """Convolutions of a live program that write zeros over their inactive tiles, and the gate of these."""
    beside_depthwise: set[str] = field(init=False, default_factory=set)
    """What gated depthwise convolutions in EPILOGUE read and write in a live program."""
    zeros: Region | None = field(init=False, default=None)
    """Some zeros, where such maps are."""
    banks: dict[str, FilterBank] = field(init=False, default_factory=dict)
    parameter_entry: dict[str, int] = field(init=False, default_factory=dict)
    """Entry on chip of filter 0 of a layer; the entry before it is its pooling's. The buffer is a ring. It says nothing
    of layers whose parameters come with each group."""
    parameter_start: dict[str, int] = field(init=False, default_factory=dict)
    """A layer's first parameters in DRAM, in entries."""
    parameter_end: dict[str, int] = field(init=False, default_factory=dict)
    """The entry in DRAM after a layer's last."""
    group_parameters: dict[str, GroupParameters] = field(init=False, default_factory=dict)
    """Of streamed layers with so many filters that their parameters come with each group of filters."""
    regions: list[Region] = field(init=False, default_factory=list)
    outputs: dict[str, Output] = field(init=False, default_factory=dict)
    """What the network returns, by tensor, in execution order."""

    def __post_init__(self) -> None:
        self.poolings = {p.source: p for p in self.graph.layers if isinstance(p, Pooling)}
        self.builder = ImageBuilder()
        shape = self.graph.shapes[self.graph.input]
        self.input_layout = input_layout(self.graph, self.arch)
        size = self.input_layout.rows * shape.channels * shape.height * shape.width
        self.pooled = pooled_convolutions(self.graph)
        self.planes = widths_by_map(self.graph, self.arch, self.live)
        self.pitches = pitches(self.graph, self.arch)
        self.laid = laid(self.graph, self.pitches)
        check_planes(self.graph, self.arch, self.pitches, self.live)
        plan = plan_maps(self.laid, self.arch, self.input_layout, self.pooled, self.live)
        self.blocks, self.maps, self.step_rows, self.apart = plan.blocks, plan.maps, plan.step_rows, plan.apart
        self.chains = tuple(chain for chain in plan.chains if chain.order != Order.BY_CHANNELS)
        beside = (chain for chain in plan.chains if chain.order == Order.BY_CHANNELS)
        self.by_channels = {layer.name: chain for chain in beside for layer in chain.layers}
        elsewhere = {*self.passes, *(name for chain in plan.chains for name in chain.names)}
        elsewhere |= {layer.name for block in plan.blocks for layer in block.layers}
        head = head_of(self.graph, self.arch)
        away = {name for tensors in plan.off_chip for name in tensors}
        if head is not None and (plan.spills or head.convolution.name in elsewhere or head.convolution.source in away):
            head = None
        self.head = head
        self.share = {name: channels for chain in self.chains for name, channels in chain.share.items()}
        self.passes = {layer.name: one for one in plan.passes for layer in one.layers}
        rows = {name for spill in plan.spills for name in spill.tensors}
        self.wakes = {
            wake.convolution.name: wake
            for wake in wakes_of(self.graph, self.arch)
            if wake.convolution.name not in elsewhere
            and not rows & maps_of(wake.convolution)
            and not (away and isinstance(wake.follower, QuantisedClassifier) and wake.follower.source in away)
        }
        if self.live:
            self.by_taps = by_taps(self.graph, self.arch, away)
            convolutions = (layer for layer in self.graph.layers if isinstance(layer, QuantisedConv))
            self.read_whole = {layer.source for layer in convolutions if layer.name in self.by_taps}
            self.spread = spread_maps(self.graph, plan.passes, away) | self.read_whole
            self.zeroed = zeroed_layers(self.graph, self.arch)
            self.beside_depthwise = maps_beside(self.graph, self.arch)
            self.spread |= self.beside_depthwise
        self.addresses, self.ring_bytes = plan.maps.addresses, plan.maps.ring_bytes
        self.input_beats = -(-size // BEAT_BYTES)
        address = self.builder.add(np.zeros(self.input_beats * BEAT_BYTES, np.uint8))
        self.input_region = Region("input", "input", address, size)
        if self.read_whole:
            zeros = np.zeros(ZERO_BEATS * BEAT_BYTES, np.uint8)
            self.zeros = Region("zeros", "weights", self.builder.add(zeros), zeros.size)
            self.regions.append(self.zeros)
        self.bank_layout, self.map_layout = BankLayout(self), MapLayout(self)
        self.parameter_layout = layout = ParameterLayout(self)
        self.parameter_entry, self.parameter_start, self.parameter_end = layout.entry, layout.start, layout.end
        self.group_parameters, self.parameter_capacity = layout.groups, layout.capacity
        for layer in self.graph.layers:
            layer.lay_out(self)
            layout.layer_is_complete()
        layout.pad()
        blob = np.concatenate(layout.parts)
        self.parameters, self.first_parameters = layout.entries, layout.first
        self.parameter_address = self.builder.add(blob)
        self.regions.append(Region("parameters", "parameters", self.parameter_address, len(blob)))
        spilled = {name for spill in plan.spills for name in spill.tensors}
        given = [layer for layer in self.graph.layers if layer.gives is not None]
        stored = {layer.name: self.map_layout.output(layer) for layer in given if layer.gives not in spilled}
        self.regions += [self.input_region, *(output.region for output in stored.values())]
        for spill in plan.spills:
            self.map_layout.spill(spill)
        outputs = [stored.get(layer.name) or self.map_layout.output(layer) for layer in given]
        self.outputs = {output.name: output for output in outputs}
        for tensors in plan.off_chip:
            self.off_chip |= self.map_layout.shared(tensors)
        self.static_image = self.builder.build()

    def in_epilogue(self, layer: QuantisedConv) -> bool:
        """Whether EPILOGUE computes a layer."""
        return in_epilogue(layer, self.graph, self.arch, self.live)

    def completer(self, layer: QuantisedConv) -> QuantisedConv | None:
        """The convolution that completes a shortcut; None for any other layer."""
        if layer.completed_by is None:
            return None
        (adder,) = (a for a in self.graph.layers if isinstance(a, QuantisedConv) and a.name == layer.completed_by)
        return adder

    @property
    def used_twice(self) -> list[str]:
        """Convolutions whose filters come more than once.

        Shortcuts with streamed filters: their active and their inactive tiles each need them. And those of whose
        filters the buffer does not hold a group.
        """
        streamed = [la for la in self.graph.layers if isinstance(la, QuantisedConv) and self.banks[la.name].streamed]
        shortcuts = [la.name for la in streamed if (adder := self.completer(la)) is not None and adder.output_tiles]
        return [*shortcuts, *(la.name for la in streamed if self.banks[la.name].returns)]

    @property
    def by_rows(self) -> list[str]:
        """Convolutions outside of blocks that read or write a map in DRAM."""
        banded = {layer.name for block in self.blocks for layer in block.layers}
        convolutions = [la for la in self.graph.layers if isinstance(la, QuantisedConv) and la.name not in banded]
        return [la.name for la in convolutions if maps_of(la) & self.spilled.keys()]

    def rows_for(self, layer: str, tensor: str) -> DramRows | None:
        """Of a map in DRAM the ring that a layer uses; None for a map that does not lie there by rows."""
        return self.row_rings.get((layer, tensor))

    @property
    def input_pitch(self) -> int:
        """Bytes of a row of the input, as it is laid out."""
        return self.input_layout.rows * self.input_layout.channels * self.input_layout.width

    def pooling_of(self, layer: QuantisedConv) -> Pooling | None:
        """The pooled map that a layer writes along; a shortcut writes that of the sum that completes it."""
        completer = self.completer(layer)
        return self.poolings.get(layer.output if completer is None else completer.output)

    def add_parameters(self, name: str, requantisation: Requantisation, pooling: Pooling | None = None) -> None:
        """The epilogue's entries for the filters of a bank, after the one of the pooling that is done along.

        Behind them, where inactive tiles are written as zeros, as many that make 0 of any sum.
        """
        if name in self.zeroed:
            requantisation = requantisation.before_zeros()
        self.parameter_layout.add(name, requantisation, pooling)

    def add_pool_parameters(self, layer: QuantisedConv) -> None:
        """Behind a convolution's own those of the averages of the map that a max pool makes of its output."""
        for pooled in self.pooled:
            if pooled.convolution is layer and pooled.pool.output in self.poolings:
                pooling = self.poolings[pooled.pool.output]
                self.add_parameters(pooling.name, Requantisation.bias_only(np.zeros(0, np.int64)), pooling)
                self.parameter_end[layer.name] = self.parameter_layout.entries

    def add_average(self, name: str, factor: Requantisation) -> None:
        """An EPILOGUE of kind AVERAGE by itself: one entry of parameters, and no filters."""
        self.banks[name] = without_filters(name)
        self.parameter_layout.place(name, [parameter_bytes(factor)], 1)
        self.parameter_entry[name] += 1  # an average's own is the one before

    def follows(self, bank: str) -> bool:
        """Whether a bank, whose parameters have been added, is multiplied in the wake of a convolution.

        Its parameters are there beside the convolution's.
        """
        wake = next((wake for wake in self.wakes.values() if wake.bank == bank), None)
        if wake is None:
            return False
        if self.parameter_end[bank] - self.parameter_start[wake.convolution.name] <= self.parameter_capacity:
            return True
        del self.wakes[wake.convolution.name]
        return False
