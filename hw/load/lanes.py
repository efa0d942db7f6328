"""A beat of weights on its way into the weight buffer's lanes: two registers, one turn."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import BEAT_BYTES, OPERAND_BANKS, ArchConfig
from gatewright.hw.load.prepare import FIELDS, GROUP_BITS
from gatewright.hw.load.weights import GROUPS_PER_BEAT, weight_place
from gatewright.hw.signatures import BEAT_BITS, weight_write

BANK_BITS = ceil_log2(OPERAND_BANKS)


def select_four(m: Module, choices: Sequence[Value], select: Value, name: str) -> Signal:
    """One of four values of equal width by a two-bit number."""
    out = Signal(len(choices[0]), name=name)
    with m.Switch(select):
        for number, choice in enumerate(choices):
            with m.Case(number):
                m.d.comb += out.eq(choice)
    return out


class WeightLanes(wiring.Component):
    """Spreads a beat over banks and physical lanes.

    The controls are those of the cycle in which a beat (``valid``) is on the bus; ``data`` is the beat a cycle later,
    and ``weights`` writes it another cycle later. By vector a beat is ``slices_per_beat`` words, each turned by
    ``place.lane`` and written into one bank, of which the first ``left`` are wanted. By reduction it is a byte for each
    of 16 vectors: byte 4 g + c goes to bank c + s, lane ``place.lane`` + g, and the first ``groups`` g are wanted if
    ``left`` is not 0. In both the banks begin at ``place.bank``.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "valid": In(1),
                "reduction": In(1),
                "place": In(weight_place(arch)),
                "left": In(FIELDS["count"].width),
                "groups": In(GROUP_BITS),
                "stride": In(GROUP_BITS),
                "triple": In(GROUP_BITS + 2),
                "data": In(BEAT_BITS),
                "weights": Out(weight_write(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._control(m)
        rows = self._arch.rows
        words = [self._turned(m, number) for number in range(self._arch.slices_per_beat)]
        for bank in range(OPERAND_BANKS):
            first = self._bank_first[bank]
            column = [
                select_four(
                    m,
                    [self._byte(OPERAND_BANKS * group + vector) for vector in range(OPERAND_BANKS)],
                    first,
                    f"column_{bank}_{group}",
                )
                for group in range(GROUPS_PER_BEAT)
            ]
            for lane in range(rows):
                word = self._of_slices([word[lane] for word in words], first)
                group = self._lane_group[lane]
                scattered = select_four(m, column, group, f"scattered_{bank}_{lane}")
                where = group if len(words) == 1 else Mux(self._reduction, group, first)
                address = select_four(m, self._addresses, where, f"address_{bank}_{lane}")
                out = self.weights.banks[bank][lane]
                m.d.sync += [
                    out.enable.eq(self._bank_enable[bank] & self._lane_enable[lane]),
                    out.address.eq(address),
                    out.data.eq(Mux(self._reduction, scattered, word)),
                ]
        return m

    def _byte(self, number: int) -> Value:
        return self.data.word_select(number, 8)

    def _control(self, m: Module) -> None:
        """Everything that selects, registered with the data."""
        arch, place = self._arch, self.place
        rows, slices = arch.rows, arch.slices_per_beat
        self._reduction = Signal(reset_less=True)
        self._turn = Signal(ceil_log2(rows), reset_less=True)
        # Of each bank: the slice, or the vector within the group, that it holds. Of each lane: the group.
        self._bank_first = [
            Signal(BANK_BITS, name=f"bank_first_{bank}", reset_less=True) for bank in range(OPERAND_BANKS)
        ]
        self._lane_group = [Signal(BANK_BITS, name=f"lane_group_{lane}", reset_less=True) for lane in range(rows)]
        self._bank_enable = Signal(OPERAND_BANKS)
        self._lane_enable = Signal(rows, reset_less=True)
        self._addresses = [
            Signal.like(place.address, name=f"address_{number}", reset_less=True) for number in range(OPERAND_BANKS)
        ]
        m.d.sync += [self._reduction.eq(self.reduction), self._turn.eq(place.lane)]
        # Whether more slices are wanted than so many; and groups.
        more_slices = [self.left > number for number in range(slices)]
        more_groups = [self.groups > number for number in range(GROUPS_PER_BEAT)]
        for bank in range(OPERAND_BANKS):
            first = Signal(BANK_BITS, name=f"first_{bank}")
            m.d.comb += first.eq(bank - place.bank)
            m.d.sync += [
                self._bank_first[bank].eq(first),
                self._bank_enable[bank].eq(
                    self.valid
                    & Mux(
                        self.reduction,
                        more_slices[0],
                        Cat((first == number) & more for number, more in enumerate(more_slices)).any(),
                    )
                ),
            ]
        begins = [place.lane == lane for lane in range(rows)]
        for lane in range(rows):
            # The group of a lane is (lane - place.lane) mod rows. Only its low bits select: lanes that are a multiple
            # of four apart share them, and so what is selected, where rows is one too.
            low = place.lane[:BANK_BITS]
            before = lane % OPERAND_BANKS - low
            behind = (lane + rows) % OPERAND_BANKS - low
            wraps = place.lane > lane
            wanted = Cat(begins[(lane - group) % rows] & more for group, more in enumerate(more_groups)).any()
            same = lane % OPERAND_BANKS == (lane + rows) % OPERAND_BANKS
            m.d.sync += [
                self._lane_group[lane].eq(before if same else Mux(wraps, behind, before)),
                self._lane_enable[lane].eq(~self.reduction | wanted),
            ]
        distances = (0, self.stride, self.stride << 1, self.triple)
        for number, address in enumerate(self._addresses):
            # One slice in a beat: all lanes of the word at one address, so without distances.
            slice_distance = distances[number] if number < slices else 0
            m.d.sync += address.eq(place.address + Mux(self.reduction, number, slice_distance))

    def _turned(self, m: Module, number: int) -> list[Value]:
        """Word ``number`` of the beat: lane l in physical lane (l + turn) mod rows, by turns of 1, 2, 4, 8."""
        rows = self._arch.rows
        lanes = [self._byte(number * rows + lane) for lane in range(rows)]
        for bit in range(len(self._turn)):
            stage = [Signal(8, name=f"turn_{number}_{bit}_{lane}") for lane in range(rows)]
            for lane, out in enumerate(stage):
                m.d.comb += out.eq(Mux(self._turn[bit], lanes[(lane - (1 << bit)) % rows], lanes[lane]))
            lanes = list(stage)
        return lanes

    @staticmethod
    def _of_slices(lanes: list[Value], first: Signal) -> Value:
        """The slice that belongs to a bank; banks without one write nothing."""
        if len(lanes) == 1:
            return lanes[0]
        value = lanes[-1]
        for number in reversed(range(len(lanes) - 1)):
            value = Mux(first == number, lanes[number], value)
        return value


assert BEAT_BYTES == OPERAND_BANKS * GROUPS_PER_BEAT
