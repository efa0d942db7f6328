"""ResNets of bottleneck blocks of torchvision and of the DGNet release as tensors by name, and their evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    max_pool,
    norm,
    weights,
)

WIDTHS = (64, 128, 256, 512)
TILES = (8, 4, 2, 1)


def blocks_of(counts: Sequence[int]) -> Iterator[tuple[str, int, int, int, int]]:
    """Name, channels in, channels of the 3x3 convolution, stride and tile edge of each block."""
    inputs = 64
    for stage, count in enumerate(counts):
        for index in range(count):
            stride = 2 if stage and not index else 1
            yield f"layer{stage + 1}.{index}", inputs, WIDTHS[stage], stride, TILES[stage]
            inputs = 4 * WIDTHS[stage]


def random_state(counts: Sequence[int], spatial: bool, channel: bool, seed: int, classes: int) -> State:
    """A state_dict under the public names."""
    generator = torch.Generator().manual_seed(seed)
    state = {"conv1.weight": weights(generator, 64, 3, 7, 7)}
    add_norm(state, "bn1", 64, generator)
    for name, inputs, width, stride, _ in blocks_of(counts):
        if spatial:
            add_spatial_gate(state, f"{name}.mask_s", inputs, generator)
        if channel:
            add_channel_gate(state, f"{name}.mask_c1", inputs, width, generator)
            add_channel_gate(state, f"{name}.mask_c2", width, width, generator)
        shapes = ((width, inputs, 1), (width, width, 3), (4 * width, width, 1))
        for number, (outputs, channels, kernel) in enumerate(shapes, start=1):
            state[f"{name}.conv{number}.weight"] = weights(generator, outputs, channels, kernel, kernel)
            add_norm(state, f"{name}.bn{number}", outputs, generator)
        if stride == 2 or inputs != 4 * width:
            state[f"{name}.downsample.0.weight"] = weights(generator, 4 * width, inputs, 1, 1)
            add_norm(state, f"{name}.downsample.1", 4 * width, generator)
    state["fc.weight"] = torch.randn(classes, 2048, generator=generator) * 0.1
    state["fc.bias"] = torch.randn(classes, generator=generator) * 0.1
    return state


def evaluate(state: State, counts: Sequence[int], x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits [N, classes] of x [N, 3, H, H], and the masks of all gates as they decide, tiles by tile."""
    masks: list[Tensor] = []
    x = max_pool(F.relu(norm(state, "bn1", F.conv2d(x, state["conv1.weight"], stride=2, padding=3))))
    for name, _, _, stride, tile in blocks_of(counts):
        size = x.shape[2] // stride
        wide = fine = first = second = torch.ones(1)
        if f"{name}.mask_s.atten_s.weight" in state:
            decided = decided_tiles(state, f"{name}.mask_s", x, size // tile)
            masks.append(decided)
            wide, fine = by_pixel(decided, x.shape[2]), by_pixel(decided, size)
        if f"{name}.mask_c1.atten_c.0.weight" in state:
            first = decided_channels(state, f"{name}.mask_c1", x)
            masks.append(first)
        out = F.relu(norm(state, f"{name}.bn1", F.conv2d(x, state[f"{name}.conv1.weight"]))) * first * wide
        if f"{name}.mask_c2.atten_c.0.weight" in state:
            second = decided_channels(state, f"{name}.mask_c2", out)
            masks.append(second)
        out = F.conv2d(out, state[f"{name}.conv2.weight"], stride=stride, padding=1)
        out = F.relu(norm(state, f"{name}.bn2", out)) * second * fine
        out = norm(state, f"{name}.bn3", F.conv2d(out, state[f"{name}.conv3.weight"])) * fine
        if f"{name}.downsample.0.weight" in state:
            x = norm(state, f"{name}.downsample.1", F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride))
        x = F.relu(out + x)
    return F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"]), masks
