"""Where the epilogue's parameters lie in DRAM and on chip: layer by layer in a ring, or with each group of filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import Requantisation
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.channel_blocks import (
    PARAMETER_PIECE,
    depthwise_entry,
    filters_stay,
    group_entries,
    group_parameters,
    parameter_room,
)
from gatewright.compiler.plan.depthwise import entries_of
from gatewright.compiler.plan.filters import FilterBank
from gatewright.compiler.plan.layout import parameter_bytes
from gatewright.contract.arch import PARAMETER_BYTES
from gatewright.contract.encodings import DEPTHWISE_ENTRIES, PARAMETERS_PER_BEAT
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program_parts import Region

if TYPE_CHECKING:
    from gatewright.compiler.plan.network_image import NetworkImage

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


class ParameterLayout:
    """By layer: ``entry`` on chip of filter 0, ``start`` and ``end`` in DRAM, all in entries.

    The buffer's first ``capacity`` entries are a ring. ``groups`` are streamed layers whose parameters come by groups.
    ``parts`` are the bytes so far, ``first`` the entries of the first layer.
    """

    def __init__(self, image: NetworkImage) -> None:
        self.image, self.arch = image, image.arch
        self.entry, self.start, self.end = dict[str, int](), dict[str, int](), dict[str, int]()
        self.groups = dict[str, GroupParameters]()
        self.capacity = self.arch.parameter_entries // PARAMETER_PIECE * PARAMETER_PIECE
        convolutions = [layer for layer in image.graph.layers if isinstance(layer, QuantisedConv)]
        self.in_groups = MANY_SHARE * (1 + max((len(la.weight) for la in convolutions), default=0)) > self.capacity
        if self.in_groups or any(self.comes_in_groups(name) for name in image.by_channels):
            self.capacity = parameter_room(self.arch)
        self.parts: list[npt.NDArray[np.uint8]] = []
        self.entries, self.first = 0, 0

    def add(self, name: str, requantisation: Requantisation, pooling: Pooling | None = None) -> None:
        """The epilogue's entries for the filters of a bank, after the one of the pooling that is done along."""
        one = np.ones(1, np.int64)
        count = 1 + len(requantisation.bias)
        multiplier, shift = (pooling.multiplier, pooling.shift) if pooling else IDENTITY
        before = parameter_bytes(Requantisation(0 * one, multiplier * one, shift * one))
        bank = self.image.banks.get(name)
        many = self.in_groups and LAYER_SHARE * count > self.capacity
        chain = self.image.by_channels.get(name)
        if chain is not None and self.comes_in_groups(name):
            if chain.layers[0].name == name:
                behind = group_parameters(chain.layers[1], self.arch)
                self._add_group(self.image.banks[name], before, parameter_bytes(requantisation), behind)
                return
            many = False
        if many and bank is not None and bank.streamed and not (bank.listed or bank.picked or bank.by_taps):
            self._add_group(bank, before, parameter_bytes(requantisation))
            return
        if count > self.capacity:
            raise GatewrightError(
                f"arch {self.arch.name}: {name} needs {count} parameter entries, the buffer holds "
                f"{self.capacity}; raise parameter_entries"
            )
        self.place(name, [before, parameter_bytes(requantisation)], count)
        self.entry[name] += 1

    def _add_group(
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
        self.groups[bank.name] = GroupParameters(self.image.builder.add(table), entries)
        self.image.regions.append(
            Region(f"{bank.name} parameters", "parameters", self.groups[bank.name].address, table.size)
        )
        self.start[bank.name] = self.end[bank.name] = self.entries
        self.entry[bank.name] = 1

    def layer_is_complete(self) -> None:
        """Behind each layer: the first one's entries are loaded together."""
        if self.entries and not self.first:
            self.pad()
            self.first = self.entries

    def place(self, name: str, parts: list[npt.NDArray[np.uint8]], count: int) -> None:
        """A layer's ``count`` entries, which are consecutive on chip; those of a chain are there at the same time.

        Instructions name the entry of filter 0, behind a pooling's, also where there is no filter: it is never the last
        one's, whose next has no number.
        """
        needed = max(2, count + sum(self._entries_of(layer) for layer in self._behind_in_chain(name)))
        if self.entries % self.capacity + needed > self.capacity:
            self.pad(self.capacity)
        self.parts += parts
        self.start[name] = self.entries
        self.entry[name] = self.entries % self.capacity
        self.entries += count
        self.end[name] = self.entries

    def pad(self, multiple: int = PARAMETERS_PER_BEAT) -> None:
        """Unused entries up to a multiple; what is loaded together ends with a whole beat."""
        count = -self.entries % multiple
        self.parts.append(np.zeros(count * PARAMETER_BYTES, np.uint8))
        self.entries += count

    def _behind_in_chain(self, name: str) -> Sequence[QuantisedConv]:
        """The other layers of the chain that begins with a layer; none if no chain does."""
        by_channels = self.image.by_channels.items()
        found = [*self.image.chains, *(chain for of, chain in by_channels if not self.comes_in_groups(of))]
        return next((chain.layers[1:] for chain in found if chain.layers[0].name == name), ())

    def comes_in_groups(self, name: str) -> bool:
        """Whether a layer is one of those whose parameters come with blocks of an expansion's filters."""
        chain = self.image.by_channels.get(name)
        return chain is not None and not filters_stay(chain.layers, self.arch)

    def _entries_of(self, layer: QuantisedConv) -> int:
        """A layer's parameter entries, with the pooling's in front of most layers'."""
        filters, share = len(layer.weight), self.image.share.get(layer.name, 0)
        if self.image.in_epilogue(layer):
            return entries_of(layer) - (DEPTHWISE_ENTRIES - 1) * share
        return 1 + filters * (2 if layer.name in self.image.zeroed else 1)
