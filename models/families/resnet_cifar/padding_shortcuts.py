"""Static CIFAR ResNets of github.com/akamaster/pytorch_resnet_cifar10 as tensors of ``ResNetCifar``.

They differ in three things, all of which fit into our layers:

* the shortcut of a block that halves the map takes every second pixel and pads channels with zeros on both sides
  (option A of He et al. 2016, section 3.3): a 1x1 convolution with a shifted identity and an empty batch norm;
* the images were normalised with ImageNet's constants: a factor of the stem's weights, a shift of its batch norm's
  mean (not exact at the image's border, where zeros are padded behind the normalisation);
* the classifier is called ``linear``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.datasets.imagenet import IMAGENET_MEAN, IMAGENET_STD
from gatewright.models.families.resnet_cifar.network import STAGES

BATCH_NORM_EPSILON = 1e-5


def from_padding_shortcuts(state: dict[str, Tensor], what: str = "the state dict") -> dict[str, Tensor]:
    """A state dict whose classifier is ``linear`` and which has no ``downsample``, for ``ResNetCifar``.

    Tensors that this needs and that are missing or of another shape are a ``GatewrightError`` about ``what``.
    """
    made = {name.replace("linear.", "fc."): tensor for name, tensor in state.items()}
    widths = [channels for channels, _, _ in STAGES]
    needed = {"conv1.weight": (widths[0], 3, 3, 3), "bn1.running_mean": (widths[0],)}
    needed |= {f"layer{n}.0.conv1.weight": (widths[n - 1], widths[n - 2], 3, 3) for n in range(2, len(STAGES) + 1)}
    for name, shape in needed.items():
        found = tuple(made[name].shape) if name in made else None
        if found != shape:
            raise GatewrightError(f"{what}: {name} has shape {found}, not {shape}; it holds no CIFAR ResNet")
    for stage in ("layer2", "layer3"):
        out_channels, in_channels = made[f"{stage}.0.conv1.weight"].shape[:2]
        first = (out_channels - in_channels) // 2
        identity = torch.zeros(out_channels, in_channels, 1, 1)
        identity[first : first + in_channels, :, 0, 0] = torch.eye(in_channels)
        made |= {f"{stage}.0.downsample.0.weight": identity} | {
            f"{stage}.0.downsample.1.{name}": tensor for name, tensor in _no_batch_norm(out_channels).items()
        }
    theirs, ours = torch.tensor(IMAGENET_STD), torch.tensor(CIFAR10.std)
    shift = (torch.tensor(CIFAR10.mean) - torch.tensor(IMAGENET_MEAN)) / theirs
    stem = made["conv1.weight"]
    made["bn1.running_mean"] = made["bn1.running_mean"] - (stem * shift.view(1, 3, 1, 1)).sum((1, 2, 3))
    made["conv1.weight"] = stem * (ours / theirs).view(1, 3, 1, 1)
    return made


def _no_batch_norm(channels: int) -> dict[str, Tensor]:
    return {
        "weight": torch.ones(channels),
        "bias": torch.zeros(channels),
        "running_mean": torch.zeros(channels),
        "running_var": torch.full((channels,), 1 - BATCH_NORM_EPSILON),
        "num_batches_tracked": torch.tensor(0),
    }
