"""A model of MobileNetV2 on the machine with depthwise convolutions: the figures of docs/every-network.md.

``python benchmarks/depthwise_model.py``. Cycles by the formulas of section 5 of the contract, 16x16, 12 DRAM bytes a
cycle, 300 MHz, without waits between layers. Nothing of it is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of each stage (Sandler et al., table 2)."""

LINES = 16
CLOCK = 300e6
LARGEST_TILE = 31

Slots = Callable[[int, int], float]
"""Of a map's edge and a stride: the cycles for a result of a block of channels."""


def blocks(channels: int) -> int:
    """Blocks of the array."""
    return ceil(channels / LINES)


def pointwise(pixels: int, inputs: int, outputs: int) -> int:
    """The array's cycles of a 1x1 convolution: a remainder of filters stands, or streams past standing pixels."""
    whole, rest = divmod(outputs, LINES)
    streaming = pixels * whole + (ceil(pixels / LINES) * max(4, rest) if rest else 0)
    return blocks(inputs) * min(pixels * blocks(outputs), streaming)


def along_columns(edge: int, stride: int) -> float:
    """As built: every column of a piece of a row once, three pixels of it, and a write; in tiles as large as fit."""
    tile = max(size for size in range(1, LARGEST_TILE + 1) if edge % size == 0)
    return (((tile - 1) * stride + 3) * 3 + tile) / tile


def images_per_second(slots: Slots, preload: int, beside: bool, own_unit: bool = False) -> float:
    """``beside``: in bands, beside the convolutions around it; ``preload``: cycles before each block of channels."""
    stem, last, classifier = 2 * blocks(32) * 112 * 112, pointwise(49, 320, 1280), 1280 * 1000 / 12
    cycles, edge, inputs = stem + last + classifier, 112, 32
    for expansion, outputs, count, first_stride in STAGES:
        for number in range(count):
            stride = 1 if number else first_stride
            hidden, pixels, after = inputs * expansion, edge * edge, (edge // stride) ** 2
            expand = pointwise(pixels, inputs, hidden) if expansion > 1 else 0
            written = pixels * blocks(hidden) if expansion > 1 else 0
            depthwise = after * blocks(hidden) * slots(edge // stride, stride) + preload * blocks(hidden)
            project = pointwise(after, hidden, outputs)
            stored = after * blocks(outputs) * (2 if number else 1)
            if not beside:
                cycles += max(expand, written) + depthwise + max(project, stored)
            elif own_unit:
                cycles += max(expand + project, written + stored, depthwise)
            else:
                cycles += max(expand + project, written + depthwise + stored)
            edge, inputs = edge // stride, outputs
    return CLOCK / cycles


if __name__ == "__main__":
    for title, slots, preload, own in (
        ("DEPTHWISE: three sums a lane, along columns", along_columns, 48, False),
        ("three neighbours a slot, on planes", lambda _, __: 4, 48, False),
        ("one product a lane and slot", lambda _, __: 10, 0, False),
        ("a unit of its own", lambda _, __: 3, 0, True),
    ):
        alone, bands = (images_per_second(slots, preload, beside, own) for beside in (False, True))
        print(f"{title:45} layer by layer {alone:4.0f}, in bands {bands:4.0f} images/s")
    alone = images_per_second(lambda _, __: 9, 0, False)
    print(f"{'on the array, block-diagonal':45} layer by layer {alone:4.0f} images/s")
