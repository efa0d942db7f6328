"""Torchvision's DenseNets as tensors by name, and their evaluation, without our modules."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.public_layers import State, add_norm, max_pool, norm, weights


def random_state(layers: Sequence[int], seed: int, classes: int) -> State:
    """A state_dict under the public names: 64 channels in front, 32 more by each layer."""
    generator = torch.Generator().manual_seed(seed)
    state = {"features.conv0.weight": weights(generator, 64, 3, 7, 7)}
    add_norm(state, "features.norm0", 64, generator)
    channels = 64
    for block, count in enumerate(layers, start=1):
        for layer in range(1, count + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            add_norm(state, f"{name}.norm1", channels, generator)
            state[f"{name}.conv1.weight"] = weights(generator, 128, channels, 1, 1)
            add_norm(state, f"{name}.norm2", 128, generator)
            state[f"{name}.conv2.weight"] = weights(generator, 32, 128, 3, 3)
            channels += 32
        if block < len(layers):
            add_norm(state, f"features.transition{block}.norm", channels, generator)
            state[f"features.transition{block}.conv.weight"] = weights(generator, channels // 2, channels, 1, 1)
            channels //= 2
    add_norm(state, "features.norm5", channels, generator)
    state["classifier.weight"] = torch.randn(classes, channels, generator=generator) * 0.1
    state["classifier.bias"] = torch.randn(classes, generator=generator) * 0.1
    return state


def evaluate(state: State, layers: Sequence[int], x: Tensor) -> Tensor:
    """Logits [N, classes] of x [N, 3, H, H]."""

    def behind(name: str, value: Tensor) -> Tensor:
        return F.relu(norm(state, name, value))

    x = max_pool(behind("features.norm0", F.conv2d(x, state["features.conv0.weight"], stride=2, padding=3)))
    for block, count in enumerate(layers, start=1):
        for layer in range(1, count + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            inner = F.conv2d(behind(f"{name}.norm1", x), state[f"{name}.conv1.weight"])
            added = F.conv2d(behind(f"{name}.norm2", inner), state[f"{name}.conv2.weight"], padding=1)
            x = torch.cat((x, added), 1)
        if block < len(layers):
            name = f"features.transition{block}"
            x = F.conv2d(behind(f"{name}.norm", x), state[f"{name}.conv.weight"])
            x = x.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    return F.linear(behind("features.norm5", x).mean((2, 3)), state["classifier.weight"], state["classifier.bias"])
