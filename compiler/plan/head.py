"""A classifier in the wake of the convolution whose output it averages: block of channels by block of channels.

Its filters are more than the buffer holds, and it could not begin before the whole map is there: they would come while
the array has nothing else to do. So they come by the reduction, among the convolution's: each channel is summed as it
is there, and its products add up in accumulators of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.averages import DIGITS, sums_first
from gatewright.compiler.plan.channel_blocks import parameter_room
from gatewright.compiler.plan.filters import PIECE_SHARE, RESIDENT_SHARE, FilterBank, pieces_of, reduction_unit
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.contract.arch import ArchConfig

LAG = 2
"""Blocks by which the classifier is behind the convolution; the sums are one behind."""

PATCH_SHARE = 2
"""The convolution's patches stay, in one of so many words of the patch buffer at most."""


@dataclass(frozen=True, eq=False)
class Head:
    """The last convolution and the classifier."""

    convolution: QuantisedConv
    classifier: QuantisedClassifier

    @property
    def names(self) -> tuple[str, str]:
        """The layers' names."""
        return self.convolution.name, self.classifier.name

    def blocks(self, arch: ArchConfig) -> int:
        """Blocks of channels."""
        return -(-len(self.convolution.weight) // arch.columns)

    def ready_slices(self, block: int, arch: ArchConfig) -> int:
        """Slices of the classifier's reduction that are complete when a block of sums is, in whole pieces."""
        channels, made = len(self.convolution.weight), (block + 1) * arch.columns
        unit = reduction_unit(arch)
        return slices_of(channels, arch) if made >= channels else made // arch.rows // unit * unit

    def order(
        self, convolution: FilterBank, classifier: FilterBank, arch: ArchConfig
    ) -> Iterator[tuple[FilterBank, int, int]]:
        """(bank, group, piece) in the order in which filters are used."""
        done = 0
        for step in range(self.blocks(arch) + LAG):
            if step < self.blocks(arch) and step * arch.columns % convolution.group == 0:
                group = step * arch.columns // convolution.group
                yield from ((convolution, group, piece) for piece in range(len(convolution.pieces_in(group))))
            ready = self.ready_slices(step - LAG, arch) if step >= LAG else 0
            for number, piece in enumerate(classifier.pieces):
                if done <= piece.first < ready:
                    yield from ((classifier, group, number) for group in range(classifier.groups(classifier.filters)))
            done = max(done, ready)


def head_of(graph: QuantisedGraph, arch: ArchConfig) -> Head | None:
    """The head of a network whose classifier is to work in the wake of the convolution before it; None if it is not."""
    classifier = graph.layers[-1]
    if not isinstance(classifier, QuantisedClassifier):
        return None
    writers = [layer for layer in graph.layers if classifier.source in layer.writes]
    readers = [layer for layer in graph.layers if classifier.source in layer.reads]
    if len(writers) != 1 or readers != [classifier] or graph.layers[-2] is not writers[0]:
        return None
    if sum(writers[0].reads[0] in layer.reads for layer in graph.layers) > 1:
        return None  # it is made together with what else reads its source
    head, shape = writers[0], graph.shapes[classifier.source]
    if not isinstance(head, QuantisedConv) or head.groups > 1 or head.gates or head.residual is not None:
        return None
    pixels, classes = shape.height * shape.width, len(classifier.weight)
    words = slices_of(shape.channels, arch) * padded_vectors(classes)
    patches = slices_of(head.weight[0].size, arch) * padded_vectors(pixels)
    share, of = RESIDENT_SHARE
    streamed = words * of > arch.weight_words * share and _group(classes, arch) > 0
    fits = max(pixels, DIGITS * -(-classes // arch.columns)) <= arch.accumulator_depth
    fits = fits and patches * PATCH_SHARE <= arch.patch_words and head.source != graph.input
    parameters = len(head.weight) + 2 * classes + 3 <= parameter_room(arch)
    chosen = streamed and fits and parameters and sums_first(shape, classes, arch)
    return Head(head, classifier) if chosen else None


def _group(classes: int, arch: ArchConfig) -> int:
    """Filters of the classifier that come together, whole blocks of the array."""
    most = arch.weight_words // PIECE_SHARE // reduction_unit(arch) // arch.columns * arch.columns
    return min(most, classes)


def cut_head(bank: FilterBank, arch: ArchConfig) -> FilterBank:
    """The classifier's bank: groups of filters, in pieces of their reduction."""
    unit = reduction_unit(arch)
    return replace(
        bank, group=_group(bank.filters, arch), pieces=pieces_of(slices_of(bank.reduction, arch), unit, unit)
    )
