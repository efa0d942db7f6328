"""Where in the weight buffer loaded filters lie: a region of its ring for a resident bank, or for a streamed piece."""

from __future__ import annotations

from collections import deque

from gatewright.compiler.emit.context import Context, addressable_words
from gatewright.compiler.emit.filter_load import group_vectors, piece_words
from gatewright.compiler.emit.filter_use import Use
from gatewright.compiler.plan.filters import FilterBank, Slices
from gatewright.compiler.plan.layout import slices_of
from gatewright.compiler.plan.operand_ring import Ring
from gatewright.contract.isa import Space


class FilterRoom:
    """The regions that are taken, and the order in which streamed ones were."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.ring = Ring(addressable_words(context.arch.weight_words, "weight_base"), "weight buffer")
        self.streaming: deque[str] = deque()
        """The regions of streamed pieces."""
        self._bases: dict[str, int] = {}
        """Where regions begin of which only a part is still needed."""

    def take(self, use: Use) -> int | None:
        """The base of a region for the piece that is next of a use, or None while others are in the way."""
        base = self._place(use)
        if base is not None:
            self.context.out.begin_region("weight", *self.ring.live[use.region])
            if use.bank.streamed:
                self.streaming.append(use.region)
        return base

    def take_turns(self, bank: FilterBank) -> bool:
        """Whether a live bank's groups lie at the buffer's begin and at its end in turn, since two do not fit.

        They fit if the gate leaves out enough channels, and a LOAD waits for those products alone that read where it
        writes: the even groups' last slices, and the odd ones' first.
        """
        words = bank.vectors * slices_of(bank.reduction, self.context.arch)
        gated = self.context.live and bank.gate is not None and bank.space == Space.WEIGHTS_BY_REDUCTION
        return gated and bank.streamed and not bank.by_taps and words * 2 > self.ring.size

    def base(self, region: str) -> int:
        """Where a region begins, or began before it shrank."""
        return self._bases.get(region, self.ring.live[region][0])

    def shrink(self, region: str, slices: Slices, vectors: int) -> None:
        """Of a region of so many vectors no more than these slices are still needed."""
        base = self._bases.setdefault(region, self.ring.live[region][0])
        self.ring.shrink(region, base + slices.first * vectors, base + (slices.first + slices.count) * vectors)

    def release(self, region: str) -> None:
        """A streamed piece is not needed any more."""
        self.ring.release(region)
        self._bases.pop(region, None)
        self.streaming.remove(region)

    def streaming_of(self, bank: FilterBank) -> list[str]:
        """The regions of a bank's streamed pieces."""
        return [region for region in self.streaming if region.startswith(f"{bank.name} (")]

    def _place(self, use: Use) -> int | None:
        region, words = use.region, piece_words(self.context, use)
        if not self._reserve_chain(use.bank):
            return None
        if not self.take_turns(use.bank):
            return self.ring.take(region, words)
        base = self.ring.take_at(region, words, (self.ring.size - words) * (use.group % 2))
        urgent = not self.streaming_of(use.bank)
        return self.ring.take(region, words) if base is None and urgent else base

    def _reserve_chain(self, bank: FilterBank) -> bool:
        """Keep room for all resident filters of a chain that begins with a bank's layer: they are there together."""
        image = self.context.image
        chain = next((chain for chain in image.chains if chain.layers[0].name == bank.name), None)
        if chain is None or bank.streamed:
            return True
        banks = [image.banks[layer.name] for layer in chain.layers]
        words = {
            b.name: b.pieces[0].count * group_vectors(self.context, b, 0) for b in banks if not b.streamed and b.rows
        }
        return self.ring.reserve(words)
