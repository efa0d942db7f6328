"""Blocks of channels of a depthwise convolution that the array computes, where EPILOGUE is what a chain waits for.

A block reads one slice of the reduction for each place of the kernel, the one with its channels: GATHER forms these
alone, and a MATMUL for each adds to what the accumulators hold. Of the filters, too, only these slices lie in the
weight buffer. A vector's bank there depends on the number of its slice in the whole reduction, so that they lie as far
apart as that number's remainder demands.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.contract.arch import OPERAND_BANKS, ArchConfig

Share = Mapping[str, int]
"""By depthwise convolution the channels, its last ones, that the array computes."""

SHARE = 7
"""Their filters take one in so many words of the weight buffer at most."""

MOST_BLOCKS = 3
"""Blocks on the array: GATHER moves so many slices in a cycle."""


def most_blocks(layer: QuantisedConv, arch: ArchConfig) -> int:
    """Blocks of a layer's channels that the array may compute; whole slices, and not all of them."""
    channels = len(layer.weight)
    if channels % arch.rows or arch.rows != arch.columns or layer.gates:
        return 0
    room = arch.weight_words // SHARE // (stored_slices(layer, arch) * arch.columns)
    return min(MOST_BLOCKS, channels // arch.columns - 1, room)


def slice_of(layer: QuantisedConv, tap: int, block: int, arch: ArchConfig) -> int:
    """The slice of the reduction with the channels of a block, for a place of the kernel."""
    return tap * (len(layer.weight) // arch.rows) + block


def stored_slice(layer: QuantisedConv, tap: int, block: int, arch: ArchConfig) -> int:
    """Where it lies among a filter's slices: the remainder by the operand banks is the same."""
    step = len(layer.weight) // arch.rows % OPERAND_BANKS or OPERAND_BANKS
    return tap * step + block % OPERAND_BANKS


def stored_slices(layer: QuantisedConv, arch: ArchConfig) -> int:
    """Slices of a filter that are stored, with those between."""
    return stored_slice(layer, layer.weight[0].size - 1, OPERAND_BANKS - 1, arch) + 1


def share_weights(layer: QuantisedConv, count: int, arch: ArchConfig) -> npt.NDArray[np.int8]:
    """The filters of the last ``count`` channels [count, slices * rows]."""
    channels = len(layer.weight)
    flat = np.zeros((count, stored_slices(layer, arch), arch.rows), np.int8)
    for number, channel in enumerate(range(channels - count, channels)):
        block, lane = divmod(channel, arch.columns)
        for tap, weight in enumerate(layer.weight[channel, ..., 0].reshape(-1)):
            flat[number, stored_slice(layer, tap, block, arch), lane] = weight
    return flat.reshape(count, -1)
