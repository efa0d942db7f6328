"""What makes a graph legal, rule by rule. Runs after capture, after quantisation and before compilation.

A rule that a network can break is refused with a ``GatewrightError``: the machine has no way to
compute it. A rule that only our own stages can break raises ``BrokenGraph``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gatewright.compiler.graph.checks import broken, refuse, shape_of
from gatewright.compiler.graph.graph import FloatGraph, Graph, Layer, QuantisedGraph, TensorShape
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
    for conv in _convolutions(graph):
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
        for tensor in _maps_read(graph, layer):
            writer = _writer(graph, tensor)
            if isinstance(layer, AverageGate) or (isinstance(layer, Convolution) and tensor == layer.source):
                holes = (None, None) if writer is None else (writer.output_channels, _holes(writer))
                if (layer.input_channels, layer.input_tiles) != holes:
                    broken(layer.name, f"its input {tensor} is masked by {holes}, which it does not name")
            elif writer is not None and (writer.output_channels or _holes(writer)):
                masks = " and ".join(name for name in (writer.output_channels, _holes(writer)) if name)
                refuse(
                    layer.name,
                    f"it reads the output of convolution {writer.name}, which is masked by {masks}; only the next "
                    "convolution and channel gates can read a masked map, so let it read a map before the mask or "
                    "after the residual",
                )


# Residuals


def residuals_fit(graph: Graph) -> None:
    """A residual, upsampled if it is coarser, has the shape of the sum, and in integers its scale."""
    for conv in _convolutions(graph):
        if conv.residual is None:
            continue
        coarse, factor = shape_of(graph, conv.residual), 1 << conv.upsample
        if TensorShape(coarse.channels, coarse.height * factor, coarse.width * factor) != shape_of(graph, conv.output):
            broken(conv.name, f"its residual {conv.residual} has another shape than its output")
        if isinstance(graph, QuantisedGraph) and graph.scales[conv.residual] != graph.scales[conv.output]:
            broken(conv.name, f"its residual {conv.residual} has another scale than its output")


def residuals_in_place_are_not_read_again(graph: Graph) -> None:
    """The sum takes the residual's place, unless it comes from elsewhere; then nothing may be skipped."""
    for number, conv in enumerate(graph.layers):
        if not isinstance(conv, Convolution) or conv.residual is None:
            continue
        if conv.upsample and not conv.elsewhere:
            broken(conv.name, f"its residual {conv.residual} is coarser than the sum, whose place it cannot have")
        again = [layer.name for layer in graph.layers[number + 1 :] if conv.residual in _maps_read(graph, layer)]
        if not conv.elsewhere and (conv.residual == conv.source or again):
            broken(conv.name, f"its residual {conv.residual} is read again, by {again[0] if again else conv.name}")
        if conv.elsewhere and (conv.output_tiles or conv.output_channels):
            why = "is coarser than the sum" if conv.upsample else "is read again later"
            refuse(
                conv.name,
                f"its residual {conv.residual} {why}, and gate {conv.output_tiles or conv.output_channels} skips a "
                "part of the sum; where a sum is skipped the machine leaves the residual in its place, so let nobody "
                "else read it, or do not gate the sum",
            )


def concatenations_fit(graph: Graph) -> None:
    """What is put behind a map lies behind it; so one convolution's output is, and nothing is added to the whole."""
    for conv in _convolutions(graph):
        if conv.appended_to is None:
            continue
        if conv.appended_to == graph.input:
            refuse(conv.name, "its output is put behind the image; only maps that a layer wrote can be continued")
        if isinstance(graph, QuantisedGraph) and graph.scales[conv.appended_to] != graph.scales[conv.output]:
            broken(conv.name, f"the map {conv.appended_to}, which it continues, has another scale than its output")
        for other in _convolutions(graph):
            if (
                other is not conv
                and other.in_place in (conv.appended_to, conv.output)
                and (other.in_place == conv.appended_to or other.residual is not None)
            ):
                refuse(
                    other.name,
                    f"its output is put behind {other.in_place}, or added to it, and that of {conv.name} is put behind "
                    f"{conv.appended_to}; a concatenation lies in one place: concatenate all parts once, and add to "
                    "none of them",
                )


def outputs_are_complete(graph: Graph) -> None:
    """A map that the network returns has no shortcut's unfinished sum in it."""
    for layer in graph.layers:
        writer = None if layer.gives is None else _writer(graph, layer.gives)
        if writer is not None and writer.completed_by is not None:
            broken(writer.name, f"the network returns the shortcut that {writer.completed_by} completes")


def skipped_tiles_of_a_sum_are_complete(graph: Graph) -> None:
    """Where a gated sum is skipped its residual stands: with its ReLU applied, by its writer or as a shortcut."""
    for conv in _convolutions(graph):
        if conv.residual is None or conv.output_tiles is None or not conv.relu_of_skipped:
            continue
        writer = _writer(graph, _before_max_pool(graph, conv.residual))
        if writer is None or not (writer.relu or writer.completed_by == conv.name):
            refuse(
                conv.name,
                f"its residual {conv.residual} has no ReLU, and the sum has one; where gate {conv.output_tiles} skips "
                "the sum nobody would apply it. Let the residual end in a ReLU, or be a convolution that nobody else "
                "reads and nothing masks",
            )


def shortcuts_are_completed(graph: Graph) -> None:
    """A shortcut is a bare convolution whose one reader adds to it."""
    adders = {conv.name: conv.residual for conv in _convolutions(graph)}
    for conv in _convolutions(graph):
        if conv.completed_by is None:
            continue
        if adders.get(conv.completed_by) != conv.output or conv.relu or conv.residual or conv.output_tiles:
            broken(conv.name, f"it is no shortcut that {conv.completed_by} completes")
        for layer in graph.layers:
            if conv.output in _maps_read(graph, layer) and layer.name != conv.completed_by:
                refuse(
                    conv.name,
                    f"its output is the residual of {conv.completed_by}, and {layer.name} reads it too; where the sum "
                    "is skipped a shortcut already holds the sum, so nobody else can read it",
                )


# Integers


def pooled_averages_of_skipped_tiles_are_there(graph: QuantisedGraph) -> None:
    """Where a gated sum is skipped, its pooled map keeps the average of the residual's, computed alike."""
    poolings = {layer.source: layer for layer in graph.layers if isinstance(layer, Pooling)}
    for conv in _convolutions(graph):
        if conv.output_tiles is None or conv.residual is None or conv.output not in poolings:
            continue
        writer = _writer(graph, conv.residual)
        if writer is not None and writer.completed_by == conv.name:
            continue
        before, after = poolings.get(conv.residual), poolings[conv.output]
        alike = before and (before.tile, before.multiplier, before.shift) == (after.tile, after.multiplier, after.shift)
        if not alike:
            refuse(
                conv.name,
                f"gates look at its output and not, in the same tiles, at its residual {conv.residual}; where gate "
                f"{conv.output_tiles} skips a tile its average would be missing",
            )


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
        for tensor in graph.zeros.keys() & set(_maps_read(graph, layer)):
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


# What the rules ask


def _convolutions(graph: Graph) -> Iterator[Convolution]:
    return (layer for layer in graph.layers if isinstance(layer, Convolution))


def _writer(graph: Graph, tensor: str) -> Convolution | None:
    return next((conv for conv in _convolutions(graph) if conv.output == tensor), None)


def _before_max_pool(graph: Graph, tensor: str) -> str:
    """The map that a max pool made a map of; any other map itself."""
    return next(
        (layer.source for layer in graph.layers if isinstance(layer, MaxPool) and layer.output == tensor), tensor
    )


def _maps_read(graph: Graph, layer: Layer) -> tuple[str, ...]:
    """The feature maps that a layer reads, or whose averages it reads."""
    if isinstance(layer, Pooling):
        return ()  # it writes the averages along with its map; the gates are their readers
    pooled = {p.name: p.source for p in graph.layers if isinstance(p, Pooling)}
    return tuple(pooled.get(tensor, tensor) for tensor in layer.reads)


def _holes(conv: Convolution) -> str | None:
    """The gate whose inactive tiles are missing in a convolution's output; a residual fills them."""
    return conv.output_tiles if conv.residual is None else None
