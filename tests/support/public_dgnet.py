"""The public DGNet release's networks as tensors by name, and their evaluation, without our modules.

The oracle of the checkpoint and network tests: names and shapes are written out, and the forward
pass uses ``torch.nn.functional`` on the named tensors only. Without gates the ImageNet networks are torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.public_layers import add_channel_gate, add_norm, add_spatial_gate, max_pool, norm, weights


@dataclass(frozen=True)
class Layout:
    """A family: the stem's kernel and stride, whether a max pool follows, and for each stage channels in and out,
    stride and tile edge."""

    kernel: int
    stride: int
    pool: bool
    stages: tuple[tuple[int, int, int, int], ...]


CIFAR = Layout(3, 1, False, ((16, 16, 1, 4), (16, 32, 2, 2), (32, 64, 2, 2)))
IMAGENET = Layout(7, 2, True, ((64, 64, 1, 8), (64, 128, 2, 4), (128, 256, 2, 2), (256, 512, 2, 1)))


def random_state(
    blocks: int | Sequence[int],
    spatial: bool,
    channel: bool,
    seed: int,
    classes: int = 10,
    gate_bias: bool = True,
    layout: Layout = CIFAR,
) -> dict[str, Tensor]:
    """A state_dict with ``blocks`` blocks a stage, under the release's names; gates with a bias or without."""
    generator = torch.Generator().manual_seed(seed)

    first, last = layout.stages[0][0], layout.stages[-1][1]
    state = {"conv1.weight": weights(generator, first, 3, layout.kernel, layout.kernel)}
    add_norm(state, "bn1", first, generator)
    for stage, (entry, channels, _, _) in enumerate(layout.stages, start=1):
        for index in range(_count(blocks, stage)):
            inputs = entry if index == 0 else channels
            name = f"layer{stage}.{index}"
            if spatial:
                add_spatial_gate(state, f"{name}.mask_s", inputs, generator)
            if channel:
                add_channel_gate(state, f"{name}.mask_c", inputs, channels, generator)
            state[f"{name}.conv1.weight"] = weights(generator, channels, inputs, 3, 3)
            add_norm(state, f"{name}.bn1", channels, generator)
            state[f"{name}.conv2.weight"] = weights(generator, channels, channels, 3, 3)
            add_norm(state, f"{name}.bn2", channels, generator)
            if inputs != channels:
                state[f"{name}.downsample.0.weight"] = weights(generator, channels, inputs, 1, 1)
                add_norm(state, f"{name}.downsample.1", channels, generator)
    if not gate_bias:
        for name in [name for name in state if name.endswith(("atten_s.bias", "atten_c.3.bias"))]:
            del state[name]
    state["fc.weight"] = torch.randn(classes, last, generator=generator) * 0.1
    state["fc.bias"] = torch.randn(classes, generator=generator) * 0.1
    return state


def _count(blocks: int | Sequence[int], stage: int) -> int:
    return blocks if isinstance(blocks, int) else blocks[stage - 1]


def evaluate(
    state: dict[str, Tensor], blocks: int | Sequence[int], x: Tensor, layout: Layout = CIFAR
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Logits [N, classes] of x [N, 3, H, W], and per block the masks [N, 1, H', W'] (pixels) and [N, C, 1, 1].

    Every map is whole tiles.
    """

    masks = []
    x = F.conv2d(x, state["conv1.weight"], stride=layout.stride, padding=layout.kernel // 2)
    x = F.relu(norm(state, "bn1", x))
    if layout.pool:
        x = max_pool(x)
    for stage, (_, channels, first_stride, tile) in enumerate(layout.stages, start=1):
        for index in range(_count(blocks, stage)):
            name, stride = f"layer{stage}.{index}", first_stride if index == 0 else 1
            edge = x.shape[2] // stride
            pixels, active = torch.ones(len(x), 1, edge, edge), torch.ones(len(x), channels, 1, 1)
            if f"{name}.mask_s.atten_s.weight" in state:
                cells = F.avg_pool2d(x, x.shape[2] * tile // edge)
                logits = F.conv2d(
                    cells, state[f"{name}.mask_s.atten_s.weight"], state.get(f"{name}.mask_s.atten_s.bias"), padding=1
                )
                on = (logits >= 0).float()
                pixels = on.repeat_interleave(tile, 2).repeat_interleave(tile, 3)
            if f"{name}.mask_c.atten_c.0.weight" in state:
                gate = f"{name}.mask_c.atten_c"
                hidden = F.conv2d(x.mean((2, 3), keepdim=True), state[f"{gate}.0.weight"])
                hidden = F.relu(norm(state, f"{gate}.1", hidden))
                active = (F.conv2d(hidden, state[f"{gate}.3.weight"], state.get(f"{gate}.3.bias")) >= 0).float()
            out = F.relu(
                norm(state, f"{name}.bn1", F.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1))
            )
            out = norm(state, f"{name}.bn2", F.conv2d(out * active * pixels, state[f"{name}.conv2.weight"], padding=1))
            shortcut = x
            if f"{name}.downsample.0.weight" in state:
                shortcut = F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
                shortcut = norm(state, f"{name}.downsample.1", shortcut)
            x = F.relu(out * pixels + shortcut)
            masks.append((pixels, active))
    return F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"]), masks
