"""Plain numpy oracles of layers, from section 6 of the machine's page; they share no code with the simulators."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.verify.kit.generate.builder import Filters
from gatewright.verify.kit.generate.layers import Layer

Int8 = npt.NDArray[np.int8]


def conv_sums(source: Int8, weights: Int8, stride: int, padding: int, dilation: int = 1) -> npt.NDArray[np.int64]:
    """[y, x, filter] int64 sums of a convolution; ``weights`` are [filter, kh, kw, channel]."""
    filters, kernel_height, kernel_width, _ = weights.shape
    padded = np.pad(source.astype(np.int64), ((padding, padding), (padding, padding), (0, 0)))
    height = (padded.shape[0] - (kernel_height - 1) * dilation - 1) // stride + 1
    width = (padded.shape[1] - (kernel_width - 1) * dilation - 1) // stride + 1
    sums = np.zeros((height, width, filters), np.int64)
    for dy in range(kernel_height):
        for dx in range(kernel_width):
            top, left = dy * dilation, dx * dilation
            rows, columns = (np.s_[at : at + stride * (n - 1) + 1 : stride] for at, n in ((top, height), (left, width)))
            window = padded[rows, columns]
            sums += window @ weights[:, dy, dx].astype(np.int64).T
    return sums


def scale(value: int, multiplier: int, shift: int) -> int:
    """Round half up and saturate to int16, in Python integers."""
    return max(-32768, min(32767, (value * multiplier + (1 << (shift - 1))) >> shift))


def finish(
    sums: npt.NDArray[np.int64], entries: list[tuple[int, int, int]], relu: bool, residual: Int8 | None = None
) -> Int8:
    """Sums [..., filter] to int8 with the parameters (bias, multiplier, shift) of each filter."""
    out = np.zeros(sums.shape, np.int8)
    for at in np.ndindex(*sums.shape):
        bias, multiplier, shift = entries[at[-1]]
        value = scale(int(sums[at]) + bias, multiplier, shift) + (0 if residual is None else int(residual[at]))
        out[at] = max(0 if relu else -128, min(127, value))
    return out


def random_parameters(rng: np.random.Generator, count: int, reduction: int) -> list[tuple[int, int, int]]:
    """(bias, multiplier, shift) that spread results over int8, with some saturation; one bias in 16 is extreme."""
    shift = 16 + int(np.log2(max(1, reduction)) / 2) + 5
    return [
        (_bias(int(rng.integers(-3000, 3000))), int(rng.integers(20000, 65536)), shift + int(rng.integers(-1, 2)))
        for _ in range(count)
    ]


def _bias(drawn: int) -> int:
    """A bias within 3,000 of 0, or of an end of int32: with the sum it is then beyond int32, or not, by little."""
    if drawn % 16:
        return drawn
    return drawn + (2**31 - 3000 if drawn >= 0 else 3000 - 2**31)


def raw_logits(sums: npt.NDArray[np.int64], entries: list[tuple[int, int, int]]) -> npt.NDArray[np.int64]:
    """What REDUCE_RAW makes of sums [filter]: the low 32 bits of each with its bias."""
    return (sums + np.array([bias for bias, _, _ in entries], np.int64)).astype(np.int32).astype(np.int64)


def _repeated(coarse: Int8, shift: int) -> Int8:
    """A map whose pixels stand for 2**shift in both directions, pixel by pixel."""
    rows, columns = (np.arange(size << shift) >> shift for size in coarse.shape[:2])
    return coarse[rows][:, columns]


def conv_values(source: Int8, filters: Filters, layer: Layer, before: Int8) -> Int8:
    """The output map after ``emit_conv``, from the output map before it."""
    seen = source[..., : layer.some_channels]
    sums = conv_sums(seen, filters.weights, layer.stride, layer.padding, layer.dilation)
    listed = layer.filter_list if layer.filter_list is not None else list(range(len(filters.weights)))
    entries = [filters.entries[1 + f] for f in listed]
    height, width, _ = before.shape
    added = before if layer.elsewhere is None else _repeated(layer.elsewhere.values, layer.upsample)[:height, :width]
    residual = added[..., : len(listed)] if layer.residual else None
    full = finish(sums[..., listed], entries, layer.relu, residual)
    after = before.copy()
    grid = [(y, x) for y in range(-(-height // layer.tile)) for x in range(-(-width // layer.tile))]
    for tile_y, tile_x in grid if layer.tiles is None else layer.tiles:
        where = np.s_[tile_y * layer.tile : (tile_y + 1) * layer.tile, tile_x * layer.tile : (tile_x + 1) * layer.tile]
        after[where][..., : len(listed)] = full[where]
    return after


def pool_values(after: Int8, filters: Filters, layer: Layer) -> dict[tuple[int, int], Int8]:
    """The averages that a pooled layer writes, [channel] for each of its tiles."""
    height, width, _ = after.shape
    grid = [(y, x) for y in range(-(-height // layer.tile)) for x in range(-(-width // layer.tile))]
    _, multiplier, shift = filters.entries[0]
    averages = {}
    for tile_y, tile_x in grid if layer.tiles is None else layer.tiles:
        where = np.s_[tile_y * layer.tile : (tile_y + 1) * layer.tile, tile_x * layer.tile : (tile_x + 1) * layer.tile]
        sums = after[where].reshape(-1, after.shape[2]).astype(np.int64).sum(axis=0)
        averages[tile_y, tile_x] = np.array(
            [max(-128, min(127, scale(int(s), multiplier, shift))) for s in sums], np.int8
        )
    return averages
