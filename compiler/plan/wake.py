"""Fully connected layers in the wake of the convolution that completes the map whose average they multiply.

Their filters are more than the weight buffer holds, and the average is not known before the map is complete: they would
come while the array has nothing else to do. So they come by the reduction, among the convolution's: each block of
channels is summed as it is there, and its products add up in accumulators of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gatewright.compiler.graph.graph import QuantisedGraph, TensorShape
from gatewright.compiler.kinds.average_gate import QuantisedAverageGate
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.averages import DIGITS, sums_first
from gatewright.compiler.plan.filters import PIECE_SHARE, RESIDENT_SHARE, FilterBank, pieces_of, reduction_unit
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.contract.arch import ArchConfig

LEAST_BUFFERS = 1
"""Filters that would fill the weight buffer more often than so many times follow; others come ahead of their time."""


@dataclass(frozen=True, eq=False)
class Wake:
    """A convolution, and the ``follower`` that multiplies the average of its output by the filters of ``bank``."""

    convolution: QuantisedConv
    follower: QuantisedAverageGate | QuantisedClassifier
    bank: str

    def order(
        self, convolution: FilterBank, follower: FilterBank, arch: ArchConfig
    ) -> Iterator[tuple[FilterBank, int, int]]:
        """(bank, group, piece) in the order in which filters are used.

        Products are one group of the convolution's filters behind: the sums are made meanwhile.
        """
        groups, done = convolution.groups(convolution.filters), 0
        for step in range(groups + 1):
            if step < groups:
                yield from ((convolution, step, piece) for piece in range(len(convolution.pieces_in(step))))
            ready = ready_slices(step * convolution.group, follower.reduction, arch)
            yield from ((follower, group, piece) for piece, group in pieces_between(follower, done, ready))
            done = ready


def ready_slices(made: int, channels: int, arch: ArchConfig) -> int:
    """Slices of a follower's reduction that are complete with so many of the channels, in whole pieces."""
    unit = reduction_unit(arch)
    return slices_of(channels, arch) if made >= channels else made // arch.rows // unit * unit


def pieces_between(bank: FilterBank, first: int, end: int) -> Iterator[tuple[int, int]]:
    """(piece, group) of a follower's filters that begin in slices [first, end), in the order of use."""
    for number, piece in enumerate(bank.pieces):
        if first <= piece.first < end:
            yield from ((number, group) for group in range(bank.groups(bank.filters)))


def follower_group(filters: int, arch: ArchConfig) -> int:
    """Filters of a follower that come together, whole blocks of the array; 0 if there is no room for one."""
    most = arch.weight_words // PIECE_SHARE // reduction_unit(arch) // arch.columns * arch.columns
    return min(most, filters)


def cut_follower(bank: FilterBank, arch: ArchConfig) -> FilterBank:
    """The bank of a follower: groups of filters, in pieces of their reduction."""
    unit = reduction_unit(arch)
    return replace(
        bank, group=follower_group(bank.filters, arch), pieces=pieces_of(slices_of(bank.reduction, arch), unit, unit)
    )


def may_follow(shape: TensorShape, filters: int, arch: ArchConfig) -> bool:
    """Whether a fully connected layer on the average of a map can follow, and its accumulators have room."""
    fits = DIGITS * -(-filters // arch.columns) <= arch.accumulator_depth
    return fits and follower_group(filters, arch) > 0 and sums_first(shape, filters, arch)


def wakes_of(graph: QuantisedGraph, arch: ArchConfig) -> list[Wake]:
    """What may follow the 1x1 convolutions at the end of bottleneck blocks, whose filters come in groups.

    Whether a convolution's filters go through all of its map, or through what is left of it, is up to the plan.
    """
    pools = {layer.name: layer.source for layer in graph.layers if isinstance(layer, Pooling)}
    writers = {layer.output: layer for layer in graph.layers if isinstance(layer, QuantisedConv)}
    found: dict[str, Wake] = {}
    for layer in graph.layers:
        if isinstance(layer, QuantisedClassifier):
            source, filters, bank, shape = layer.source, len(layer.weight), layer.name, graph.shapes[layer.source]
        elif isinstance(layer, QuantisedAverageGate) and not layer.gates:
            source, filters, bank = pools[layer.source], len(layer.average_weight), layer.vector_name
            shape = _pooled_shape(graph, layer.source)
        else:
            continue
        writer = writers.get(source)
        many = slices_of(shape.channels, arch) * padded_vectors(filters) > LEAST_BUFFERS * arch.weight_words
        if writer is None or writer.name in found or not many or not may_follow(shape, filters, arch):
            continue
        if _ends_a_block(writer) and _streamed(writer, arch):
            found[writer.name] = Wake(writer, layer, bank)
    return list(found.values())


def _pooled_shape(graph: QuantisedGraph, name: str) -> TensorShape:
    return next(layer.shape(graph) for layer in graph.layers if isinstance(layer, Pooling) and layer.name == name)


def _ends_a_block(layer: QuantisedConv) -> bool:
    """Whether a convolution adds to a residual in place, of 1x1 filters that make all channels."""
    plain = layer.groups == 1 and layer.weight.shape[1:3] == (1, 1) and layer.output_channels is None
    return plain and layer.residual is not None and not layer.elsewhere and layer.appended_to is None


def _streamed(layer: QuantisedConv, arch: ArchConfig) -> bool:
    share, of = RESIDENT_SHARE
    words = slices_of(layer.weight[0].size, arch) * padded_vectors(len(layer.weight))
    return words * of > arch.weight_words * share
