"""What makes a graph legal, rule by rule. Runs after capture, after quantisation and before compilation.

A rule that a network can break is refused with a ``GatewrightError``: the machine has no way to
compute it. A rule that only our own stages can break raises ``BrokenGraph``.
"""

from __future__ import annotations

from collections.abc import Callable

from gatewright.compiler.graph.checks import broken, refuse, shape_of
from gatewright.compiler.graph.graph import FloatGraph, Graph, Layer, QuantisedGraph
from gatewright.compiler.graph.in_place import (
    concatenations_fit,
    outputs_are_complete,
    pooled_averages_of_skipped_tiles_are_there,
    residuals_fit,
    residuals_in_place_are_not_read_again,
    shortcuts_are_completed,
    skipped_tiles_of_a_sum_are_complete,
)
from gatewright.compiler.graph.maps import convolutions, holes_of, maps_read, writer_of
from gatewright.compiler.kinds.average_gate import AverageGate
from gatewright.compiler.kinds.convolution_form import Convolution
from gatewright.compiler.kinds.max_pool import MaxPool
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.kinds.spatial_gate import SpatialGate
from gatewright.contract.errors import GatewrightError


def verify_float(graph: FloatGraph) -> None:
    """Check a captured network. Raises ``GatewrightError`` or ``BrokenGraph``, with the layer's name."""
    for rule in RULES:
        rule(graph)


def verify_quantised(graph: QuantisedGraph) -> None:
    """Check a network in integers. Raises ``GatewrightError`` or ``BrokenGraph``, with the layer's name."""
    for rule in (*RULES, *QUANTISED_RULES):
        rule(graph)


# Names and order


def gives_what_it_computes(graph: Graph) -> None:
    """The network has results, and the last layer gives one; a result is given once."""
    given = [layer.gives for layer in graph.layers if layer.gives is not None]
    if not given or graph.layers[-1].gives is None:
        raise GatewrightError(
            "the network must end in what it returns: a classifier (a linear layer on a global average) or feature maps"
        )
    twice = next((name for name in given if given.count(name) > 1), None)
    if twice is not None:
        broken(twice, "the network returns it twice")


def names_are_unique(graph: Graph) -> None:
    """No two layers share a name, and no two write one tensor."""
    names = [layer.name for layer in graph.layers]
    tensors = [graph.input, *(tensor for layer in graph.layers for tensor in layer.writes)]
    for name in [*names, *tensors]:
        if names.count(name) > 1 or tensors.count(name) > 1:
            broken(name, "two layers have this name, or write a tensor of this name")


def tensors_are_written_before_they_are_read(graph: Graph) -> None:
    """Layers stand in execution order."""
    written = {graph.input}
    for layer in graph.layers:
        for tensor in layer.reads:
            if tensor not in written:
                broken(layer.name, f"it reads {tensor}, which no layer before it writes")
        written.update(layer.writes)


def gates_decide_before_they_are_used(graph: Graph) -> None:
    """A mask comes from an earlier gate of its kind."""
    tiles, channels = set[str](), set[str]()
    for layer in graph.layers:
        if isinstance(layer, SpatialGate):
            tiles.add(layer.name)
        elif isinstance(layer, Convolution | AverageGate):
            outputs = (layer.output_tiles, layer.output_channels) if isinstance(layer, Convolution) else (None, None)
            for gate in {outputs[0], layer.input_tiles} - {None} - tiles:
                broken(layer.name, f"its tiles are masked by {gate}, which is no spatial gate before it")
            for gate in {outputs[1], layer.input_channels} - {None} - channels:
                broken(layer.name, f"its channels are masked by {gate}, which is no channel gate before it")
            if isinstance(layer, AverageGate):
                (tiles if layer.whole else channels).add(layer.name)


# Shapes and numbers


def layers_fit_their_maps(graph: Graph) -> None:
    """Every layer's weights and numbers fit what it reads and writes, and what the machine has: its kind knows."""
    for layer in graph.layers:
        layer.check(graph)


def masks_fit_their_maps(graph: Graph) -> None:
    """A grid covers its maps exactly, and a channel gate has a bit for every filter, or one for the whole map."""
    gates = {layer.name: layer for layer in graph.layers if isinstance(layer, SpatialGate | AverageGate)}
    for conv in convolutions(graph):
        for name, tensor in (
            (conv.output_tiles, conv.output),
            (conv.input_tiles, conv.source),
            (conv.output_channels, conv.output),
            (conv.input_channels, conv.source),
        ):
            if name is None:
                continue
            shape = shape_of(graph, tensor)
            if not gates[name].fits(shape):
                broken(conv.name, f"the mask of {name} does not fit {tensor}, which is {shape}")


# Masked and compact maps


def readers_know_how_a_map_is_masked(graph: Graph) -> None:
    """A convolution or channel gate names the gates that left holes in its input; nothing else reads such a map."""
    for layer in graph.layers:
        for tensor in maps_read(graph, layer):
            writer = writer_of(graph, tensor)
            if isinstance(layer, AverageGate) or (isinstance(layer, Convolution) and tensor == layer.source):
                holes = (None, None) if writer is None else (writer.output_channels, holes_of(writer))
                if (layer.input_channels, layer.input_tiles) != holes:
                    broken(layer.name, f"its input {tensor} is masked by {holes}, which it does not name")
            elif writer is not None and (writer.output_channels or holes_of(writer)):
                masks = " and ".join(name for name in (writer.output_channels, holes_of(writer)) if name)
                refuse(
                    layer.name,
                    f"it reads the output of convolution {writer.name}, which is masked by {masks}; only the next "
                    "convolution and channel gates can read a masked map, so let it read a map before the mask or "
                    "after the residual",
                )


# Integers


def poolings_follow_their_convolution(graph: QuantisedGraph) -> None:
    """A map is pooled once, as the convolution or max pool before it in the order writes it."""
    before: Layer | None = None
    for layer in graph.layers:
        written = before.output if isinstance(before, Convolution | MaxPool) else None
        if isinstance(layer, Pooling) and layer.source != written:
            broken(layer.name, f"it does not follow the convolution or max pool that writes {layer.source}")
        before = layer


def zeros_stand_for_0_where_the_machine_puts_them(graph: QuantisedGraph) -> None:
    """A map whose 0 is another integer is read by unpadded convolutions alone, and no gate masks it."""
    for layer in graph.layers:
        for tensor in graph.zeros.keys() & set(maps_read(graph, layer)):
            plain = isinstance(layer, Convolution) and layer.padding == 0 and layer.continued != tensor
            if not plain or layer.gives == tensor:
                broken(layer.name, f"it reads {tensor}, in which {graph.zeros[tensor]} stands for 0")
        if isinstance(layer, Convolution) and layer.output in graph.zeros and (layer.gates or layer.continued):
            broken(layer.name, f"{graph.zeros[layer.output]} stands for 0 in its output, which is masked or added to")


RULES: tuple[Callable[[Graph], None], ...] = (
    gives_what_it_computes,
    names_are_unique,
    tensors_are_written_before_they_are_read,
    gates_decide_before_they_are_used,
    layers_fit_their_maps,
    masks_fit_their_maps,
    readers_know_how_a_map_is_masked,
    residuals_fit,
    shortcuts_are_completed,
    residuals_in_place_are_not_read_again,
    concatenations_fit,
    outputs_are_complete,
    skipped_tiles_of_a_sum_are_complete,
)
"""In this order: a rule may rely on those before it."""

QUANTISED_RULES: tuple[Callable[[QuantisedGraph], None], ...] = (
    poolings_follow_their_convolution,
    pooled_averages_of_skipped_tiles_are_there,
    zeros_stand_for_0_where_the_machine_puts_them,
)
