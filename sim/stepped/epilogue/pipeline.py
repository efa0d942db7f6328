"""The pipeline of EPILOGUE: EPILOGUE_LATENCY + 1 stages from an entry's read to the bytes' write."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import TRANSPOSED_FILTERS
from gatewright.contract.arithmetic import INT8_MIN, gate_decision, requantise, saturate, wrap
from gatewright.contract.encodings import DIGIT_BITS, LOGIT_BYTES, RAW_LANES, RAW_WRITES
from gatewright.contract.isa import EpilogueKind
from gatewright.contract.timing import EPILOGUE_LATENCY, EPILOGUE_OVERLAP
from gatewright.sim.stepped.epilogue.depthwise import KernelSums
from gatewright.sim.stepped.epilogue.residual import ResidualFetch
from gatewright.sim.stepped.epilogue.slots import Kind, Slot
from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.state import Shared

READ, BIAS, MULTIPLY, SHIFT, SATURATE, COLLECT, POOLED, WRITE = 0, 2, 3, 6, 8, 9, 13, EPILOGUE_LATENCY
"""Stages. Between them: 1 the memories' output registers; 4 and 5 the product's registers; 7 the shift behind the
rounding's addition in SHIFT; 10 to 12 the pooling's product; 14 the rotation to the destination's byte."""

SCALED = (Kind.ENTRY, Kind.COLLECT, Kind.KERNEL_SUM)
"""Slots that are requantised, beside totals."""

Wide = npt.NDArray[np.int64]


class EpiloguePipeline:
    """The stages' registers and the registers that stand beside them.

    A slot's parameters reach the lanes' registers as the slot passes: bias in stage BIAS, multiplier in MULTIPLY,
    shift in SHIFT, so that a parameter slot never disturbs the entries in front of it. COLLECT slots
    bring their own. The transposer and the tiles' sums are written and read in stage COLLECT; the pooling has a
    multiplier of its own behind it. A window's maximum or sum takes the place of a tile's sum; its pixels come by the
    residual's queue in stage SATURATE. A total's int32 values are written in the last RAW_WRITES stages. Slots of an
    instruction may follow while the last ones of the instruction before are under way: each has its own.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        columns = shared.arch.columns
        self._stages: list[tuple[Instruction, Slot] | None] = [None] * (EPILOGUE_LATENCY + 1)
        self.residual = ResidualFetch(shared)
        self.bias = np.zeros(columns, np.int64)
        self.multiplier = np.zeros(columns, np.int64)
        self.shift = np.ones(columns, np.int64)
        self.total = np.zeros(columns, np.int64)
        self.tile_sum = np.zeros(columns, np.int64)
        self.tap_sum = 0
        self.kernel = KernelSums(columns)
        self.transposer = np.zeros((TRANSPOSED_FILTERS, columns), np.int8)
        self._work = {
            READ: self._read,
            BIAS: self._bias,
            MULTIPLY: self._multiply,
            SHIFT: self._shift,
            SATURATE: self._saturate,
            COLLECT: self._collect,
            POOLED: self._pooled,
            WRITE - 1: self._write_raw,
            WRITE: self._write,
        }

    @property
    def empty(self) -> bool:
        """Whether no slot is under way."""
        return not any(self._stages)

    def step(self, epilogue: Instruction | None, entering: Slot | None, early: Slot | None) -> None:
        """One clock cycle, with the slots of ``epilogue`` for stages 0 and 1."""
        self._stages = [None, *self._stages[:-1]]
        for stage, slot in enumerate((entering, early)):
            if slot is not None:
                assert epilogue is not None
                self._stages[stage] = epilogue, slot
        for stage, work in self._work.items():
            at = self._stages[stage]
            if at is not None and at[1].lane != -1:
                work(*at)
        leaving = self._stages[WRITE]
        writes = leaving is not None and leaving[1].address is not None
        self.residual.step(epilogue, port_free=not writes)

    def frees(self) -> bool:
        """Whether a last slot is so far that the next instruction may start in the cycle behind this one."""
        at, leaving = self._stages[WRITE - EPILOGUE_OVERLAP], self._stages[WRITE]
        early = at is not None and at[1].last and not self._raw_total(*at)
        return early or (leaving is not None and leaving[1].last and self._raw_total(*leaving))

    def leaves(self) -> Instruction | None:
        """The instruction whose last slot is in the last stage."""
        leaving = self._stages[WRITE]
        return leaving[0] if leaving is not None and leaving[1].last else None

    def _raw_total(self, epilogue: Instruction, slot: Slot) -> bool:
        return slot.kind == Kind.TOTAL and self._is_raw(epilogue)

    def _read(self, epilogue: Instruction, slot: Slot) -> None:
        if slot.kind in (Kind.PARAMETER, Kind.WEIGHTS, Kind.COLLECT, Kind.POOL):
            slot.raw = self._shared.parameters.read(slot.parameter, epilogue)
        if slot.kind in (Kind.ENTRY, Kind.SUM, Kind.SIGN, Kind.COLLECT, Kind.TAP) and slot.entry is not None:
            entry = self._shared.accumulators.read(epilogue["bank"], slot.entry, epilogue)
            slot.value = entry.astype(np.int64)

    def _own(self, slot: Slot, which: int, register: Wide) -> Wide | int:
        """A parameter of a slot: its own, or the lanes'."""
        return slot.raw[which] if slot.kind == Kind.COLLECT else register.copy()

    def _set(self, slot: Slot, which: int, register: Wide) -> None:
        register[slice(None) if slot.lane is None else slot.lane] = slot.raw[which]

    def _bias(self, epilogue: Instruction, slot: Slot) -> None:
        if slot.kind == Kind.PARAMETER:
            self._set(slot, 0, self.bias)
        elif slot.kind == Kind.WEIGHTS:
            assert slot.lane is not None
            self.kernel.load(slot.row, slot.raw, slot.lane)
        elif slot.kind == Kind.KERNEL:
            self.kernel.add(slot.row, epilogue["window"], self.residual.take(epilogue))
        elif slot.kind == Kind.KERNEL_SUM:
            slot.value = self.kernel.complete() + self.bias
        elif slot.kind == Kind.SUM:
            assert slot.value is not None
            if not slot.first:
                self.total = wrap(self.total + slot.value)
            else:
                self.total = wrap(slot.value << DIGIT_BITS) if epilogue["digits"] else slot.value
        elif slot.kind == Kind.TOTAL:
            slot.value = self.total + self.bias
        elif slot.kind == Kind.TAP:
            before = int(self.bias[0]) if slot.first else self.tap_sum
            tap = 0 if slot.value is None else int(slot.value[slot.lane])
            self.tap_sum = int(wrap(np.array([before + tap]))[0])
            slot.value = None
        elif slot.kind == Kind.TAPPED:
            slot.value = np.array([self.tap_sum], np.int64)
        elif slot.value is not None:
            slot.value = slot.value + self._own(slot, 0, self.bias)

    def _multiply(self, _: Instruction, slot: Slot) -> None:
        if slot.kind == Kind.PARAMETER:
            self._set(slot, 1, self.multiplier)
        elif slot.value is not None:
            slot.multiplier = np.asarray(self._own(slot, 1, self.multiplier), np.int64)

    def _shift(self, epilogue: Instruction, slot: Slot) -> None:
        if slot.kind == Kind.PARAMETER:
            self._set(slot, 2, self.shift)
        elif slot.kind in SCALED or (slot.kind == Kind.TOTAL and not self._is_raw(epilogue)):
            assert slot.value is not None and slot.multiplier is not None
            slot.value = requantise(slot.value, slot.multiplier, self._own(slot, 2, self.shift))

    @staticmethod
    def _is_raw(epilogue: Instruction) -> bool:
        return epilogue["kind"] == EpilogueKind.REDUCE_RAW

    def _saturate(self, epilogue: Instruction, slot: Slot) -> None:
        if slot.kind in (*SCALED, Kind.TOTAL):
            assert slot.value is not None
            if self._is_raw(epilogue):
                slot.data = slot.value.astype(np.int32).astype("<i4").view(np.int8)
                return
            if slot.kind == Kind.ENTRY and epilogue["residual"]:
                residual = self.residual.take(epilogue)
                if residual is not None:
                    slot.value[: slot.count] += residual
            slot.data = saturate(slot.value, bool(epilogue["relu"]))
        elif slot.kind == Kind.WINDOW:
            outside = INT8_MIN if epilogue["kind"] == EpilogueKind.MAX else 0
            slot.value = np.full(self._shared.arch.columns, outside, np.int64)
            read = self.residual.take(epilogue)
            if read is not None:
                slot.value[: slot.count] = read

    def _collect(self, epilogue: Instruction, slot: Slot) -> None:
        if slot.kind == Kind.COLLECT:
            assert slot.data is not None
            self.transposer[slot.lane] = slot.data
        elif slot.kind == Kind.TRANSPOSED:
            slot.data = self.transposer[:, slot.lane].copy()
        elif slot.kind == Kind.ENTRY and epilogue["pool"]:
            assert slot.data is not None
            added = slot.data.astype(np.int64) if slot.address is not None else np.zeros_like(self.tile_sum)
            self.tile_sum = added if slot.first else self.tile_sum + added
        elif slot.kind == Kind.WINDOW:
            assert slot.value is not None
            combine = np.maximum if epilogue["kind"] == EpilogueKind.MAX else np.add
            self.tile_sum = slot.value if slot.first else combine(self.tile_sum, slot.value)
        elif slot.kind in (Kind.POOL, Kind.HIGH, Kind.LOW):
            slot.value = self.tile_sum

    def _pooled(self, epilogue: Instruction, slot: Slot) -> None:
        if slot.kind == Kind.POOL:
            assert slot.value is not None
            slot.data = saturate(requantise(slot.value, slot.raw[1], slot.raw[2]), False)
        elif slot.kind == Kind.HIGH:
            assert slot.value is not None
            slot.data = (slot.value >> DIGIT_BITS).astype(np.int8)
        elif slot.kind == Kind.LOW:
            assert slot.value is not None
            slot.data = (slot.value & ((1 << DIGIT_BITS) - 1)).astype(np.int8)
        else:
            self._write_raw(epilogue, slot)

    def _write_raw(self, epilogue: Instruction, slot: Slot) -> None:
        """One of the RAW_WRITES writes of a raw total: the stages count the lanes."""
        if not self._raw_total(epilogue, slot):
            return
        stages = range(WRITE - RAW_WRITES + 1, WRITE + 1)
        stage = next(s for s in stages if (at := self._stages[s]) is not None and at[1] is slot)
        begin = (stage - (WRITE - RAW_WRITES + 1)) * RAW_LANES
        end = min(begin + RAW_LANES, slot.count)
        if begin < end:
            assert slot.address is not None and slot.data is not None
            self._shared.scratchpad.write_b(
                slot.address + LOGIT_BYTES * begin, slot.data[LOGIT_BYTES * begin : LOGIT_BYTES * end], epilogue
            )

    def _write(self, epilogue: Instruction, slot: Slot) -> None:
        if slot.kind in (Kind.SIGN, Kind.TAPPED):
            assert slot.value is not None
            if slot.address is not None:
                self._shared.masks.write(slot.address, gate_decision(slot.value[: slot.count]), epilogue)
        elif self._raw_total(epilogue, slot):
            self._write_raw(epilogue, slot)
        elif slot.data is not None and slot.address is not None:
            self._shared.scratchpad.write_b(slot.address, slot.data[: slot.count], epilogue)
