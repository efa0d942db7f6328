"""A product whose filters, or whose patches, do not fit at once: filter group by group, piece by piece.

For each group of filters all chunks of pixels, for each chunk the pieces of the reduction: they add up in one
accumulator bank, and the chunk's results are written behind the last. The pixels are gathered again for every group:
that holds GATHER for about a third of the cycles for which a whole group holds the array, ahead in program order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.filter_use import part_of
from gatewright.compiler.emit.matrix import GATHER_AHEAD, Product, store
from gatewright.compiler.emit.operands import Patches
from gatewright.compiler.plan.filters import FilterBank, Slices, from_both_ends
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.live_chunks import both_ways
from gatewright.compiler.plan.tiling import PIECE_UNIT, even_chunks, patch_pieces, patch_share, shrinking, whole_part

TOGETHER = 3, 4
"""What two groups that are multiplied together may take of the weight buffer."""


@dataclass(frozen=True)
class _Step:
    """A piece of a chunk's reduction, for one group of filters."""

    group: int
    first_filter: int
    filters: int
    first: int
    count: int
    piece: Slices
    ends: bool
    """The chunk's results are complete behind it."""

    product: Product

    def same_patches(self, other: _Step) -> bool:
        """Whether both multiply the same patches."""
        same = (self.first, self.count, self.piece) == (other.first, other.count, other.piece)
        return same and self.product is other.product


def convolve_streamed(context: Context, loader: FilterLoader, product: Product) -> Iterator[None]:
    """A convolution over a tile set, as ``matrix.convolve``."""
    yield from convolve_together(context, loader, [product])


def convolve_together(context: Context, loader: FilterLoader, products: Sequence[Product]) -> Iterator[None]:
    """A convolution over several tile sets, by filters that are read once: each group goes through all of them."""
    name, serial = products[0].name, products[0].serial
    steps = [step for product in products for step in _steps(context, loader, product)]
    bank = context.image.banks[name]
    if len(products) > 1:
        order = bank.in_order(bank.filters) if bank.both_ends else range(len(steps))
        steps.sort(key=lambda step: order.index(step.group))
    last = {id(step.product): step.first_filter for step in steps}
    gathered: list[Patches] = []
    banks: dict[int, int] = {}
    loader.load_until(loader.turn[name] + 3)
    for group in range(steps[0].group if bank.picked else 0):
        loader.skip(name, group, serial)
    for number, step in enumerate(steps):
        context.out.layer = name
        product, tiles = step.product, step.product.tiles
        for ahead in steps[len(gathered) : number + 1 + GATHER_AHEAD]:
            if gathered and steps[len(gathered) - 1].same_patches(ahead):
                gathered.append(gathered[-1])
                continue
            words = ahead.piece.count * padded_vectors(ahead.count * ahead.product.tiles.area)
            if len(gathered) > number and not context.may_gather_ahead(words):
                break
            patches = ahead.product.gather(
                context, ahead.first, ahead.count, ahead.piece, first_filter=ahead.first_filter
            )
            gathered.append(patches)
        _multiply(context, loader, product, step, gathered[number], banks)
        following = steps[number + 1] if number + 1 < len(steps) else None
        if following is None or not step.same_patches(following):
            context.patches_multiplied(gathered[number].base)
        _shrink(loader, bank, steps, number)
        if bank.returns:
            _release_pieces(loader, bank, step, following, serial)
        elif not any(later.group == step.group for later in steps[number + 1 : number + 3]):
            loader.used(name, step.group, serial)
            if bank.picked:
                behind = bank.groups(bank.filters) if following is None else following.group
                for group in range(step.group + 1, behind):
                    loader.skip(name, group, serial)
        if following is None or following.group != step.group:
            product.followed(step.first_filter + step.filters)
        if step.ends:
            if following is not None and step.first_filter == last[id(product)]:
                product.written(int(tiles.rows[step.first]) // tiles.tile)
            # Others take accumulator banks: not while the sums of a group that goes along are in one.
            if following is None or following.piece.first == 0:
                yield


def _shrink(loader: FilterLoader, bank: FilterBank, steps: Sequence[_Step], number: int) -> None:
    """Of a group that takes turns with others let the slices give way that no later step needs."""
    group, left = steps[number].group, list[Slices]()
    if not loader.room.take_turns(bank):
        return
    for step in steps[number + 1 :]:
        if step.group != group:
            break
        left.append(step.piece)
    if left:
        first, end = min(piece.first for piece in left), max(piece.first + piece.count for piece in left)
        loader.still_needed(bank.name, group, steps[number].product.serial, Slices(first, end - first))


def _around_shared(slices: int, shared: int) -> list[Slices]:
    """The slices of a group that takes turns with others: those that share words with one neighbour, or the other."""
    if not 0 < 2 * shared < slices:
        return [Slices(0, slices)]
    return [Slices(0, shared), Slices(shared, slices - 2 * shared), Slices(slices - shared, shared)]


def _in_turn(pieces: list[Slices], group: int) -> list[Slices]:
    """The pieces of a group that takes turns with others: those first that give way to the next group's filters.

    The first one starts the sums.
    """
    return pieces if group % 2 else [pieces[0], *pieces[:0:-1]]


def _release_pieces(loader: FilterLoader, bank: FilterBank, step: _Step, following: _Step | None, serial: int) -> None:
    """Let the pieces give way that no later step needs, of a group that the buffer does not hold at once."""
    goes_on = following is not None and following.group == step.group
    begin, end = step.piece.first, slices_end(bank) if following is None or not goes_on else following.piece.first
    for number, piece in enumerate(bank.pieces_in(step.group)):
        if begin < piece.first + piece.count <= end:
            loader.used_piece(bank.name, number, step.group, serial, parameters=False)
    if not goes_on:
        loader.used_parameters(bank.name, step.group, serial)


def slices_end(bank: FilterBank) -> int:
    """The slices of a bank's reduction."""
    return bank.pieces[-1].first + bank.pieces[-1].count


def _steps(context: Context, loader: FilterLoader, product: Product) -> list[_Step]:
    arch, bank, tiles = context.arch, context.image.banks[product.name], product.tiles
    slices = slices_of(product.kernel.taps * product.source.channels, arch)
    most = max(1, arch.accumulator_depth // tiles.pixels) * arch.columns
    group_size = min(bank.group, most if bank.streamed else arch.columns)
    unit = product.kernel.piece_unit(product.source, arch)
    share = patch_share(unit, slices, tiles.area, context.patches.size)
    at_once = PIECE_UNIT if unit == 1 else min(unit, slices)
    chunks = even_chunks(tiles, arch, at_once, arch.accumulator_depth // -(-group_size // arch.columns), share)
    if product.shrinks and not bank.streamed:  # filters that come again cost more than a short wait saves
        chunks = shrinking(chunks)
    vectors = padded_vectors(max(count for _, count in chunks) * tiles.area)
    groups = _groups(context, product, bank, group_size)
    steps = []
    room = arch.weight_words * TOGETHER[0] // TOGETHER[1] // slices_of(bank.reduction, arch)
    if product.filters_stand or bank.picked or bank.both_ends or groups[-1][2] * PIECE_UNIT >= arch.columns:
        room = 0  # the array takes longer than the gather
    in_turn = loader.room.take_turns(bank)
    for together in _together(groups, group_size, room):
        loads = bank.pieces_in(together[0][0] if bank.streamed else 0)
        if unit > 1:  # a piece of patches may begin within a loaded piece, and end in another
            loads = (Slices(0, slices),)
        cuts = vectors, context.patches.size, unit, share
        regions = [part.slices for part in product.parts] or [Slices(0, slices)]
        if in_turn:
            regions = _around_shared(slices, 2 * slices - loader.room.ring.size // bank.vectors)
        within = [part_of(load, region) for load in loads for region in regions]
        pieces = [piece for part in within if part.count > 0 for piece in patch_pieces(part, slices, *cuts)]
        if in_turn:
            pieces = _in_turn(pieces, together[0][0])
        elif context.live and product.source.channel_gate is not None:  # those without channels are the last ones
            pieces = from_both_ends(pieces)
        for first, count in chunks:
            for piece in pieces:
                steps += [_Step(*group, first, count, piece, piece is pieces[-1], product) for group in together]
    return steps


def _groups(context: Context, product: Product, bank: FilterBank, size: int) -> list[tuple[int, int, int]]:
    """(group of the bank, first filter, filters) of what is multiplied at once, at most ``size`` filters.

    Where a table picks filters of each group, the filters of a group are those of its entries that are in the group.
    """
    step = bank.group if bank.streamed else size
    bounds = list(range(0, product.filters + step, step))
    if bank.picked and product.output.channel_gate is not None:
        starts = np.arange(bank.groups(bank.filters) + 1) * bank.group
        bounds = np.searchsorted(product.output.channel_gate.entries, starts).tolist()
    ranges = list(pairwise(min(bound, product.filters) for bound in bounds))
    return [
        (group, product.first_filter + first, min(size, ranges[group][1] - first))
        for group in (bank.in_order(product.filters) if bank.both_ends else range(len(ranges)))
        for first in range(ranges[group][0], ranges[group][1], size)
    ]


def _together(groups: list[tuple[int, int, int]], size: int, room: int) -> list[list[tuple[int, int, int]]]:
    """Groups (number, first filter, filters) whose patches are gathered once.

    A few filters alone would take the array fewer cycles than the gather, so they are multiplied with the group before,
    if the weight buffer has ``room`` for the vectors of both.
    """
    *others, last = groups
    fits = padded_vectors(size) + padded_vectors(last[2]) <= room
    if len(others) > 1 and last[2] < size and fits:
        return [*([group] for group in others[:-1]), [others[-1], last]]
    return [[group] for group in groups]


def _multiply(
    context: Context, loader: FilterLoader, product: Product, step: _Step, patches: Patches, banks: dict[int, int]
) -> None:
    """One step's MATMULs, and behind the chunk's last piece its EPILOGUE."""
    tiles = product.tiles
    if step.piece.first == 0:
        banks[step.first_filter] = context.next_bank()
    context.bank = banks[step.first_filter]
    picked = context.image.banks[product.name].picked
    only = product.filters_stand, picked, product.pixels_stand(context.arch.columns)
    gate = product.output.channel_gate
    if gate is not None and gate.live and not product.filters_stand:
        parts = both_ways(step.count, tiles.pixels, 0, step.filters, context.arch)
    else:
        parts = (whole_part(step.count * tiles.pixels, step.filters, context.arch, *only),)
    ways = []
    for part in parts:
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
        if part.only:
            sizes["only"] = int(part.only)
        product.multiply(context, loader, patches, sizes, step.group)
        ways.append(sizes)
    if not step.ends:
        return
    output, entry = product.output, loader.parameters(product.name, step.group, product.serial)
    if entry is not None:
        first = step.group * context.image.banks[product.name].group
        output = replace(output, parameters=entry, first_channel=first)
        for sizes in ways:
            sizes["first_filter"] -= first
    for sizes in ways:
        store(context, output, tiles, step.first, step.count, sizes)
