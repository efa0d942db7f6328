"""Where images leave a network with early exits, and what of it they see until then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import Decisions, Graph, QuantisedGraph
from gatewright.compiler.kinds.exit import Exit
from gatewright.compiler.kinds.pooling import Pooling


@dataclass(frozen=True)
class Stages:
    """``exits`` are the names of the early exits, in order of execution, which are also those of their logits.

    ``number`` gives for every layer, and for every result, how many exits lie before it.
    """

    exits: tuple[str, ...] = ()
    number: Mapping[str, int] = field(default_factory=dict)

    def taken(self, decisions: Decisions, images: int) -> npt.NDArray[np.int64]:
        """At which exit each of N images leaves, [N], counted from 0; that of the network's end is the last.

        ``decisions`` are bool [N, classes] by exit, beside those of other gates.
        """
        found = np.full(images, len(self.exits), np.int64)
        for number, name in reversed(list(enumerate(self.exits))):
            found[decisions[name].any(1)] = number
        return found

    def reached(self, names: Mapping[str, Any], taken: int) -> list[str]:
        """Those of the names, of layers or results, that an image sees which leaves at an exit."""
        return [name for name in names if self.number.get(name, 0) <= taken]

    def answers(
        self, outputs: Mapping[str, npt.NDArray[Any]], logits: npt.NDArray[Any], decisions: Decisions
    ) -> npt.NDArray[Any]:
        """The logits [N, classes] with which images are answered, of which ``logits`` are those at the end."""
        if not self.exits:
            return logits
        every = np.stack([*(outputs[name] for name in self.exits), logits])
        return every[self.taken(decisions, len(logits)), np.arange(len(logits))]


def stages_of(graph: Graph) -> Stages:
    """The exits of a network, and what lies between them."""
    exits, number = list[str](), dict[str, int]()
    for layer in graph.layers:
        number[layer.name] = len(exits)
        if layer.gives is not None:
            number[layer.gives] = len(exits)
        if isinstance(layer, Exit):
            exits.append(layer.output)
    return Stages(tuple(exits), number)


def taken_exit(graph: QuantisedGraph, decisions: Decisions) -> int:
    """At which exit an image with these decisions leaves; that of the network's end is the last."""
    exits = [layer.name for layer in graph.layers if isinstance(layer, Exit)]
    return next((number for number, name in enumerate(exits) if decisions[name].any()), len(exits))


def until_exit(graph: QuantisedGraph, number: int) -> QuantisedGraph:
    """The network that an image sees which leaves at an exit: nothing of what lies behind it."""
    exits = [place for place, layer in enumerate(graph.layers) if isinstance(layer, Exit)]
    if number >= len(exits):
        return graph
    kept = graph.layers[: exits[number] + 1]
    read = {tensor for layer in kept for tensor in layer.reads}
    return replace(graph, layers=[layer for layer in kept if not isinstance(layer, Pooling) or layer.name in read])
