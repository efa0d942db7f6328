"""Orders of dimensions: which one of the network's map, whose channels come first, each of the file's is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gatewright.from_onnx.model import Array, Model

Order = tuple[int, ...]
"""For each dimension of a tensor in the file, which one of the network's it is."""

FIRST: Order = (0, 1, 2, 3)
LAST: Order = (0, 2, 3, 1)
"""Channels last."""

BY_CHANNELS = ("Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "BatchNormalization", "Resize", "Upsample")
"""What takes the second dimension of whatever it reads for the channels."""


def in_order(order: Order, shape: Sequence[int]) -> bool:
    """Whether numbers of the network's map ``shape`` lie in the file's order: at most dimensions of 1 move."""
    moved = [place for place in order if shape[place] > 1]
    return moved == sorted(moved)


def of_file(order: Order, values: Sequence[int]) -> list[int]:
    """Numbers for each dimension of the network's map, as the file has them."""
    return [int(values[place]) for place in order]


def of_network(order: Order, values: Array) -> Array:
    """A constant of the file as the network has it; dimensions that it has not are 1."""
    return values.reshape((1,) * (len(order) - values.ndim) + values.shape).transpose(np.argsort(order))


def channels_last(model: Model, name: str) -> bool:
    """Whether an image's last dimension is its channels: what is done to it leads to a Transpose that says so."""
    names, turned = {name}, False
    for node in model.nodes:
        if not names & set(node.reads) or node.op == "Shape":
            continue
        if node.op in BY_CHANNELS:
            return False
        if node.op == "Transpose":
            if list(node.attributes.get("perm", ())) != [LAST.index(place) for place in FIRST]:
                return False
            turned = True
        else:
            names |= {*node.writes}
    return turned and not names & set(model.outputs)
