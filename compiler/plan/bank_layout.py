"""How the filter banks of a network are cut, and where they lie in DRAM."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.array_share import share_weights
from gatewright.compiler.plan.by_taps import cut_by_taps, weights_by_taps
from gatewright.compiler.plan.channel_blocks import cut_by_channels
from gatewright.compiler.plan.depthwise import channel_parameters
from gatewright.compiler.plan.filters import FilterBank, Slices, cut, without_filters
from gatewright.compiler.plan.layout import parameter_bytes, slices_of, weights_by_reduction, weights_by_vector
from gatewright.compiler.plan.planes import grouped_bank, plane_widths, weights_in_planes
from gatewright.compiler.plan.several_sources import part_slices
from gatewright.compiler.plan.wake import cut_follower
from gatewright.contract.arch import BEAT_BYTES, PARAMETER_BYTES
from gatewright.contract.encodings import DEPTHWISE_ENTRIES
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Space
from gatewright.contract.program_parts import Region

if TYPE_CHECKING:
    from gatewright.compiler.plan.network_image import NetworkImage


class BankLayout:
    """Adds them to an image, the same rows once."""

    def __init__(self, image: NetworkImage) -> None:
        self.image, self.arch = image, image.arch
        self._rows_at: dict[tuple[tuple[int, ...], bytes], int] = {}

    def by_vector(
        self, name: str, weight: npt.NDArray[np.int8], output_gate: str | None = None, vector: bool = False
    ) -> None:
        """A filter bank [filters, ...reduction]; if streamed, only the filters of the output gate's table are read.

        ``vector``: it is multiplied by one vector, or few.
        """
        bank = self._bank(name, weight, Space.WEIGHTS_BY_VECTOR, output_gate, vector)
        self._add(bank if bank.streamed else replace(bank, gate=None), weights_by_vector(weight, self.arch))

    def by_reduction(
        self,
        name: str,
        weight: npt.NDArray[np.int8],
        gate: str | None,
        output_gate: str | None = None,
        vector: bool = False,
    ) -> None:
        """A filter bank [filters, height, width, channels] of which only the channels of a gate's table are read.

        Without a gate, in the wake of a convolution, its channels are read in pieces.
        ``output_gate`` picks its filters; ``vector`` as above.
        """
        bank = self._bank(name, weight, Space.WEIGHTS_BY_REDUCTION, gate, vector, output_gate)
        if bank.by_taps:
            self._add(bank, weights_by_taps(weight, bank.vectors))
            return
        groups = [weight[first : first + bank.group] for first in range(0, len(weight), bank.group)]
        self._add(bank, np.concatenate([weights_by_reduction(part, bank.vectors) for part in groups]))

    def grouped(self, layer: QuantisedConv) -> None:
        """A grouped convolution: its parameters alone, if EPILOGUE computes it, or else filters, too.

        They are over the channels of their plane; its gate picks what is loaded.
        """
        if self.image.in_epilogue(layer):
            self._add_depthwise(layer)
            return
        weight = weights_in_planes(layer, plane_widths(layer, self.arch))
        self._add(grouped_bank(layer, self.arch), weights_by_vector(weight, self.arch))
        self.image.add_parameters(layer.name, layer.requantisation, self.image.pooling_of(layer))

    def filters_of_map(self, layer: QuantisedConv) -> None:
        """Filters that the program makes: a map's channels, a row for each of its pixels, as it lies by reduction."""
        filters, reduction = len(layer.weight), layer.weight[0].size
        beats = -(-filters // BEAT_BYTES)
        address = self.image.builder.add(np.zeros(reduction * beats * BEAT_BYTES, np.uint8))
        bank = self._bank(layer.name, layer.weight, Space.WEIGHTS_BY_REDUCTION, None)
        if bank.streamed:
            raise GatewrightError(
                f"arch {self.arch.name}: the {filters} channels of {reduction} pixels that {layer.name} upsamples do "
                "not fit the weight buffer beside others' filters; raise weight_kib"
            )
        self.image.banks[layer.name] = replace(bank, address=address, row_beats=beats)
        self.image.regions.append(Region(layer.name, "weights", address, reduction * beats * BEAT_BYTES))

    def of_several(self, layer: QuantisedConv, output_gate: str | None) -> None:
        """Filters over several maps: the reduction over one behind that over another, each begins with a whole unit."""
        parts = part_slices(layer, self.image.graph, self.arch)
        rows, taps = self.arch.rows, layer.weight.shape[1] * layer.weight.shape[2]
        flat = np.zeros((len(layer.weight), (parts[-1].first + parts[-1].count) * rows), np.int8)
        channel = 0
        for part, name in zip(parts, layer.sources, strict=True):
            channels = self.image.graph.shapes[name].channels
            of_part = layer.weight[..., channel : channel + channels].reshape(len(flat), taps * channels)
            flat[:, part.first * rows : part.first * rows + taps * channels] = of_part
            channel += channels
        self.by_vector(layer.name, flat, output_gate)

    def _add_depthwise(self, layer: QuantisedConv) -> None:
        """The parameters of a depthwise convolution that EPILOGUE computes; its bank has no filters."""
        share = self.image.share.get(layer.name, 0)
        parameters = channel_parameters(layer)[: (len(layer.weight) - share) * DEPTHWISE_ENTRIES * PARAMETER_BYTES]
        self.image.banks[layer.name] = without_filters(layer.name)
        if share:
            weight = share_weights(layer, share, self.arch)
            slices, taps = slices_of(weight.shape[1], self.arch), layer.weight[0].size
            sizes = share, 0, share, weight.shape[1], taps
            bank = FilterBank(layer.name, 0, Space.WEIGHTS_BY_VECTOR, *sizes, None, share, (Slices(0, slices),))
            self._add(bank, weights_by_vector(weight, self.arch))
            behind = parameter_bytes(layer.requantisation)[-share * PARAMETER_BYTES :]
            parameters = np.concatenate([parameters, behind])
        if self.image.parameter_layout.comes_in_groups(layer.name):
            entries = self.image.parameter_layout.entries
            self.image.parameter_start[layer.name] = self.image.parameter_end[layer.name] = entries
            self.image.parameter_entry[layer.name] = 0
            return
        count = len(parameters) // PARAMETER_BYTES
        if count > self.image.parameter_capacity:
            raise GatewrightError(
                f"arch {self.arch.name}: the depthwise convolution {layer.name} needs {count} parameter entries, the "
                f"buffer holds {self.image.parameter_capacity}; raise parameter_entries, or set depthwise to false, to "
                "have it on the array"
            )
        self.image.parameter_layout.place(layer.name, [parameters], count)
        self.image.share_entry[layer.name] = self.image.parameter_entry[layer.name] + count - share
        self.image.parameter_entry[layer.name] += layer.windowed  # an average's own is the one before

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
        followers = [wake.bank for wake in self.image.wakes.values()]
        if self.image.head is not None:
            followers.append(self.image.head.classifier.name)
        if name in followers:
            return cut_follower(bank, self.arch)
        if name in self.image.by_taps:
            return cut_by_taps(bank, self.arch)
        chain = self.image.by_channels.get(name)
        if chain is not None:
            return cut_by_channels(bank, chain.layers, self.arch)
        bank = cut(bank, self.arch, vector, self.image.live)
        # What is multiplied in its wake needs one block of channels behind the other.
        return replace(bank, both_ends=bank.both_ends and name not in self.image.wakes)

    def _add(self, bank: FilterBank, data: npt.NDArray[np.uint8]) -> None:
        """Lay a bank out whose rows in DRAM are ``data``: where the same rows lie already, if a layer is used again."""
        known = data.shape, hashlib.sha256(data.tobytes()).digest()
        if known not in self._rows_at:
            self._rows_at[known] = self.image.builder.add(data)
        address = self._rows_at[known]
        self.image.regions.append(Region(bank.name, "weights", address, data.size))
        self.image.banks[bank.name] = replace(bank, address=address, row_beats=data.shape[1] // BEAT_BYTES)
