"""A model of MobileNetV2 on the machine with depthwise convolutions: the figures of docs/every-network.md.

``python benchmarks/depthwise_model.py``. Cycles by the formulas of section 5 of the contract, 16x16, 12 DRAM bytes a
cycle, 300 MHz, without waits between layers. Nothing of it is measured.
"""

from __future__ import annotations

from math import ceil

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of each stage (Sandler et al., table 2)."""

LINES = 16
CLOCK = 300e6


def blocks(channels: int) -> int:
    """Blocks of the array."""
    return ceil(channels / LINES)


def pointwise(pixels: int, inputs: int, outputs: int) -> int:
    """The array's cycles of a 1x1 convolution: a remainder of filters stands, or streams past standing pixels."""
    whole, rest = divmod(outputs, LINES)
    streaming = pixels * whole + (ceil(pixels / LINES) * max(4, rest) if rest else 0)
    return blocks(inputs) * min(pixels * blocks(outputs), streaming)


def images_per_second(slots: float, preload: int, beside: bool, own_unit: bool = False) -> float:
    """``slots`` for each pixel and block of channels; ``beside``: in bands, beside the convolutions around it."""
    stem, last, classifier = 2 * blocks(32) * 112 * 112, pointwise(49, 320, 1280), 1280 * 1000 / 12
    cycles, edge, inputs = stem + last + classifier, 112, 32
    for expansion, outputs, count, first_stride in STAGES:
        for number in range(count):
            stride = 1 if number else first_stride
            hidden, pixels, after = inputs * expansion, edge * edge, (edge // stride) ** 2
            expand = pointwise(pixels, inputs, hidden) if expansion > 1 else 0
            written = pixels * blocks(hidden) if expansion > 1 else 0
            depthwise = after * blocks(hidden) * slots + preload * blocks(hidden)
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
        ("DEPTHWISE, three products a lane and slot", 4, 48, False),
        ("one product a lane and slot", 10, 0, False),
        ("a unit of its own", 3, 0, True),
    ):
        alone, bands = (images_per_second(slots, preload, beside, own) for beside in (False, True))
        print(f"{title:45} layer by layer {alone:4.0f}, in bands {bands:4.0f} images/s")
    print(f"{'on the array, block-diagonal':45} layer by layer {images_per_second(9, 0, False):4.0f} images/s")
