"""Room on chip for rings of maps that lie in DRAM: how much there is at least, and how much for one sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gatewright.compiler.graph.graph import QuantisedLayer, TensorShape
from gatewright.compiler.plan.placement import SLACK_BYTES
from gatewright.contract.arch import BEAT_BYTES

Neighbour = tuple[tuple[str, ...], int, int]
"""Names, address and bytes, with the slack, of what lives beside a room."""


@dataclass(frozen=True)
class DramMap:
    """A map in DRAM: ``size`` bytes from ``dram``."""

    dram: int
    size: int


@dataclass(frozen=True)
class RoomWish:
    """Room for the rings of layers that take turns: as much as there is, ``size`` at most and ``least`` at least."""

    name: str
    layers: tuple[QuantisedLayer, ...]
    least: int
    size: int
    below: str | None = None


def room_of(
    room: tuple[int, int],
    beside: Sequence[Neighbour],
    shapes: Mapping[str, TensorShape],
    channels: Callable[[str], int],
    size: int,
) -> tuple[int, int]:
    """Address and bytes of a room for one sample: the largest gap beside maps of so many channels as are stored.

    ``room`` is what there is in any case, ``beside`` what lives with it in the order of addresses, ``size`` that of the
    scratchpad.
    """
    best, low = (room[1], room[0]), SLACK_BYTES
    for names, begin, span in beside:
        best = max(best, (begin - low - SLACK_BYTES, low))
        shape = shapes.get(names[0])
        if shape is not None and len(names) == 1:
            span -= shape.height * shape.width * (shape.channels - channels(names[0])) // BEAT_BYTES * BEAT_BYTES
        low = max(low, begin + span)
    most, address = max(best, (size - low, low))
    return address, most // BEAT_BYTES * BEAT_BYTES
