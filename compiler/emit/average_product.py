"""A fully connected layer on the average of a map: the sum over the pixels is exact, before or after the product."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gatewright.compiler.emit.access import PORT_B, Access, reads, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.operands import Patches, gather_into, multiply, tables_of
from gatewright.compiler.emit.placed_maps import Kernel, OutputMap, SourceMap
from gatewright.compiler.emit.windows import windows
from gatewright.compiler.plan.averages import DIGITS, digits_name
from gatewright.compiler.plan.bands import Rows
from gatewright.compiler.plan.filters import Slices
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.compiler.plan.tile_sets import all_tiles
from gatewright.contract.encodings import LOGIT_BYTES, REGION_UNIT
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import EpilogueKind, Opcode, Stationary

IN_TURN = 3
"""Of the patch buffer what pixels take that are gathered in turn: one part is multiplied, and others are gathered."""


class AverageProduct:
    """One such layer in the making.

    Either every pixel is multiplied, and rows of the map may be gathered as they become complete; or the pixels are
    summed into two digits first, if the plan has a place for them (``averages.sums_first``): nothing can begin before
    the map is complete. Of a masked map only the active channels of the active tiles are there, and multiplied: what is
    not there counts as zeros. Without any the product is that of no channels, which is zero. ``relu`` is REDUCE's.

    Pixels that the patch buffer has no room for at once are gathered in turn, for every group of filters again.

    ``margins``: the sums are written there a second time, in int8, with the parameters that lie behind the first ones.
    """

    def __init__(
        self,
        context: Context,
        loader: FilterLoader,
        bank: str,
        layer: str,
        source: SourceMap,
        filters: int,
        destination: int,
        kind: EpilogueKind,
        relu: bool = True,
        margins: int | None = None,
    ) -> None:
        self.margins = margins
        self.context, self.loader, self.filters_name, self.layer = context, loader, bank, layer
        self.filters, self.destination, self.kind = filters, destination, kind
        self.relu = relu and kind == EpilogueKind.REDUCE
        self.summed = digits_name(layer) in context.image.addresses
        self.pixels = source
        self.source = source
        if self.summed:
            self.source = SourceMap(context.image.addresses[digits_name(layer)], 1, DIGITS, source.channels)
        self.tiles = all_tiles(self.source.height, self.source.width, 1)
        if source.tile_gate is not None:
            self.source = replace(source, tile_gate=None)  # none of the tiles that are listed is masked
            self.tiles = source.tile_gate.tiles(source.height)
        if not len(self.tiles):
            self.source = replace(self.source, channels=0, channel_gate=None)
            self.tiles = all_tiles(1, 1, 1)
        if len(self.tiles) > context.arch.accumulator_depth:
            raise GatewrightError(
                f"arch {context.arch.name}: {layer} averages {len(self.tiles)} pixels, accumulator_depth is "
                f"{context.arch.accumulator_depth}; raise it"
            )
        context.macs[layer] += len(self.tiles) * filters * self.source.channels
        self.slices = slices_of(self.source.channels, context.arch)
        self.vectors = padded_vectors(len(self.tiles))
        self.in_turn = not context.may_gather_ahead(self.slices * self.vectors)
        self.base = 0 if self.in_turn else context.take_patches(self.slices * self.vectors)
        self.gathered, self.early, self.begun, self.bank = 0, 0, False, 0

    def gather_rows(self, rows: int) -> None:
        """Gather the pixels of the first ``rows`` rows, as far as they fill whole groups of 4 vectors.

        Of a list that only the machine knows any may be of the last row.
        """
        if not (self.summed or self.in_turn or self.tiles.bottom is not None):
            self._gather(int(np.searchsorted(self.tiles.rows, rows)))

    def _gather(self, pixels: int) -> None:
        """Gather up to a number of pixels."""
        count = pixels - self.gathered
        if pixels < len(self.tiles):
            count -= count % REGION_UNIT
        if count > 0 and self.source.channels:
            gather_into(
                self.context,
                self.source,
                self.source.width,
                self.tiles,
                self.gathered,
                count,
                Kernel(),
                Patches(self.base + self.gathered, self.vectors, Slices(0, self.slices)),
            )
        self.gathered += max(0, count)

    def begin(self) -> None:
        """Multiply what has been gathered early, while the map is being completed; or sum the complete map."""
        if self.begun:
            return
        self.begun = True
        if self.summed:
            edge, channels = self.pixels.height, self.pixels.channels
            digits = OutputMap(self.source.address, 1, 1, channels, 0, pixels=DIGITS)
            windows(self.context, EpilogueKind.DIGITS, self.pixels, digits, Rows(0, 1), edge, edge)
        elif self.gathered:
            self.early = self.gathered
            self.bank = self.context.keep_bank()
            self._multiply(0, 0, self.early)

    def finish(self) -> None:
        """What ``begin`` does; gather what is left; multiply; sum and write."""
        self.begin()
        if not self.in_turn:
            self._gather(len(self.tiles))
        filters = self.context.image.banks[self.filters_name]
        for first in range(0, self.filters, self.context.arch.columns):
            if self.tiles.bottom is not None:
                self._sum_nothing(first)
            done = 0 if first else self.early
            if done:
                self.context.release_bank(self.bank)
            else:
                self.context.next_bank()
            if self.in_turn:
                self._multiply_in_turn(first)
            elif done < len(self.tiles):
                self._multiply(first, done, len(self.tiles) - done)
            sizes = self._sizes(first)
            group, following = (place // filters.group for place in (first, first + sizes["filter_count"]))
            if following > group or first + sizes["filter_count"] == self.filters:
                self.loader.used(self.filters_name, group)
            self._reduce(sizes)
        if not self.in_turn:
            self.context.patches_multiplied(self.base)

    def _sum_nothing(self, first_filter: int) -> None:
        """What stands if a list that only the machine knows has no tiles: REDUCE has no work then."""
        bank = self.context.image.banks[self.filters_name]
        one = {"tile": 1, "tile_count": 1, "pixel_count": 1, "stationary": int(Stationary.FILTERS)}
        sizes = one | {name: self._sizes(first_filter)[name] for name in ("first_filter", "filter_count")}
        self.context.next_bank()
        nothing = replace(self.source, channels=0, channel_gate=None)
        patches = Patches(self.base, REGION_UNIT, Slices(0, 1))
        group = first_filter // bank.group
        multiply(self.context, self.loader, self.filters_name, nothing, 1, patches, sizes, group)
        self._reduce(sizes)

    def _sizes(self, first: int) -> dict[str, int]:
        """A group of the filters on all pixels."""
        table = {} if self.tiles.table is None else {"tile_table": self.tiles.table}
        return {
            **table,
            "tile": 1,
            "tile_count": len(self.tiles),
            "pixel_count": len(self.tiles),
            "first_filter": first,
            "filter_count": min(self.context.arch.columns, self.filters - first),
            "stationary": int(Stationary.FILTERS),
        }

    def _multiply(self, first_filter: int, first_pixel: int, pixels: int) -> None:
        """Multiply some pixels by a group of the filters, each pixel into its entry of the accumulator bank."""
        patches = Patches(self.base, self.vectors, Slices(0, self.slices))
        sizes = self._sizes(first_filter) | {"first_pixel": first_pixel, "pixel_count": pixels}
        group = first_filter // self.context.image.banks[self.filters_name].group
        multiply(
            self.context, self.loader, self.filters_name, self.source, 1, patches, sizes, group, accumulator=first_pixel
        )

    def _multiply_in_turn(self, first_filter: int) -> None:
        """Multiply all pixels by a group of the filters, as many at a time as are gathered beside as many others."""
        context, tiles = self.context, self.tiles
        step = max(1, context.patches.size // IN_TURN // self.slices // REGION_UNIT) * REGION_UNIT
        group = first_filter // context.image.banks[self.filters_name].group
        for first in range(0, len(tiles), step):
            count = min(step, len(tiles) - first)
            vectors = padded_vectors(count)
            patches = Patches(context.take_patches(self.slices * vectors), vectors, Slices(0, self.slices))
            gather_into(context, self.source, self.source.width, tiles, first, count, Kernel(), patches)
            place = {"first_tile": tiles.start + first, "tile_count": count, "pixel_count": count}
            sizes = self._sizes(first_filter) | place
            multiply(context, self.loader, self.filters_name, self.source, 1, patches, sizes, group, accumulator=first)
            context.patches_multiplied(patches.base)

    def _reduce(self, sizes: dict[str, int]) -> None:
        """The sums of a group's products, and what becomes of them."""
        entry = self.context.image.parameter_entry[self.filters_name]
        self._write(sizes, self.kind, self.destination, entry, self.relu)
        if self.margins is not None:
            self._write(sizes, EpilogueKind.REDUCE, self.margins, entry + self.filters, relu=False)

    def _write(self, sizes: dict[str, int], kind: EpilogueKind, destination: int, entry: int, relu: bool) -> None:
        """The sums of a group's products, with the parameters from ``entry`` on."""
        context, item = self.context, LOGIT_BYTES if kind == EpilogueKind.REDUCE_RAW else 1
        low = destination + item * sizes["first_filter"]
        context.out.emit(
            Opcode.EPILOGUE,
            [
                reads("accumulator", context.bank, context.bank + 1),
                Access("parameter", entry, entry + self.filters, early=True),
                *(Access("table", table, table + 1, early=True) for table in tables_of(sizes)),
                writes("scratchpad", low, low + item * sizes["filter_count"]),
                PORT_B,
            ],
            kind=kind,
            destination=destination,
            out_height=self.source.height,
            out_width=self.source.width,
            channels=self.filters,
            bank=context.bank,
            parameters=entry,
            relu=int(relu),
            digits=int(self.summed),
            **sizes,
        )
