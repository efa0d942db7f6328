"""From the words of the operand buffers to the grid's inputs: each vector out of its bank, its lanes in order."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from gatewright.contract.arch import OPERAND_BANKS, ArchConfig
from gatewright.hw.array.operand_fetch import BANK_BITS, PLACE, QUAD_BITS
from gatewright.hw.control.sizes import reciprocal
from gatewright.hw.lib.delay import delayed
from gatewright.hw.lib.rotation import rotate_down
from gatewright.hw.signatures import OPERAND_READ, lanes

assert OPERAND_READ == 2, "two registers from an address to its words: the choice of bank and lanes takes both"


class OperandTurn(wiring.Component):
    """``patch_place``, ``weight_place`` and ``lane`` belong to the addresses of this cycle, the words to those before.

    ``lane``: bus lane of the first weight vector, not 0 where filters are loaded one by one. ``filters_stand``: the
    weights go to the bus and the pixels stream; it is that of this cycle's addresses. OPERAND_READ cycles after the
    addresses, ``stream`` and ``bus`` hold their vectors. Lane l of a weight vector v comes from physical lane
    (l + v div 4) mod rows.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._rows, self._load_vectors = arch.rows, arch.load_vectors
        self._lane_bits = ceil_log2(arch.load_vectors)
        words = data.ArrayLayout(lanes(arch.rows), OPERAND_BANKS)
        super().__init__(
            {
                "filters_stand": In(1),
                "patch_place": In(PLACE),
                "weight_place": In(PLACE),
                "lane": In(self._lane_bits),
                "patch_words": In(words),
                "weight_words": In(words),
                "stream": Out(lanes(arch.rows)),
                "bus": Out(data.ArrayLayout(lanes(arch.rows), arch.load_vectors)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        patches = self._patches(m)
        weights = self._weights(m)
        filters_stand = delayed(m, self.filters_stand, OPERAND_READ, "filters_stand")
        for lane in range(self._load_vectors):
            m.d.comb += Cat(*self.bus[lane]).eq(Mux(filters_stand, weights[lane], patches[lane]))
        m.d.comb += Cat(*self.stream).eq(Mux(filters_stand, patches[0], weights[0]))
        return m

    def _chosen(self, words: Any, bank: Any) -> Any:
        """The word of a bank as one value."""
        return Array(Cat(*words[number]) for number in range(OPERAND_BANKS))[bank]

    def _patches(self, m: Module) -> list[Any]:
        """The pixels' vectors by bus lane."""
        place = self.patch_place
        first = delayed(m, (place.low + place.turn)[:BANK_BITS], 1, "patch_bank")
        banks = [delayed(m, (first + lane)[:BANK_BITS], 1, f"patch_bank_{lane}") for lane in range(self._load_vectors)]
        return [self._chosen(self.patch_words, bank) for bank in banks]

    def _weights(self, m: Module) -> list[Any]:
        """The filters' vectors by bus lane, their lanes in order."""
        place = delayed(m, self.weight_place, 1, "weight_place")
        begin = delayed(m, self.lane, 1, "lane")
        turn, turn_behind = self._rotations(m)
        vectors = []
        for lane in range(self._load_vectors):
            # Vectors that the lane is ahead of the first: mod load_vectors, since single ones go to any lane.
            offset = (lane - begin)[: self._lane_bits]
            bank = Signal(BANK_BITS, name=f"weight_bank_{lane}", reset_less=True)
            rotation = Signal(turn.shape(), name=f"rotation_{lane}", reset_less=True)
            m.d.sync += [
                bank.eq(place.low + place.turn + offset),
                rotation.eq(Mux((place.low + offset)[BANK_BITS], turn_behind, turn)),
            ]
            word = Signal(8 * self._rows, name=f"weight_word_{lane}")
            m.d.comb += word.eq(self._chosen(self.weight_words, bank))
            vectors.append(rotate_down(m, word, 8, rotation, f"weights_{lane}"))
        return vectors

    def _rotations(self, m: Module) -> tuple[Any, Any]:
        """v div 4 mod rows of the first vector and of those behind the next multiple of 4, a cycle after its place."""
        rows = self._rows
        bits = ceil_log2(rows)
        quad = self.weight_place.quad
        if rows == 1 << bits:
            turn: Any = delayed(m, quad[:bits], 1, "turn")
            return turn, (turn + 1)[:bits]
        multiplier, shift = reciprocal(rows, (1 << QUAD_BITS) - 1)
        quotient = Signal(bits_for(((1 << QUAD_BITS) - 1) // rows), reset_less=True)
        m.d.sync += quotient.eq((quad * multiplier) >> shift)
        turn = Signal(bits)
        m.d.comb += turn.eq(delayed(m, quad[:bits], 1, "quad_low") - quotient * rows)
        return turn, Mux(turn == rows - 1, 0, turn + 1)[:bits]
