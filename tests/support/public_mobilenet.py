"""MobileNetV2 of torchvision and of the DGNet release as tensors by name, and its evaluation, without our modules."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.public_layers import (
    State,
    add_channel_gate,
    add_norm,
    add_spatial_gate,
    by_pixel,
    decided_channels,
    decided_tiles,
    norm,
    weights,
)

TABLE = ((1, 16, 1, 1, 16), (6, 24, 2, 2, 8), (6, 32, 3, 2, 4), (6, 64, 4, 2, 2), (6, 96, 3, 1, 2), (6, 160, 3, 2, 2),
         (6, 320, 1, 1, 2))  # fmt: skip
"""Expansion, channels, blocks, stride and tile of each stage: Sandler et al., table 2; DGNet, section 4.1."""


def blocks() -> Iterator[tuple[str, int, int, int, int, int]]:
    """Name, channels in, expanded and out, stride and tile edge of each block."""
    inputs, number = 32, 1
    for expansion, channels, count, stride, tile in TABLE:
        for index in range(count):
            yield f"features.{number}", inputs, expansion * inputs, channels, stride if index == 0 else 1, tile
            inputs, number = channels, number + 1


def random_state(spatial: bool, channel: bool, seed: int, classes: int) -> State:
    """A state_dict under the public names; the ten blocks that add their input have the gates."""
    generator = torch.Generator().manual_seed(seed)
    state: State = {}

    def convolution(name: str, norm_name: str, *shape: int) -> None:
        state[f"{name}.weight"] = weights(generator, *shape) * 2
        add_norm(state, norm_name, shape[0], generator)

    convolution("features.0.0", "features.0.1", 32, 3, 3, 3)
    for name, inputs, hidden, channels, stride, _ in blocks():
        first = 0
        if hidden != inputs:
            convolution(f"{name}.conv.0.0", f"{name}.conv.0.1", hidden, inputs, 1, 1)
            first = 1
        convolution(f"{name}.conv.{first}.0", f"{name}.conv.{first}.1", hidden, 1, 3, 3)
        convolution(f"{name}.conv.{first + 1}", f"{name}.conv.{first + 2}", channels, hidden, 1, 1)
        if stride == 1 and inputs == channels:
            if channel:
                add_channel_gate(state, f"{name}.mask_c", inputs, hidden, generator)
            if spatial:
                add_spatial_gate(state, f"{name}.mask_s", inputs, generator)
    convolution("features.18.0", "features.18.1", 1280, 320, 1, 1)
    state["classifier.1.weight"] = torch.randn(classes, 1280, generator=generator) * 0.1
    state["classifier.1.bias"] = torch.randn(classes, generator=generator) * 0.1
    return state


def evaluate(state: State, x: Tensor) -> tuple[Tensor, list[tuple[Tensor | None, Tensor | None]]]:
    """Logits [N, classes] of x [N, 3, H, H], and each block's masks, tiles by tile."""

    def convolution(name: str, norm_name: str, value: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        return norm(
            state, norm_name, F.conv2d(value, weight, stride=stride, padding=weight.shape[2] // 2, groups=groups)
        )

    masks: list[tuple[Tensor | None, Tensor | None]] = []
    x = convolution("features.0.0", "features.0.1", x, stride=2).clamp(0, 6)
    for name, inputs, hidden, channels, stride, tile in blocks():
        adds, size = stride == 1 and inputs == channels, x.shape[2]
        pixels = active = torch.ones(1)
        decided: list[Tensor | None] = [None, None]
        if f"{name}.mask_s.atten_s.weight" in state:
            decided[0] = decided_tiles(state, f"{name}.mask_s", x, -(-size // tile))
            pixels = by_pixel(decided[0], size)
        if f"{name}.mask_c.atten_c.0.weight" in state:
            active = decided[1] = decided_channels(state, f"{name}.mask_c", x)
        masks.append((decided[0], decided[1]))
        out, first = x, 0
        if hidden != inputs:
            out, first = convolution(f"{name}.conv.0.0", f"{name}.conv.0.1", out).clamp(0, 6) * pixels, 1
        out = convolution(f"{name}.conv.{first}.0", f"{name}.conv.{first}.1", out, stride, hidden).clamp(0, 6)
        out = convolution(f"{name}.conv.{first + 1}", f"{name}.conv.{first + 2}", out * active * pixels) * pixels
        x = x + out if adds else out
    x = convolution("features.18.0", "features.18.1", x).clamp(0, 6)
    return F.linear(x.mean((2, 3)), state["classifier.1.weight"], state["classifier.1.bias"]), masks
