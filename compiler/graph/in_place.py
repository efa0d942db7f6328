"""The rules of maps that are written in place: sums with their residuals and shortcuts, and concatenations."""

from __future__ import annotations

from gatewright.compiler.graph.checks import broken, refuse, shape_of
from gatewright.compiler.graph.graph import Graph, QuantisedGraph, TensorShape
from gatewright.compiler.graph.maps import convolutions, maps_read, writer_of
from gatewright.compiler.kinds.convolution_form import Convolution
from gatewright.compiler.kinds.max_pool import MaxPool
from gatewright.compiler.kinds.pooling import Pooling


def residuals_fit(graph: Graph) -> None:
    """A residual, upsampled if it is coarser, has the shape of the sum, and in integers its scale."""
    for conv in convolutions(graph):
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
        again = [layer.name for layer in graph.layers[number + 1 :] if conv.residual in maps_read(graph, layer)]
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
    for conv in convolutions(graph):
        if conv.appended_to is None:
            continue
        if conv.appended_to == graph.input:
            refuse(conv.name, "its output is put behind the image; only maps that a layer wrote can be continued")
        if isinstance(graph, QuantisedGraph) and graph.scales[conv.appended_to] != graph.scales[conv.output]:
            broken(conv.name, f"the map {conv.appended_to}, which it continues, has another scale than its output")
        for other in convolutions(graph):
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
        writer = None if layer.gives is None else writer_of(graph, layer.gives)
        if writer is not None and writer.completed_by is not None:
            broken(writer.name, f"the network returns the shortcut that {writer.completed_by} completes")


def skipped_tiles_of_a_sum_are_complete(graph: Graph) -> None:
    """Where a gated sum is skipped its residual stands: with its ReLU applied, by its writer or as a shortcut."""
    for conv in convolutions(graph):
        if conv.residual is None or conv.output_tiles is None or not conv.relu_of_skipped:
            continue
        writer = writer_of(graph, _before_max_pool(graph, conv.residual))
        if writer is None or not (writer.relu or writer.completed_by == conv.name):
            refuse(
                conv.name,
                f"its residual {conv.residual} has no ReLU, and the sum has one; where gate {conv.output_tiles} skips "
                "the sum nobody would apply it. Let the residual end in a ReLU, or be a convolution that nobody else "
                "reads and nothing masks",
            )


def shortcuts_are_completed(graph: Graph) -> None:
    """A shortcut is a bare convolution whose one reader adds to it."""
    adders = {conv.name: conv.residual for conv in convolutions(graph)}
    for conv in convolutions(graph):
        if conv.completed_by is None:
            continue
        if adders.get(conv.completed_by) != conv.output or conv.relu or conv.residual or conv.output_tiles:
            broken(conv.name, f"it is no shortcut that {conv.completed_by} completes")
        for layer in graph.layers:
            if conv.output in maps_read(graph, layer) and layer.name != conv.completed_by:
                refuse(
                    conv.name,
                    f"its output is the residual of {conv.completed_by}, and {layer.name} reads it too; where the sum "
                    "is skipped a shortcut already holds the sum, so nobody else can read it",
                )


def pooled_averages_of_skipped_tiles_are_there(graph: QuantisedGraph) -> None:
    """Where a gated sum is skipped, its pooled map keeps the average of the residual's, computed alike."""
    poolings = {layer.source: layer for layer in graph.layers if isinstance(layer, Pooling)}
    for conv in convolutions(graph):
        if conv.output_tiles is None or conv.residual is None or conv.output not in poolings:
            continue
        writer = writer_of(graph, conv.residual)
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


def _before_max_pool(graph: Graph, tensor: str) -> str:
    """The map that a max pool made a map of; any other map itself."""
    return next(
        (layer.source for layer in graph.layers if isinstance(layer, MaxPool) and layer.output == tensor), tensor
    )
