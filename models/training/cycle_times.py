"""A machine's cycles as a differentiable function of what gates decide: for a loss, fitted to the simulator.

A block's time is that of its decision, of two convolutions on the array, and of waits for filters. Two clocks run
through the network: one of the array and one of the DRAM, as the compiler orders them. Behind a block's decision come
the filters of its second convolution, of the channels that are on, and then all of the next block's first one.

What the array spends on a convolution is known, but for a factor near one: its products, or what GATHER and EPILOGUE
take for its pixels where that is more. What is fitted are four numbers for each block (``BlockCycles``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.network import Network
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.gates.kinds import Gating

TAPS = 9
"""Of a block's convolutions, 3x3."""

GATINGS: tuple[Gating, ...] = ("dual", "spatial", "channel", "bas")
"""Those that decide about tiles and channels, in every block."""

Cycles = Annotated[float, Interval(ge=0)]


@dataclass(frozen=True)
class BlockCycles:
    """What is fitted of a block.

    ``decision``: cycles from its begin to its decision, whatever that is. ``factor``: by which the array takes longer
    than its products. ``tile``: cycles for each active tile besides. ``pages``: cycles of the DRAM for instructions and
    parameters.
    """

    decision: Cycles
    factor: Cycles
    tile: Cycles
    pages: Cycles


@dataclass(frozen=True)
class BlockShape:
    """What a block is to the machine: channels in and out, pixels of its output and of a tile; has it a shortcut."""

    in_channels: int
    channels: int
    pixels: int
    tile_pixels: int
    tiles: int
    shortcut: bool


def block_shapes(network: Network) -> list[BlockShape]:
    """The blocks of a CIFAR ResNet with gates; another network is a ``GatewrightError``."""
    if not isinstance(network, ResNetCifar) or network.gating not in GATINGS:
        raise GatewrightError(
            f"cycles are modelled for CIFAR ResNets with gates {', '.join(GATINGS)} and without early exits, not for a "
            f"{type(network).__name__} with gates {network.gating!r}"
        )
    return [_shape(block) for block in network.blocks()]


def _shape(block: BasicBlock) -> BlockShape:
    pixels = block.height * block.width
    tile = block.tile**2 if block.has_tiles else pixels
    shortcut = block.downsample is not None
    return BlockShape(block.in_channels, block.channels, pixels, tile, math.ceil(pixels / tile), shortcut)


def counts(shapes: Sequence[BlockShape], masks: Sequence[BlockMasks], images: int) -> tuple[Tensor, Tensor]:
    """Active tiles and channels, [blocks, images] each, of a batch's decisions; all where there is no gate."""
    tiles, channels = list[Tensor](), list[Tensor]()
    for shape, decided in zip(shapes, masks, strict=True):
        for mask, every, into in ((decided.spatial, shape.tiles, tiles), (decided.channel, shape.channels, channels)):
            into.append(torch.full((images,), float(every)) if mask is None else mask.float().sum((1, 2, 3)))
    device = next((m.device for block in masks for m in (block.spatial, block.channel) if m is not None), None)
    return torch.stack([t.to(device) for t in tiles]), torch.stack([c.to(device) for c in channels])


def block_times(
    arch: ArchConfig, shapes: Sequence[BlockShape], fitted: Tensor, tiles: Tensor, channels: Tensor
) -> Tensor:
    """Cycles that each block adds, [blocks, images], of ``fitted`` [blocks, 4] and counts [blocks, images].

    Differentiable in the last three. Where one resource waits for another only the slower one has a gradient.
    """
    bytes_per_cycle = BEAT_BYTES * arch.dram.beats / arch.dram.per_cycles
    now = torch.zeros_like(tiles[0])  # of the array
    dram = torch.zeros_like(now)
    added = []
    for number, (shape, (decision, factor, per_tile, pages)) in enumerate(zip(shapes, fitted, strict=True)):
        active, on = tiles[number], channels[number]
        some, computed = active.clamp(max=1), active.clamp(max=1) * on.clamp(max=1)
        first, second = _first(arch, shape, active, on) * computed, _second(arch, shape, active, on) * some
        first_filters = float(shape.in_channels * shape.channels * TAPS)
        second_filters = computed * on * shape.channels * TAPS
        following = shapes[number + 1] if number + 1 < len(shapes) else None
        ahead = float(following.in_channels * following.channels * TAPS) if following else 0.0
        begun, decided = now, now + decision
        now = torch.maximum(decided, dram) + factor * first + per_tile * active + _shortcut(arch, shape)
        ready = torch.maximum(dram, decided) + second_filters / bytes_per_cycle
        # What comes next waits until the first convolution's filters may be overwritten, if there is no room for all.
        crowded = first_filters + second_filters.detach() + ahead > arch.weight_kib * 1024
        dram = torch.where(crowded, torch.maximum(ready, now), ready) + ahead / bytes_per_cycle + pages
        now = torch.maximum(now, ready) + factor * second
        added.append(now - begun)
    return torch.stack(added)


def _first(arch: ArchConfig, shape: BlockShape, tiles: Tensor, on: Tensor) -> Tensor:
    """The array's cycles for the first convolution, whose filters a table picks: one load a cycle, 16 for 16 pixels."""
    pixels, slices = tiles * shape.tile_pixels, math.ceil(TAPS * shape.in_channels / arch.rows)
    products = slices * pixels.clamp(min=arch.columns) * on / arch.columns
    gathered = 3 * math.ceil(3 * shape.in_channels / arch.gather_bytes) * pixels
    return torch.maximum(products, gathered)


def _second(arch: ArchConfig, shape: BlockShape, tiles: Tensor, on: Tensor) -> Tensor:
    """The array's cycles for the second one, or GATHER's, or EPILOGUE's with a residual: two for a pixel and block."""
    pixels, blocks = tiles * shape.tile_pixels, shape.channels / arch.columns
    products = TAPS * on / arch.rows * pixels * blocks
    gathered = 3 * _rounded_up(3 * on / arch.gather_bytes) * pixels
    return torch.maximum(torch.maximum(products, gathered), 2 * pixels * blocks)


def _shortcut(arch: ArchConfig, shape: BlockShape) -> float:
    """The array's cycles for the shortcut, which no gate touches."""
    return shape.in_channels / arch.rows * shape.pixels * shape.channels / arch.columns if shape.shortcut else 0.0


def _rounded_up(value: Tensor) -> Tensor:
    """The next whole number, with the gradient of the value itself."""
    return value + (value.ceil() - value).detach()
