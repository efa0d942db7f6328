"""Gated residual networks on a processor: im2col without the rows and columns that the gates mask, then one product.

A map is [pixels, channels], float32. The rows of a convolution's patch matrix are pixels of its output, its columns are
taps of its input's channels. Of a layer behind gates only the rows of active tiles and the columns of active channels
are made, and only active filters are multiplied. Without gates the same code makes all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.block import enlarged
from gatewright.models.families.network import Network
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.residual.network import ResidualNetwork


@dataclass
class Map:
    """``values`` [height * width, channels]."""

    values: Tensor
    height: int
    width: int


class Convolution:
    """A convolution and the batch norm behind it; ``macs`` counts what its products have multiplied."""

    def __init__(self, layer: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = layer.weight * scale[:, None, None, None]
        self.taps = weight.permute(2, 3, 1, 0).flatten(0, 1).contiguous()
        """[taps, input channels, filters]"""
        self.filters = weight.permute(0, 2, 3, 1).flatten(1).contiguous()
        """[filters, taps * input channels]"""
        self.bias = norm.bias - norm.running_mean * scale
        self.kernel, self.stride, self.padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        self.tables: dict[tuple[int, int], Tensor] = {}
        self.macs = 0

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the output of a map."""
        found = ((edge + 2 * self.padding - self.kernel) // self.stride + 1 for edge in (height, width))
        return next(found), next(found)

    def table(self, height: int, width: int) -> Tensor:
        """[output pixels, taps]: the pixels of the padded map that each output pixel reads."""
        if (height, width) not in self.tables:
            padded = width + 2 * self.padding
            rows, columns = self.output_size(height, width)
            first = torch.arange(rows)[:, None] * padded + torch.arange(columns)
            taps = torch.arange(self.kernel)[:, None] * padded + torch.arange(self.kernel)
            self.tables[height, width] = self.stride * first.reshape(-1, 1) + taps.reshape(1, -1)
        return self.tables[height, width]

    def run(
        self, x: Map, rows: Tensor | None = None, inputs: Tensor | None = None, filters: Tensor | None = None
    ) -> Tensor:
        """Output pixels [rows, filters], biases added.

        ``rows`` are the numbers of the output pixels that are wanted, ``filters`` those of the filters, None for all.
        ``inputs`` are the numbers of the channels that x holds, where it does not hold all.
        """
        pad = self.padding
        values = x.values.view(x.height, x.width, -1)
        values = F.pad(values, (0, 0, pad, pad, pad, pad)).flatten(0, 1) if pad else x.values
        table = self.table(x.height, x.width)
        if rows is not None:
            table = table.index_select(0, rows)
        patches = values.index_select(0, table.reshape(-1)).view(len(table), -1)
        bias = self.bias
        if inputs is not None:
            assert filters is None
            weight = self.taps.index_select(1, inputs).flatten(0, 1)
        elif filters is not None:
            weight, bias = self.filters.index_select(0, filters).T, bias.index_select(0, filters)
        else:
            weight = self.taps.flatten(0, 1)
        self.macs += len(patches) * weight.numel()
        return torch.addmm(bias, patches, weight)


class Im2col:
    """A CIFAR or ImageNet ResNet of basic blocks, in evaluation, image by image."""

    def __init__(self, network: Network) -> None:
        if not isinstance(network, ResidualNetwork) or network.gating == "skip":
            raise GatewrightError("im2col is for ResNets of basic blocks, without SkipNet's gates and without exits")
        self.network = network.eval()
        self.stem = Convolution(network.conv1, network.bn1)
        self.blocks = [self._folded(block) for block in network.blocks()]

    @staticmethod
    def _folded(block: nn.Module) -> tuple[BasicBlock, Convolution, Convolution, Convolution | None]:
        if not isinstance(block, BasicBlock) or block.conv1.dilation != (1, 1):
            raise GatewrightError("im2col is for networks of basic blocks without dilation")
        shortcut = None
        if block.downsample is not None:
            layer, norm = block.downsample
            assert isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            shortcut = Convolution(layer, norm)
        return block, Convolution(block.conv1, block.bn1), Convolution(block.conv2, block.bn2), shortcut

    @torch.no_grad()
    def run(self, image: Tensor, gated: bool) -> Tensor:
        """Logits [classes] of a normalised image [3, height, width]; without ``gated`` every gate is on."""
        channels, height, width = image.shape
        x = Map(image.permute(1, 2, 0).reshape(-1, channels).contiguous(), height, width)
        height, width = self.stem.output_size(height, width)
        x = Map(self.stem.run(x).relu_(), height, width)
        pool = getattr(self.network, "maxpool", None)
        if pool is not None:
            pooled = pool(as_images(x))[0]
            x = Map(pooled.permute(1, 2, 0).flatten(0, 1).contiguous(), *pooled.shape[1:])
        for block, first, second, shortcut in self.blocks:
            x = self._block(x, gated, block, first, second, shortcut)
        return self.network.fc(x.values.mean(0))

    @staticmethod
    def _block(
        x: Map, gated: bool, block: BasicBlock, first: Convolution, second: Convolution, shortcut: Convolution | None
    ) -> Map:
        height, width = first.output_size(x.height, x.width)
        rows, channels = _decided(block, x, height, width) if gated else (None, None)
        out = x.values.clone() if shortcut is None else shortcut.run(x)
        if rows is None or len(rows):
            inner = first.run(x, rows, filters=channels).relu_()
            if rows is None:
                out += second.run(Map(inner, height, width), inputs=channels)
            else:
                scattered = torch.zeros(height * width, inner.shape[1]).index_copy_(0, rows, inner)
                out.index_add_(0, rows, second.run(Map(scattered, height, width), rows, inputs=channels))
        return Map(out.relu_(), height, width)

    def macs(self) -> int:
        """What the convolutions have multiplied since they were last asked."""
        every = [self.stem, *(one for _, *those in self.blocks for one in those if isinstance(one, Convolution))]
        total = sum(one.macs for one in every)
        for one in every:
            one.macs = 0
        return total


def as_images(x: Map) -> Tensor:
    """[1, channels, height, width], without a copy: channels last."""
    return x.values.view(1, x.height, x.width, -1).permute(0, 3, 1, 2)


def _decided(block: BasicBlock, x: Map, height: int, width: int) -> tuple[Tensor | None, Tensor | None]:
    """The numbers of the active output pixels, and of the active channels; None where no gate decides."""
    images, rows, channels = as_images(x), None, None
    if block.has_layer:
        rows = None if bool(block.mask_l(images)) else torch.empty(0, dtype=torch.int64)
    elif block.has_tiles:
        mask = enlarged(block.mask_s(images), height, width)
        rows = mask.flatten().nonzero().flatten()
    if block.has_channels:
        channels = block.mask_c(images).flatten().nonzero().flatten()
    return rows, channels
