"""A classifier in the wake of the convolution whose output it averages: block of channels by block of channels.

Its filters are more than the buffer holds, and it could not begin before the whole map is there: they would come while
the array has nothing else to do. So they come by the reduction, among the convolution's: each channel is summed as it
is there, and its products add up in accumulators of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.channel_blocks import parameter_room
from gatewright.compiler.plan.filters import RESIDENT_SHARE, FilterBank
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.wake import may_follow, pieces_between, ready_slices
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

    def order(
        self, convolution: FilterBank, classifier: FilterBank, arch: ArchConfig
    ) -> Iterator[tuple[FilterBank, int, int]]:
        """(bank, group, piece) in the order in which filters are used."""
        done = 0
        for step in range(self.blocks(arch) + LAG):
            if step < self.blocks(arch) and step * arch.columns % convolution.group == 0:
                group = step * arch.columns // convolution.group
                yield from ((convolution, group, piece) for piece in range(len(convolution.pieces_in(group))))
            ready = ready_slices(max(0, step - LAG + 1) * arch.columns, classifier.reduction, arch)
            yield from ((classifier, group, piece) for piece, group in pieces_between(classifier, done, ready))
            done = ready


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
    streamed = words * of > arch.weight_words * share
    fits = pixels <= arch.accumulator_depth and may_follow(shape, classes, arch)
    fits = fits and patches * PATCH_SHARE <= arch.patch_words and head.source != graph.input
    parameters = len(head.weight) + 2 * classes + 3 <= parameter_room(arch)
    return Head(head, classifier) if streamed and fits and parameters else None
