"""GATHER's way into the patch buffer: where a piece's bytes go, and their rotation to the words' lanes."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import OPERAND_BANKS, ArchConfig
from gatewright.contract.timing import GATHER_LATENCY
from gatewright.hw.gather.prepare import gather_sizes
from gatewright.hw.gather.walk import piece_layout
from gatewright.hw.lib.delay import delayed
from gatewright.hw.lib.rotation import rotate_up, shift_up
from gatewright.hw.signatures import patch_address_bits, patch_write

WRITE_STAGE = GATHER_LATENCY - 1
COUNT_STAGE, PLACE_STAGE = 3, 4
BANK_BITS = ceil_log2(OPERAND_BANKS)
assert WRITE_STAGE == PLACE_STAGE + 3


class GatherWrite(wiring.Component):
    """From a piece of the walk (a cycle before its stage 0) and its ``bytes`` in stage 5 to the write in stage 7.

    Vectors are contiguous: a piece goes where the one before it ended, a lane and a slice farther on; a vector begins
    at lane 0 of the first slice. So there is no product and no division here, the lanes just carry into the slices. The
    bytes are moved to their lanes within four words (stage 6), then the words to their banks (stage 7). The last piece
    of a vector writes its last word to the end; what follows its bytes is zero.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "valid": In(1),
                "piece": In(piece_layout(arch)),
                "running": In(gather_sizes(arch)),
                "bytes": In(8 * arch.gather_bytes),
                "patch": Out(patch_write(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = self._arch.rows
        valid = Signal(WRITE_STAGE)
        m.d.sync += valid.eq(Cat(self.valid, valid))
        lane, bank, address, count, ends = self._place(m, valid[COUNT_STAGE])

        # Stage 5: the byte behind the piece's last, counted from lane 0 of its first word.
        end = Signal(range(OPERAND_BANKS * rows + 1), reset_less=True)
        first, bank, ends, address = (
            delayed(m, value, 1, f"{name}_5")
            for value, name in ((lane, "lane"), (bank, "bank"), (ends, "ends"), (address, "address"))
        )
        m.d.sync += end.eq(lane + count)

        # Stage 6: words from the piece's first one on, their lanes to write, their addresses.
        step = self.running.operands.patch_vectors >> BANK_BITS
        enables, addresses = [], []
        for word in range(OPERAND_BANKS):
            filled = ends & (word * rows < end)
            on = Cat(filled | (word * rows + place < end) for place in range(rows))
            if word == 0:
                on = on & Cat(place >= first for place in range(rows))
            enables.append(on)
            addresses.append((address + step * word)[: patch_address_bits(self._arch)])
        enable = Signal(OPERAND_BANKS * rows, reset_less=True)
        words = Signal(8 * OPERAND_BANKS * rows, reset_less=True)
        places = Signal(OPERAND_BANKS * patch_address_bits(self._arch), reset_less=True)
        m.d.sync += [
            enable.eq(Cat(enables)),
            words.eq(shift_up(m, self.bytes, 8, first, OPERAND_BANKS * rows, "shift")),
            places.eq(Cat(addresses)),
        ]
        self._turn(m, enable, words, places, delayed(m, bank, 1, "bank_6"), valid[WRITE_STAGE - 1])
        return m

    def _place(self, m: Module, valid: Value) -> tuple[Signal, Signal, Signal, Signal, Value]:
        """Stage 4: lane, bank and address of the piece's first byte, its bytes, whether it ends its vector."""
        rows, most, piece = self._arch.rows, self._arch.gather_bytes, self.piece
        count = Signal(range(most + 1), name="count_0", reset_less=True)
        m.d.sync += count.eq(Mux(piece.row_ends, piece.rest, most))
        count = delayed(m, count, COUNT_STAGE - 1, "count_before")
        whole, rest = Signal(range(OPERAND_BANKS), reset_less=True), Signal(range(rows), reset_less=True)
        # A piece has at most three words, so there is a choice of quotients, not a division.
        for words in range(most // rows + 1):
            with m.If((count >= words * rows) & (count < (words + 1) * rows)):
                m.d.sync += [whole.eq(words), rest.eq(count - words * rows)]
        first, begins, ends = (
            delayed(m, piece[name], COUNT_STAGE + 1, name) for name in ("first", "vector_begins", "vector_ends")
        )
        lane, bank = Signal(range(rows), reset_less=True), Signal(BANK_BITS, reset_less=True)
        address = Signal(patch_address_bits(self._arch), reset_less=True)
        last_whole, last_rest = Signal.like(whole, reset_less=True), Signal.like(rest, reset_less=True)
        # Of the last piece: addresses to its last slice, and to the one behind.
        last_step, step_behind = (Signal.like(address, name=n, reset_less=True) for n in ("last_step", "step_behind"))
        vector = Signal(len(address) + BANK_BITS, reset_less=True)
        base = Signal.like(vector)
        m.d.comb += base.eq(Mux(first, self.running.operands.patch_base << BANK_BITS, vector))
        behind, carries = Signal(range(2 * rows)), Signal()
        step = self.running.operands.patch_vectors >> BANK_BITS
        steps = Array((step * n)[: len(address)] for n in range(OPERAND_BANKS))
        m.d.comb += [behind.eq(lane + last_rest), carries.eq(behind >= rows)]
        with m.If(valid):
            m.d.sync += [
                last_whole.eq(whole),
                last_rest.eq(rest),
                last_step.eq(steps[whole]),
                step_behind.eq(Array([*steps[1:], steps[0]])[whole]),
            ]
            with m.If(begins):
                m.d.sync += [
                    lane.eq(0),
                    bank.eq(base + self.running.operands.first_slice),
                    address.eq(base >> BANK_BITS),
                    vector.eq(base + 1),
                ]
            with m.Else():
                m.d.sync += [
                    lane.eq(Mux(carries, behind - rows, behind)),
                    bank.eq(Mux(carries, bank + last_whole + 1, bank + last_whole)),
                    address.eq(Mux(carries, address + step_behind, address + last_step)),
                ]
        return lane, bank, address, delayed(m, count, 2, "count"), delayed(m, ends, 1, "ends")

    def _turn(self, m: Module, enable: Value, words: Value, places: Value, bank: Value, valid: Value) -> None:
        """Stage 7: the banks' registers."""
        rows, bits = self._arch.rows, patch_address_bits(self._arch)
        turned = rotate_up(m, words, 8 * rows, bank, "turn_words")
        turned_enable = rotate_up(m, enable, rows, bank, "turn_enable")
        turned_places = rotate_up(m, places, bits, bank, "turn_places")
        for number in range(OPERAND_BANKS):
            written = Signal(rows, name=f"enable_{number}")
            word = Signal(8 * rows, name=f"word_{number}", reset_less=True)
            address = Signal(bits, name=f"address_{number}", reset_less=True)
            m.d.sync += [
                written.eq(turned_enable.word_select(number, rows) & valid.replicate(rows)),
                word.eq(turned.word_select(number, 8 * rows)),
                address.eq(turned_places.word_select(number, bits)),
            ]
            port = self.patch.banks[number]
            m.d.comb += [port.enable.eq(written), port.data.eq(word), port.address.eq(address)]
