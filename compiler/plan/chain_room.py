"""Whether what the layers of a chain need at the same time has room: filters and parameters."""

from __future__ import annotations

from collections.abc import Sequence

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan import channel_blocks
from gatewright.compiler.plan.array_share import SHARE
from gatewright.compiler.plan.chains import Chain
from gatewright.compiler.plan.channel_blocks import parameter_room
from gatewright.compiler.plan.depthwise import in_epilogue
from gatewright.compiler.plan.filters import may_stay
from gatewright.compiler.plan.side_by_side import Order
from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import DEPTHWISE_ENTRIES


def filters_stay(chain: Chain, arch: ArchConfig) -> bool:
    """Whether no filters of the array's layers are read again for each step, and all have room together.

    What the array may compute of depthwise convolutions has room beside them.
    """
    shared = sum(layer.groups > 1 for layer in chain.layers) * (arch.weight_words // SHARE)
    return may_stay([layer.weight.shape for layer in chain.layers if layer.groups == 1], arch, shared)


def layers_parameters(layers: Sequence[QuantisedConv], graph: QuantisedGraph, arch: ArchConfig) -> int:
    """Parameter entries of layers that are there together, at most."""
    return sum(_entries(layer, graph, arch) for layer in layers)


def _entries(layer: QuantisedConv, graph: QuantisedGraph, arch: ArchConfig) -> int:
    return (DEPTHWISE_ENTRIES if in_epilogue(layer, graph, arch) else 1) * len(layer.weight) + 1


def parameters_fit(graph: QuantisedGraph, chosen: Sequence[Chain], arch: ArchConfig) -> bool:
    """Whether room that some chains take for groups of filters leaves enough for all other layers and chains."""
    beside = [chain for chain in chosen if chain.order == Order.BY_CHANNELS]
    if all(channel_blocks.filters_stay(chain.layers, arch) for chain in beside):
        return True
    known = {name for chain in chosen for name in chain.names}
    alone = [[la] for la in graph.layers if isinstance(la, QuantisedConv) and la.name not in known]
    together = [chain.layers for chain in chosen if chain.order != Order.BY_CHANNELS]
    return all(layers_parameters(layers, graph, arch) <= parameter_room(arch) for layers in (*alone, *together))
