"""Layers and gates of public networks as tensors by name, and their evaluation, without our modules."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]


def weights(generator: torch.Generator, *shape: int) -> Tensor:
    """A convolution's weights, of a deviation that keeps the size of what passes through it."""
    return torch.randn(*shape, generator=generator) / (shape[1] * shape[2] * shape[3]) ** 0.5


def add_norm(state: State, name: str, channels: int, generator: torch.Generator) -> None:
    """A batch norm's tensors."""
    state[f"{name}.weight"] = torch.rand(channels, generator=generator) + 0.5
    state[f"{name}.bias"] = torch.randn(channels, generator=generator) * 0.1
    state[f"{name}.running_mean"] = torch.randn(channels, generator=generator) * 0.1
    state[f"{name}.running_var"] = torch.rand(channels, generator=generator) + 0.5
    state[f"{name}.num_batches_tracked"] = torch.tensor(7)


def add_spatial_gate(state: State, name: str, inputs: int, generator: torch.Generator) -> None:
    """A gate ``mask_s``. Without the mean over its taps its decisions follow the picture, not the channels' levels."""
    kernel = weights(generator, 1, inputs, 3, 3)
    state[f"{name}.atten_s.weight"] = kernel - kernel.mean((2, 3), keepdim=True)
    state[f"{name}.atten_s.bias"] = torch.randn(1, generator=generator) * 0.02


def add_channel_gate(
    state: State, name: str, inputs: int, outputs: int, generator: torch.Generator, hidden: int = 0
) -> None:
    """A gate ``mask_c``, with so many neurons between its layers, or a quarter of the inputs."""
    hidden = hidden or inputs // 4
    state[f"{name}.atten_c.0.weight"] = weights(generator, hidden, inputs, 1, 1)
    add_norm(state, f"{name}.atten_c.1", hidden, generator)
    state[f"{name}.atten_c.3.weight"] = weights(generator, outputs, hidden, 1, 1)
    state[f"{name}.atten_c.3.bias"] = torch.randn(outputs, generator=generator) * 0.1


def norm(state: State, name: str, x: Tensor) -> Tensor:
    """A batch norm in evaluation."""
    keys = ("running_mean", "running_var", "weight", "bias")
    mean, variance, weight, bias = (state[f"{name}.{key}"].view(1, -1, 1, 1) for key in keys)
    return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias


def max_pool(x: Tensor) -> Tensor:
    """3x3, stride 2, padding 1, of a map without negative numbers: a padded 0 is no maximum there."""
    return F.pad(x, (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2).amax((4, 5))


def decided_tiles(state: State, name: str, x: Tensor, edge: int) -> Tensor:
    """A spatial gate's mask [N, 1, edge, edge]: bins from floor(i * size / edge) up to ceil((i + 1) * size / edge)."""
    size = x.shape[2]
    bins = [slice(i * size // edge, -(-(i + 1) * size // edge)) for i in range(edge)]
    cells = torch.stack([torch.stack([x[:, :, r, c].mean((2, 3)) for c in bins], 2) for r in bins], 2)
    logits = F.conv2d(cells, state[f"{name}.atten_s.weight"], state[f"{name}.atten_s.bias"], padding=1)
    return (logits >= 0).float()


def decided_channels(state: State, name: str, x: Tensor) -> Tensor:
    """A channel gate's mask [N, C, 1, 1]."""
    hidden = F.conv2d(x.mean((2, 3), keepdim=True), state[f"{name}.atten_c.0.weight"])
    hidden = F.relu(norm(state, f"{name}.atten_c.1", hidden))
    logits = F.conv2d(hidden, state[f"{name}.atten_c.3.weight"], state[f"{name}.atten_c.3.bias"])
    return (logits >= 0).float()


def by_pixel(mask: Tensor, size: int) -> Tensor:
    """A spatial mask [N, 1, edge, edge] for a map's pixels: row and column y belong to tile y * edge // size."""
    tile = [y * mask.shape[2] // size for y in range(size)]
    return mask[:, :, tile][:, :, :, tile]
