"""Layers of a chain side by side: while EPILOGUE computes a depthwise convolution the array makes others' rows.

A depthwise convolution is a step behind what it reads, and what reads it a step behind the depthwise one. What is made
in one *phase* depends on nothing that is made in it, but for layers of the array, which keep their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum


class Order(Enum):
    """In what order a chain's layers make their rows."""

    IN_TURN = "in turn"
    """One after the other."""
    IN_PHASES = "in phases"
    """Depthwise convolutions beside the layers in front of those that read them: hardly a map is kept for longer."""
    SIDE_BY_SIDE = "side by side"
    """All layers at once: each map beside EPILOGUE's layers is kept for a step more."""
    BY_CHANNELS = "by channels"
    """All layers at once, a block of channels of the maps between them at a time; all maps are whole."""


@dataclass(frozen=True)
class Place:
    """A layer's place in the rounds of its chain: ``lag`` rounds behind the first one, in a ``phase`` of each."""

    lag: int
    phase: int


def places(in_epilogue: Sequence[bool], order: Order) -> tuple[Place, ...]:
    """The place of each layer of a chain, of which EPILOGUE computes some."""
    found, lag, phase = [], 0, 0
    for number, depthwise in enumerate(in_epilogue):
        follows = number > 0 and in_epilogue[number - 1]
        if order == Order.SIDE_BY_SIDE:
            lag += depthwise or follows
        elif order == Order.IN_PHASES and depthwise:
            lag, phase = lag + 1, lag
        elif order == Order.IN_PHASES:
            phase = min(phase + (lag > 0), lag + 1)
        found.append(Place(lag, phase))
    return tuple(found)


def rounds(where: Sequence[Place], steps: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """The phases of all rounds: (layer's number, number of its step) of what is made in each; none is empty."""
    phases = range(1 + max(place.phase for place in where))
    for number in range(steps + max(place.lag for place in where)):
        for phase in phases:
            made = [
                (layer, number - place.lag)
                for layer, place in enumerate(where)
                if place.phase == phase and 0 <= number - place.lag < steps
            ]
            if made:
                yield tuple(made)
