"""Whether what the layers of a chain need at the same time has room: filters and parameters."""

from __future__ import annotations

from collections.abc import Sequence

from gatewright.compiler.graph.graph import QuantisedGraph, QuantisedLayer
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


def layers_parameters(
    layers: Sequence[QuantisedLayer], graph: QuantisedGraph, arch: ArchConfig, live: bool = False
) -> int:
    """Parameter entries of layers that are there together, at most."""
    return sum(_entries(layer, graph, arch, live) for layer in layers)


def _entries(layer: QuantisedLayer, graph: QuantisedGraph, arch: ArchConfig, live: bool) -> int:
    """Those of its filters, or, of a gate with two layers, of the larger one's; and the pooling's."""
    filters = max(len(getattr(layer, name, ())) for name in ("weight", "hidden_weight"))
    depthwise = isinstance(layer, QuantisedConv) and in_epilogue(layer, graph, arch, live)
    return (DEPTHWISE_ENTRIES if depthwise else 1) * filters + 1


def parameters_fit(graph: QuantisedGraph, chosen: Sequence[Chain], arch: ArchConfig, live: bool = False) -> bool:
    """Whether room that some chains take for groups of filters leaves enough for all other layers and chains."""
    beside = [chain for chain in chosen if chain.order == Order.BY_CHANNELS]
    if all(channel_blocks.filters_stay(chain.layers, arch) for chain in beside):
        return True
    known = {name for chain in chosen for name in chain.names}
    sets: list[Sequence[QuantisedLayer]] = [[layer] for layer in graph.layers if layer.name not in known]
    sets += [chain.layers[-1:] if chain.order == Order.BY_CHANNELS else chain.layers for chain in chosen]
    return all(layers_parameters(layers, graph, arch, live) <= parameter_room(arch) for layers in sets)
