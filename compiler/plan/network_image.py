"""What all programs of a network share: weights and parameters in DRAM, and where they go on chip."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import QuantisedGraph, QuantisedLayer, Requantisation, TensorShape
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.allocate import Spill
from gatewright.compiler.plan.array_share import Share, share_weights
from gatewright.compiler.plan.bands import BandedBlock, needed_rows
from gatewright.compiler.plan.chains import Chain
from gatewright.compiler.plan.channel_blocks import (
    PARAMETER_PIECE,
    cut_by_channels,
    depthwise_entry,
    filters_stay,
    group_entries,
    group_parameters,
    parameter_room,
)
from gatewright.compiler.plan.depthwise import channel_parameters, entries_of, in_epilogue, windowed
from gatewright.compiler.plan.filters import FilterBank, Slices, cut
from gatewright.compiler.plan.head import Head, cut_head, head_of
from gatewright.compiler.plan.input_layout import input_layout
from gatewright.compiler.plan.layout import (
    ImageBuilder,
    parameter_bytes,
    slices_of,
    weights_by_reduction,
    weights_by_vector,
)
from gatewright.compiler.plan.maps import plan_maps
from gatewright.compiler.plan.pitches import laid, pitches
from gatewright.compiler.plan.planes import (
    check_planes,
    grouped_bank,
    plane_widths,
    weights_in_planes,
    widths_by_map,
)
from gatewright.compiler.plan.rooms import DramMap
from gatewright.compiler.plan.side_by_side import Order
from gatewright.compiler.plan.spills import DramRows, maps_of, rows_in_beats
from gatewright.compiler.plan.stem import PooledConvolution, pooled_convolutions
from gatewright.compiler.plan.tiled import TiledPass
from gatewright.contract.arch import BEAT_BYTES, PARAMETER_BYTES, ArchConfig
from gatewright.contract.encodings import DEPTHWISE_ENTRIES, LOGIT_BYTES, PARAMETERS_PER_BEAT
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Space
from gatewright.contract.program import Output, OutputKind, Region

IDENTITY = 2, 1
"""Multiplier and shift that leave a value as it is: those of a maximum."""


MANY_SHARE = 2
"""Parameters come with each group of filters in a network with layers of which the buffer does not hold so many."""

LAYER_SHARE = 4
"""There they do in layers that need more than one in so many entries of what is left."""


@dataclass(frozen=True)
class GroupParameters:
    """Parameters of a streamed bank: for each group ``entries`` (an even number), the first of them the pooling's."""

    address: int
    entries: int


@dataclass
class NetworkImage:
    """The sample-independent part of every program of a verified quantised graph on an architecture."""

    graph: QuantisedGraph
    arch: ArchConfig
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
    ring_bytes: dict[str, int] = field(init=False)
    """Bytes of the rings of maps of which only rows are kept."""
    spilled: dict[str, DramRows] = field(init=False, default_factory=dict)
    """Maps that lie in DRAM by rows, and the first of their rings."""
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
        self._builder = ImageBuilder()
        shape = self.graph.shapes[self.graph.input]
        self.input_layout = input_layout(self.graph, self.arch)
        size = self.input_layout.rows * shape.channels * shape.height * shape.width
        self.pooled = pooled_convolutions(self.graph)
        self.planes = widths_by_map(self.graph, self.arch)
        self.pitches = pitches(self.graph, self.arch)
        self.laid = laid(self.graph, self.pitches)
        check_planes(self.graph, self.arch, self.pitches)
        plan = plan_maps(self.laid, self.arch, self.input_layout, self.pooled)
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
        self.addresses, self.ring_bytes = plan.maps.addresses, plan.maps.ring_bytes
        self.input_beats = -(-size // BEAT_BYTES)
        address = self._builder.add(np.zeros(self.input_beats * BEAT_BYTES, np.uint8))
        self.input_region = Region("input", "input", address, size)
        self.parameter_capacity = self.arch.parameter_entries // PARAMETER_PIECE * PARAMETER_PIECE
        most = max((len(layer.weight) for layer in self.graph.layers if isinstance(layer, QuantisedConv)), default=0)
        self._in_groups = MANY_SHARE * (1 + most) > self.parameter_capacity
        if self._in_groups or any(self._comes_in_groups(name) for name in self.by_channels):
            self.parameter_capacity = parameter_room(self.arch)
        self._parameters: list[np.ndarray] = []
        self._rows_at: dict[tuple[tuple[int, ...], bytes], int] = {}
        self._entries = 0
        self.first_parameters = 0
        for layer in self.graph.layers:
            layer.lay_out(self)
            if self._entries and not self.first_parameters:
                self._pad_parameters()
                self.first_parameters = self._entries
        self._pad_parameters()
        blob = np.concatenate(self._parameters)
        self.parameters = self._entries
        self.parameter_address = self._builder.add(blob)
        self.regions.append(Region("parameters", "parameters", self.parameter_address, len(blob)))
        spilled = {name for spill in plan.spills for name in spill.tensors}
        given = [layer for layer in self.graph.layers if layer.gives is not None]
        stored = {layer.name: self._output(layer) for layer in given if layer.gives not in spilled}
        self.regions += [self.input_region, *(output.region for output in stored.values())]
        self._lay_out(plan.spills)
        outputs = [stored.get(layer.name) or self._output(layer) for layer in given]
        self.outputs = {output.name: output for output in outputs}
        for chain in plan.off_chip:
            self.off_chip |= self._lay_out_map(chain)
        self.static_image = self._builder.build()

    def _output(self, layer: QuantisedLayer) -> Output:
        """Where a layer's result lies in DRAM: in a place of its own, or where the map is anyhow."""
        tensor = layer.gives
        assert tensor is not None
        if isinstance(layer, QuantisedClassifier):
            kind: OutputKind = "logits"
            shape, scale = TensorShape(len(layer.weight), 1, 1), layer.scale
        else:
            kind, shape, scale = "map", self.graph.shapes[tensor], self.graph.scales[tensor]
        if tensor in self.spilled:
            rows = self.spilled[tensor]
            region = next(region for region in self.regions if region.address == rows.dram)
        else:
            size = shape.size * (LOGIT_BYTES if kind == "logits" else 1)
            address = self._builder.add(np.zeros(-(-size // BEAT_BYTES) * BEAT_BYTES, np.uint8))
            region = Region(f"{tensor} output", "output", address, size)
        return Output(tensor, kind, region, shape.height, shape.width, shape.channels, scale)

    def _lay_out(self, spills: Sequence[Spill]) -> None:
        """Room in DRAM for the maps that lie there."""
        for spill in spills:
            name, shape = spill.tensors[0], self.laid.shapes[spill.tensors[0]]
            address = self._lay_out_map(spill.tensors)[name].dram
            place = address, shape.size, shape.width * shape.channels
            rings = [DramRows(*place, ring.rows, self.addresses[ring.name], ring.ahead) for ring in spill.rings]
            for tensor in spill.tensors:
                self.spilled[tensor], self.spills[tensor] = rings[0], spill
                for ring, rows in zip(spill.rings, rings, strict=True):
                    self.row_rings |= {(layer, tensor): rows for layer in ring.layers}

    def _lay_out_map(self, tensors: Sequence[str]) -> dict[str, DramMap]:
        """Room in DRAM for maps of one shape that share a place."""
        size = self.laid.shapes[tensors[0]].size
        address = self._builder.add(np.zeros(-(-size // BEAT_BYTES) * BEAT_BYTES, np.uint8))
        self.regions.append(Region(tensors[-1], "map", address, size))
        return dict.fromkeys(tensors, DramMap(address, size))

    def _pad_parameters(self, multiple: int = PARAMETERS_PER_BEAT) -> None:
        """Unused entries up to a multiple; what is loaded together ends with a whole beat."""
        count = -self._entries % multiple
        self._parameters.append(np.zeros(count * PARAMETER_BYTES, np.uint8))
        self._entries += count

    def completer(self, layer: QuantisedConv) -> QuantisedConv | None:
        """The convolution that completes a shortcut; None for any other layer."""
        if layer.completed_by is None:
            return None
        (adder,) = (a for a in self.graph.layers if isinstance(a, QuantisedConv) and a.name == layer.completed_by)
        return adder

    @property
    def used_twice(self) -> list[str]:
        """Shortcuts with streamed filters: their active and their inactive tiles each need them."""
        shortcuts = [la for la in self.graph.layers if isinstance(la, QuantisedConv) and self.banks[la.name].streamed]
        return [la.name for la in shortcuts if (adder := self.completer(la)) is not None and adder.output_tiles]

    @property
    def by_rows(self) -> list[str]:
        """Convolutions outside of blocks that read or write a map in DRAM."""
        banded = {layer.name for block in self.blocks for layer in block.layers}
        convolutions = [la for la in self.graph.layers if isinstance(la, QuantisedConv) and la.name not in banded]
        return [la.name for la in convolutions if maps_of(la) & self.spilled.keys()]

    def rows_for(self, layer: str, tensor: str) -> DramRows | None:
        """Of a map in DRAM the ring that a layer uses; None for a map that does not lie there by rows."""
        return self.row_rings.get((layer, tensor))

    def kept_rows(self, tensor: str) -> int:
        """Rows of a map in a ring that must be kept."""
        if tensor in self.spilled:
            return 0
        for block in self.blocks:
            if block.middle == tensor:
                return block.kept_rows(self.graph, block.units[-1])
        for chain in self.chains:
            if tensor in chain.kept_rows:
                return chain.kept_rows[tensor]
            if tensor == chain.layers[0].source == self.graph.input:
                return chain.image_ring(rows_in_beats(self.input_pitch))
        (pooled,) = self.pooled
        if tensor == self.graph.input:
            return pooled.image_rows(self.graph, rows_in_beats(self.input_pitch))
        return pooled.kept_rows(self.graph)

    @property
    def input_pitch(self) -> int:
        """Bytes of a row of the input, as it is laid out."""
        return self.input_layout.rows * self.input_layout.channels * self.input_layout.width

    def ring_rows(self, tensor: str, pitch: int) -> int | None:
        """Rows of ``pitch`` bytes that a map's ring holds; None if the map is whole. The input's are whole beats."""
        if tensor in self.spilled:
            return self.spilled[tensor].ring
        if tensor not in self.ring_bytes:
            return None
        unit = rows_in_beats(pitch) if tensor == self.graph.input else 1
        return min(self.graph.shapes[tensor].height, self.ring_bytes[tensor] // pitch // unit * unit)

    @property
    def first_image_rows(self) -> int:
        """Rows of the image that the first band needs."""
        for chain in self.chains:
            if chain.layers[0].source == self.graph.input:
                return chain.image_rows(0)
        return needed_rows(self.pooled[0].convolution, next(self.pooled[0].steps(self.graph)).middle).end

    def pooling_of(self, layer: QuantisedConv) -> Pooling | None:
        """The pooled map that a layer writes along; a shortcut writes that of the sum that completes it."""
        completer = self.completer(layer)
        return self.poolings.get(layer.output if completer is None else completer.output)

    def add_parameters(self, name: str, requantisation: Requantisation, pooling: Pooling | None = None) -> None:
        """The epilogue's entries for the filters of a bank, after the one of the pooling that is done along."""
        one = np.ones(1, np.int64)
        count = 1 + len(requantisation.bias)
        multiplier, shift = (pooling.multiplier, pooling.shift) if pooling else IDENTITY
        before = parameter_bytes(Requantisation(0 * one, multiplier * one, shift * one))
        bank = self.banks.get(name)
        many = self._in_groups and LAYER_SHARE * count > self.parameter_capacity
        chain = self.by_channels.get(name)
        if chain is not None and self._comes_in_groups(name):
            if chain.layers[0].name == name:
                behind = group_parameters(chain.layers[1], self.arch)
                self._add_group_parameters(self.banks[name], before, parameter_bytes(requantisation), behind)
                return
            many = False
        if many and bank is not None and bank.streamed and not bank.listed and not bank.picked:
            self._add_group_parameters(bank, before, parameter_bytes(requantisation))
            return
        if count > self.parameter_capacity:
            raise GatewrightError(
                f"arch {self.arch.name}: {name} needs {count} parameter entries, the buffer holds "
                f"{self.parameter_capacity}; raise parameter_entries"
            )
        self._place_parameters(name, [before, parameter_bytes(requantisation)], count)
        self.parameter_entry[name] += 1

    def _add_group_parameters(
        self,
        bank: FilterBank,
        before: npt.NDArray[np.uint8],
        parameters: npt.NDArray[np.uint8],
        behind: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        """For each group of filters the pooling's entry and theirs; then its row of ``behind`` [groups, bytes]."""
        entries = 1 + bank.group + -(1 + bank.group) % PARAMETERS_PER_BEAT
        if behind is not None:
            entries = group_entries(self.arch)
        table = np.zeros((bank.groups(bank.filters), entries * PARAMETER_BYTES), np.uint8)
        table[:, : len(before)] = before
        for number, row in enumerate(table):
            part = parameters[number * bank.group * PARAMETER_BYTES :][: bank.group * PARAMETER_BYTES]
            row[len(before) : len(before) + len(part)] = part
            if behind is not None:
                first = (1 + depthwise_entry(self.arch)) * PARAMETER_BYTES
                row[first : first + behind.shape[1]] = behind[number]
        self.group_parameters[bank.name] = GroupParameters(self._builder.add(table), entries)
        self.regions.append(
            Region(f"{bank.name} parameters", "parameters", self.group_parameters[bank.name].address, table.size)
        )
        self.parameter_start[bank.name] = self.parameter_end[bank.name] = self._entries
        self.parameter_entry[bank.name] = 1

    def add_pool_parameters(self, layer: QuantisedConv) -> None:
        """Behind a convolution's own those of the averages of the map that a max pool makes of its output."""
        for pooled in self.pooled:
            if pooled.convolution is layer and pooled.pool.output in self.poolings:
                pooling = self.poolings[pooled.pool.output]
                self.add_parameters(pooling.name, Requantisation.bias_only(np.zeros(0, np.int64)), pooling)
                self.parameter_end[layer.name] = self._entries

    def add_by_vector(
        self, name: str, weight: npt.NDArray[np.int8], output_gate: str | None = None, vector: bool = False
    ) -> None:
        """A filter bank [filters, ...reduction]; if streamed, only the filters of the output gate's table are read.

        ``vector``: it is multiplied by one vector, or few.
        """
        bank = self._bank(name, weight, Space.WEIGHTS_BY_VECTOR, output_gate, vector)
        self._add(bank if bank.streamed else replace(bank, gate=None), weights_by_vector(weight, self.arch))

    def add_by_reduction(
        self,
        name: str,
        weight: npt.NDArray[np.int8],
        gate: str | None,
        output_gate: str | None = None,
        vector: bool = False,
    ) -> None:
        """A filter bank [filters, height, width, channels] of which only the channels of a gate's table are read.

        Without a gate, in a head, its channels are read in pieces.
        ``output_gate`` picks its filters; ``vector`` as above.
        """
        bank = self._bank(name, weight, Space.WEIGHTS_BY_REDUCTION, gate, vector, output_gate)
        groups = [weight[first : first + bank.group] for first in range(0, len(weight), bank.group)]
        self._add(bank, np.concatenate([weights_by_reduction(part, bank.vectors) for part in groups]))

    def add_grouped(self, layer: QuantisedConv) -> None:
        """A grouped convolution: its parameters alone, if EPILOGUE computes it, or else filters, too.

        They are over the channels of their plane; its gate picks what is loaded.
        """
        if in_epilogue(layer, self.graph, self.arch):
            self._add_depthwise(layer)
            return
        weight = weights_in_planes(layer, plane_widths(layer, self.arch))
        self._add(grouped_bank(layer, self.arch), weights_by_vector(weight, self.arch))
        self.add_parameters(layer.name, layer.requantisation, self.pooling_of(layer))

    def _add_depthwise(self, layer: QuantisedConv) -> None:
        """The parameters of a depthwise convolution that EPILOGUE computes; its bank has no filters."""
        share = self.share.get(layer.name, 0)
        parameters = channel_parameters(layer)[: (len(layer.weight) - share) * DEPTHWISE_ENTRIES * PARAMETER_BYTES]
        self.banks[layer.name] = FilterBank(
            layer.name, 0, Space.WEIGHTS_BY_VECTOR, 0, 0, 1, 0, 0, None, 1, (Slices(0, 0),)
        )
        if share:
            weight = share_weights(layer, share, self.arch)
            slices, taps = slices_of(weight.shape[1], self.arch), layer.weight[0].size
            sizes = share, 0, share, weight.shape[1], taps
            bank = FilterBank(layer.name, 0, Space.WEIGHTS_BY_VECTOR, *sizes, None, share, (Slices(0, slices),))
            self._add(bank, weights_by_vector(weight, self.arch))
            behind = parameter_bytes(layer.requantisation)[-share * PARAMETER_BYTES :]
            parameters = np.concatenate([parameters, behind])
        if self._comes_in_groups(layer.name):
            self.parameter_start[layer.name] = self.parameter_end[layer.name] = self._entries
            self.parameter_entry[layer.name] = 0
            return
        count = len(parameters) // PARAMETER_BYTES
        if count > self.parameter_capacity:
            raise GatewrightError(
                f"arch {self.arch.name}: the depthwise convolution {layer.name} needs {count} parameter entries, the "
                f"buffer holds {self.parameter_capacity}; raise parameter_entries, or set depthwise to false, to "
                "have it on the array"
            )
        self._place_parameters(layer.name, [parameters], count)
        self.share_entry[layer.name] = self.parameter_entry[layer.name] + count - share
        self.parameter_entry[layer.name] += windowed(layer)  # an average's own is the one before

    def _place_parameters(self, name: str, parts: list[npt.NDArray[np.uint8]], count: int) -> None:
        """A layer's ``count`` entries, which are consecutive on chip; those of a chain are there at the same time."""
        needed = count + sum(self._entries_of(layer) for layer in self._behind_in_chain(name))
        if self._entries % self.parameter_capacity + needed > self.parameter_capacity:
            self._pad_parameters(self.parameter_capacity)
        self._parameters += parts
        self.parameter_start[name] = self._entries
        self.parameter_entry[name] = self._entries % self.parameter_capacity
        self._entries += count
        self.parameter_end[name] = self._entries

    def _behind_in_chain(self, name: str) -> Sequence[QuantisedConv]:
        """The other layers of the chain that begins with a layer; none if no chain does."""
        found = [*self.chains, *(chain for of, chain in self.by_channels.items() if not self._comes_in_groups(of))]
        return next((chain.layers[1:] for chain in found if chain.layers[0].name == name), ())

    def _comes_in_groups(self, name: str) -> bool:
        """Whether a layer is one of those whose parameters come with blocks of an expansion's filters."""
        chain = self.by_channels.get(name)
        return chain is not None and not filters_stay(chain.layers, self.arch)

    def _entries_of(self, layer: QuantisedConv) -> int:
        """A layer's parameter entries, with the pooling's in front of most layers'."""
        filters, share = len(layer.weight), self.share.get(layer.name, 0)
        if in_epilogue(layer, self.graph, self.arch):
            return entries_of(layer) - (DEPTHWISE_ENTRIES - 1) * share
        return 1 + filters

    def _bank(
        self,
        name: str,
        weight: npt.NDArray[np.int8],
        space: Space,
        gate: str | None,
        vector: bool = False,
        output_gate: str | None = None,
    ) -> FilterBank:
        """How a bank is cut; where it lies is not yet known."""
        reduction = weight[0].size
        taps = reduction // weight.shape[-1]
        rows = len(weight) if space == Space.WEIGHTS_BY_VECTOR else weight.shape[-1]
        bank = FilterBank(name, 0, space, rows, 0, len(weight), reduction, taps, gate, 0, (), output_gate=output_gate)
        if self.head is not None and name == self.head.classifier.name:
            return cut_head(bank, self.arch)
        chain = self.by_channels.get(name)
        return cut(bank, self.arch, vector) if chain is None else cut_by_channels(bank, chain.layers, self.arch)

    def _add(self, bank: FilterBank, data: npt.NDArray[np.uint8]) -> None:
        """Lay a bank out whose rows in DRAM are ``data``: where the same rows lie already, if a layer is used again."""
        known = data.shape, hashlib.sha256(data.tobytes()).digest()
        if known not in self._rows_at:
            self._rows_at[known] = self._builder.add(data)
        address = self._rows_at[known]
        self.regions.append(Region(bank.name, "weights", address, data.size))
        self.banks[bank.name] = replace(bank, address=address, row_beats=data.shape[1] // BEAT_BYTES)
