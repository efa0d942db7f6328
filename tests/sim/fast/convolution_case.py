"""A random gated convolution, and what it must compute, by plain loops over pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ArchConfig

TILES, FILTERS, CHANNELS, SOURCE = 0, 1, 2, 5
"""The tables of tiles, filters and input channels, and the mask of the input's tiles."""


@dataclass(frozen=True)
class Case:
    """A convolution [height, width, len(channels_on)] -> [out height, out width, filters] on some tiles."""

    arch: ArchConfig
    height: int
    width: int
    channels: int
    filters: int
    kernel: int
    stride: int
    padding: int
    tile: int
    pixels_stand: bool
    by_reduction: bool
    residual: bool
    relu: bool
    pool: bool
    compact: bool
    tiles_on: tuple[int, ...] | None
    filters_on: tuple[int, ...] | None
    channels_on: tuple[int, ...] | None
    source_tile: int
    source_on: tuple[int, ...] | None
    tiles_at_once: int
    pixels_at_once: int
    filters_at_once: int
    slices_at_once: int
    seed: int

    @property
    def out_height(self) -> int:
        return (self.height + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def out_width(self) -> int:
        return (self.width + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def grid(self) -> tuple[int, int]:
        return -(-self.out_height // self.tile), -(-self.out_width // self.tile)

    @property
    def source_grid(self) -> tuple[int, int]:
        return -(-self.height // self.source_tile), -(-self.width // self.source_tile)


def draw(arch: ArchConfig, seed: int) -> Case:
    """A case from a seed: every option drawn, kept where the machine has it."""
    rng = np.random.default_rng(seed)

    def flag(chance: float = 0.5) -> bool:
        return bool(rng.random() < chance)

    def subset(count: int) -> tuple[int, ...]:
        return tuple(np.flatnonzero(rng.random(count) < rng.choice([0.3, 0.7, 1.0])).tolist())

    kernel, tile = int(rng.choice([1, 3])), int(rng.choice([1, 2, 4]))
    height, width = (int(n) for n in rng.integers(kernel, 11, 2))
    channels, filters = int(rng.choice([1, 3, 5, 16, 21])), int(rng.choice([1, 4, 7, 20, 37]))
    pixels_stand = flag()
    source_tile = int(rng.choice([1, 2, 4]))
    case = Case(
        arch=arch,
        height=height,
        width=width,
        channels=channels,
        filters=filters,
        kernel=kernel,
        stride=int(rng.choice([1, 2])),
        padding=int(rng.integers(0, kernel // 2 + 1)),
        tile=tile,
        pixels_stand=pixels_stand,
        by_reduction=flag(),
        residual=not pixels_stand and flag(),
        relu=flag(),
        pool=not pixels_stand and flag(),
        compact=flag(),
        tiles_on=None,
        filters_on=subset(filters) if flag() else None,
        channels_on=None,
        source_tile=source_tile,
        source_on=None,
        tiles_at_once=int(rng.integers(1, 4)),
        pixels_at_once=int(rng.integers(1, 20)),
        filters_at_once=int(rng.integers(1, 41)),
        slices_at_once=int(rng.integers(1, 8)),
        seed=seed,
    )
    changes: dict[str, object] = {}
    if flag():
        changes["tiles_on"] = subset(case.grid[0] * case.grid[1])
    if case.by_reduction and flag():
        changes["channels_on"] = subset(channels)
    if flag():
        changes["source_on"] = subset(case.source_grid[0] * case.source_grid[1])
    if case.filters_on is None:
        changes["compact"] = False
    if case.pool:  # whole tiles only
        changes["pixels_at_once"] = tile * tile * int(rng.integers(1, 4))
    return Case(**{**vars(case), **changes})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Data:
    """Random contents. ``source`` holds only the active input channels; ``weights`` all."""

    source: npt.NDArray[np.int8]
    weights: npt.NDArray[np.int8]
    entries: list[tuple[int, int, int]]
    """Parameters; entry 0 is the pooling's, entry f + 1 filter f's."""
    before: npt.NDArray[np.int8]
    """The output map before: the residual, and what lies outside the active tiles."""
    pooled_before: npt.NDArray[np.int8]


def contents(case: Case) -> Data:
    """Random data for a case, with scales that leave most values inside int8."""
    rng = np.random.default_rng(case.seed + 1_000_000)
    active = case.channels if case.channels_on is None else len(case.channels_on)
    reduction = case.kernel * case.kernel * max(1, active)
    stored = len(case.filters_on or ()) if case.compact else case.filters
    shift = 8 + int(np.log2(reduction) / 2 + 4)
    scales = [
        (int(rng.integers(-5000, 5000)), int(rng.integers(200, 800)), int(rng.integers(shift - 1, shift + 2)))
        for _ in range(case.filters)
    ]
    return Data(
        source=rng.integers(-128, 128, (case.height, case.width, active)).astype(np.int8),
        weights=rng.integers(-128, 128, (case.filters, case.kernel**2, case.channels)).astype(np.int8),
        entries=[(12345, 65536 // case.tile**2 - 1, 16), *scales],
        before=rng.integers(-128, 128, (case.out_height, case.out_width, stored)).astype(np.int8),
        pooled_before=rng.integers(-128, 128, (*case.grid, case.filters)).astype(np.int8),
    )


def round_scale(value: int, multiplier: int, shift: int) -> int:
    """Round half up of value * multiplier / 2**shift, in int16."""
    return max(-32768, min(32767, (2 * value * multiplier + 2**shift) // 2 ** (shift + 1)))


def expected(case: Case, data: Data) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """The output map and the pooled map after the convolution."""
    out, pooled = data.before.astype(int), data.pooled_before.copy()
    channels = list(range(case.channels) if case.channels_on is None else case.channels_on)
    filters = list(range(case.filters) if case.filters_on is None else case.filters_on)
    tiles = range(case.grid[0] * case.grid[1]) if case.tiles_on is None else case.tiles_on
    source, weights = data.source.astype(int), data.weights.astype(int)
    for tile in tiles:
        top, left = tile // case.grid[1] * case.tile, tile % case.grid[1] * case.tile
        inside = [
            (y, x)
            for y in range(top, min(top + case.tile, case.out_height))
            for x in range(left, min(left + case.tile, case.out_width))
        ]
        for y, x in inside:
            total = np.zeros(case.filters, int)
            for tap in range(case.kernel**2):
                sy = y * case.stride + tap // case.kernel - case.padding
                sx = x * case.stride + tap % case.kernel - case.padding
                if not (0 <= sy < case.height and 0 <= sx < case.width):
                    continue
                cell = sy // case.source_tile * case.source_grid[1] + sx // case.source_tile
                if case.source_on is not None and cell not in case.source_on:
                    continue
                total += weights[:, tap][:, channels] @ source[sy, sx]
            for position, one in enumerate(filters):
                bias, multiplier, shift = data.entries[one + 1]
                value = round_scale(int(total[one]) + bias, multiplier, shift)
                value += int(out[y, x, position]) if case.residual else 0
                out[y, x, position] = max(0 if case.relu else -128, min(127, value))
        if case.pool:
            for position in range(len(filters)):
                total_out = sum(int(out[y, x, position]) for y, x in inside)
                average = round_scale(total_out, *data.entries[0][1:])
                pooled[tile // case.grid[1], tile % case.grid[1], position] = max(-128, min(127, average))
    return out.astype(np.int8), pooled
