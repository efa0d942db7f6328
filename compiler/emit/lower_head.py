"""The last convolution, its channels' sums and the classifier, block of channels by block of channels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gatewright.compiler.emit.context import Kernel, OutputMap, SourceMap
from gatewright.compiler.emit.emit import PORT_B, Access, reads, writes
from gatewright.compiler.emit.matrix import store
from gatewright.compiler.emit.operands import Patches, gather, multiply
from gatewright.compiler.emit.windows import windows
from gatewright.compiler.plan.averages import DIGITS, digits_name
from gatewright.compiler.plan.bands import Rows
from gatewright.compiler.plan.filters import Slices
from gatewright.compiler.plan.head import LAG, Head
from gatewright.compiler.plan.tiling import all_tiles
from gatewright.contract.encodings import LOGIT_BYTES
from gatewright.contract.isa import EpilogueKind, Opcode, Stationary

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower_convolutions import ConvolutionLowering


class HeadLowering:
    """Emits both layers, up to the logits in the scratchpad. Use ``run``."""

    def __init__(self, convolutions: ConvolutionLowering, head: Head) -> None:
        self.convolutions, self.head = convolutions, head
        self.context, self.loader, self.arch = convolutions.context, convolutions.loader, convolutions.arch
        self.image = convolutions.image
        ((tiles, relu, _),) = convolutions.tile_sets(head.convolution)
        self.product = convolutions.product(head.convolution, tiles, relu, None)
        address = self.image.addresses[digits_name(head.classifier.name)]
        self.digits = SourceMap(address, 1, DIGITS, self.product.filters)
        self.classes = len(head.classifier.weight)

    def run(self) -> None:
        """In each step a block of the convolution, the sums of the one before, and what is ready by then."""
        context, head, product = self.context, self.head, self.product
        self.convolutions.count_macs(head.convolution)
        context.macs[head.classifier.name] = DIGITS * self.classes * product.filters
        context.out.layer = product.name
        # All of the source is read here: the sums, which are written from now on, may lie in its place.
        patches = product.gather(context, 0, len(product.tiles))
        kept, done, blocks = context.keep_bank(), 0, head.blocks(self.arch)
        self.loader.load_until(self.loader.turn[head.classifier.name])
        for step in range(blocks + LAG):
            ready = head.ready_slices(step - LAG, self.arch) if step >= LAG else 0
            if 0 < step <= blocks:
                self._sum(step - 1)
            if step < blocks:
                self._convolve(step, patches)
            if step == blocks - 1:
                context.patches_multiplied(patches.base)
            if ready > done:
                self._classify(Slices(done, ready - done), kept)
                done = ready
        self._reduce(kept)
        context.release_bank(kept)
        self.convolutions.place(head.convolution)

    def _filters(self, block: int) -> tuple[int, int]:
        """The first of a block's channels, and how many there are."""
        first = block * self.arch.columns
        return first, min(self.arch.columns, self.product.filters - first)

    def _convolve(self, block: int, patches: Patches) -> None:
        """A block of filters of the convolution."""
        context, product, (first, count) = self.context, self.product, self._filters(block)
        context.out.layer = product.name
        bank = self.image.banks[product.name]
        group = first // bank.group if bank.streamed else 0
        sizes = {
            "tile": product.tiles.tile,
            "tile_count": len(product.tiles),
            "pixel_count": len(product.tiles) * product.tiles.pixels,
            "first_filter": first,
            "filter_count": count,
            "stationary": int(Stationary.FILTERS),
        }
        context.next_bank()
        product.multiply(context, self.loader, patches, sizes, group)
        output, entry = product.output, self.loader.parameters(product.name, group, 0)
        if entry is not None:
            output = replace(output, parameters=entry, first_channel=group * bank.group)
            sizes["first_filter"] -= group * bank.group
        store(context, output, product.tiles, 0, len(product.tiles), sizes)
        if (first + count) % bank.group == 0 or first + count == product.filters:
            self.loader.used(product.name, group)

    def _sum(self, block: int) -> None:
        """The sums of a block's channels, as two digits."""
        output, name = self.product.output, self.head.classifier.name
        self.context.out.layer = name
        source = SourceMap(output.address, output.height, output.width, output.channels)
        digits = OutputMap(self.digits.address, 1, 1, output.channels, 0, pixels=DIGITS)
        window = Rows(0, 1), output.height, output.height
        windows(self.context, EpilogueKind.DIGITS, source, digits, *window, part=self._filters(block))

    def _classify(self, slices: Slices, kept: int) -> None:
        """Some of the reduction, by all filters of the classifier."""
        context, name = self.context, self.head.classifier.name
        context.out.layer = name
        bank = self.image.banks[name]
        patches = gather(context, self.digits, DIGITS, all_tiles(1, DIGITS, 1), 0, DIGITS, Kernel(), slices)
        for number, piece in enumerate(bank.pieces):
            if not slices.first <= piece.first < slices.first + slices.count:
                continue
            for group in range(bank.groups(self.classes)):
                first = group * bank.group
                sizes = self._sizes(first, min(bank.group, self.classes - first))
                context.bank = kept
                entry = DIGITS * (first // self.arch.columns)
                part = patches.piece(piece)
                multiply(context, self.loader, name, self.digits, 1, part, sizes, group, accumulator=entry)
                self.loader.used_piece(name, number, group)
        context.patches_multiplied(patches.base)

    @staticmethod
    def _sizes(first: int, filters: int) -> dict[str, int]:
        """The fields of an instruction about both digits and some filters, which stand."""
        return {
            "tile": 1,
            "tile_count": DIGITS,
            "pixel_count": DIGITS,
            "first_filter": first,
            "filter_count": filters,
            "stationary": int(Stationary.FILTERS),
        }

    def _reduce(self, kept: int) -> None:
        """The logits: what has added up, and the bias."""
        context, name = self.context, self.head.classifier.name
        context.out.layer = name
        entry, address = self.image.parameter_entry[name], self.image.addresses[self.head.classifier.output]
        context.out.emit(
            Opcode.EPILOGUE,
            [
                reads("accumulator", kept, kept + 1),
                Access("parameter", entry, entry + self.classes, early=True),
                writes("scratchpad", address, address + LOGIT_BYTES * self.classes),
                PORT_B,
            ],
            kind=EpilogueKind.REDUCE_RAW,
            destination=address,
            out_height=1,
            out_width=DIGITS,
            channels=self.classes,
            bank=kept,
            parameters=entry,
            digits=1,
            **self._sizes(0, self.classes),
        )
