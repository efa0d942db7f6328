"""A convolution of groups: plane by plane of its source, each by the filters that read the plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.matrix import GATHER_AHEAD, Product, store
from gatewright.compiler.emit.operands import Patches, gather, multiply
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.planes import Plane, PlaneWidths
from gatewright.compiler.plan.tiling import even_chunks, whole_part


@dataclass(frozen=True)
class _Step:
    """A chunk of tiles of a plane, by its filters."""

    plane: Plane
    group: int
    first_filter: int
    filters: int
    first: int
    count: int
    ends: bool
    """It is the last of its plane."""


def convolve_grouped(context: Context, loader: FilterLoader, product: Product, widths: PlaneWidths) -> Iterator[None]:
    """A convolution over a tile set, as ``matrix.convolve``; with a channel gate by the active filters of a plane."""
    name, tiles, arch = product.name, product.tiles, context.arch
    taps, bank = product.kernel.taps, context.image.banks[name]
    steps = _steps(context, product, widths)
    gathered: list[Patches] = []
    done = 0
    loader.load_until(loader.turn[name] + 3)
    for number, step in enumerate(steps):
        context.out.layer = name
        for ahead in steps[len(gathered) : number + 1 + GATHER_AHEAD]:
            source = product.source.plane(ahead.plane)
            words = slices_of(taps * source.channels, arch) * padded_vectors(ahead.count * tiles.area)
            if len(gathered) > number and not context.may_gather_ahead(words):
                break
            width, chunk = product.output.width, (ahead.first, ahead.count)
            gathered.append(gather(context, source, width, tiles, *chunk, product.kernel))
        while bank.picked and done < step.group:
            loader.skip(name, done, product.serial)
            done += 1
        _multiply(context, loader, product, step, gathered[number])
        if step.ends:
            loader.used(name, step.group, product.serial)
            done = step.group + 1
        yield
    while bank.picked and done < bank.groups(bank.filters):
        loader.skip(name, done, product.serial)
        done += 1


def _steps(context: Context, product: Product, widths: PlaneWidths) -> list[_Step]:
    """Plane by plane, chunk by chunk."""
    tiles, arch = product.tiles, context.arch
    slices = slices_of(product.kernel.taps * widths.channels, arch)
    blocks = -(-widths.filters // arch.columns)
    chunks = even_chunks(tiles, arch, slices, arch.accumulator_depth // blocks)
    steps = []
    gate = product.output.channel_gate
    filters = np.arange(product.output.channels) if gate is None else gate.entries
    for group, plane in enumerate(product.source.planes):
        bounds = group * widths.filters, (group + 1) * widths.filters
        first, end = np.searchsorted(filters, bounds).tolist()
        if first < end:
            steps += [_Step(plane, group, first, end - first, *chunk, chunk is chunks[-1]) for chunk in chunks]
    return steps


def _multiply(context: Context, loader: FilterLoader, product: Product, step: _Step, patches: Patches) -> None:
    """A step's MATMUL and its EPILOGUE."""
    tiles, name, group = product.tiles, product.name, step.group
    picked, source = product.output.channel_gate is not None, product.source.plane(step.plane)
    part = whole_part(step.count * tiles.pixels, step.filters, context.arch, product.filters_stand, picked)
    sizes = {
        "tile": tiles.tile,
        "first_tile": tiles.start + step.first,
        "tile_count": step.count,
        **product.tables,
        "first_pixel": tiles.first_pixel,
        "pixel_count": part.pixels,
        "first_filter": step.first_filter,
        "filter_count": part.filters,
        "stationary": int(part.stationary),
    }
    context.next_bank()
    multiply(context, loader, name, source, product.kernel.taps, patches, sizes, group, product.serial)
    context.patches_multiplied(patches.base)
    output, entry = product.output, loader.parameters(name, group, product.serial)
    if entry is not None:
        output = replace(output, parameters=entry, first_channel=step.first_filter)
        sizes["first_filter"] = 0
    store(context, output, tiles, step.first, step.count, sizes)
