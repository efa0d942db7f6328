"""Faults of the two simulators."""

from __future__ import annotations

from tests.mutants.apart import SIMULATOR_APART
from tests.mutants.depthwise import SIMULATOR_DEPTHWISE
from tests.mutants.lists import SIMULATOR_LISTS
from tests.mutants.mutant import Mutant
from tests.mutants.only import SIMULATOR_ONLY
from tests.mutants.residual import SIMULATOR_RESIDUAL
from tests.mutants.taps import SIMULATOR_TAPS

SIMULATOR = [
    Mutant(
        "stepped-complement-ignored",
        "sim/stepped/index/unit.py",
        ' ^ bool(index["complement"])',
        "",
        "the reference for the RTL lists the wrong tiles",
    ),
    Mutant(
        "stepped-residual-a-pixel-late",
        "sim/stepped/epilogue/walk.py",
        "yield self._residual_address(pixel, block * self._columns), self._lanes(block)",
        "yield self._residual_address(max(0, pixel - 1), block * self._columns), self._lanes(block)",
        "the reference adds the neighbour's residual",
    ),
    Mutant(
        "stepped-third-wait-lost",
        "sim/stepped/control/queue.py",
        "for unit, count in instruction.waits:",
        "for unit, count in instruction.waits[:2]:",
        "the reference starts instructions too early",
    ),
    Mutant(
        "stepped-padding-lanes-kept",
        "sim/stepped/gather/unit.py",
        "zeros=-(reduction + count) % self._shared.arch.rows if ends_vector else 0",
        "zeros=0",
        "results depend on what was in the patch buffer",
    ),
    Mutant(
        "stepped-border-not-masked",
        "sim/stepped/gather/unit.py",
        '(columns < gather["width"]) &',
        "",
        "the right border reads the next row instead of zeros",
    ),
    Mutant(
        "stepped-count-not-reset",
        "sim/stepped/index/unit.py",
        "            self._position = 0\n            self._scanner",
        "            self._scanner",
        "the second table of a program begins where the first one ended",
    ),
    Mutant(
        "stepped-gather-wraps-a-row-late",
        "sim/stepped/gather/unit.py",
        'reading.y >= gather["wrap_row"]',
        'reading.y > gather["wrap_row"]',
        "the first row behind the ring's end is read from beyond it",
    ),
    Mutant(
        "stepped-epilogue-wraps-a-row-early",
        "sim/stepped/epilogue/walk.py",
        'y >= fields["wrap_row"]',
        'y + 1 >= fields["wrap_row"]',
        "the last row of a ring is written before its begin",
    ),
    Mutant(
        "stepped-windows-wrap-a-row-late",
        "sim/stepped/epilogue/windows.py",
        'y - fields["inset"] >= fields["wrap_row"]',
        'y - fields["inset"] > fields["wrap_row"]',
        "a window reads the first row behind the ring's end from beyond it",
    ),
    Mutant(
        "stepped-window-goes-on-behind-its-end",
        "sim/stepped/epilogue/pipeline.py",
        "self.tile_sum = slot.value if slot.first else combine(self.tile_sum, slot.value)",
        "self.tile_sum = combine(self.tile_sum, slot.value)",
        "a maximum is that of all windows so far",
    ),
    Mutant(
        "stepped-outside-of-a-maximum-is-0",
        "sim/stepped/epilogue/pipeline.py",
        'outside = INT8_MIN if epilogue["kind"] == EpilogueKind.MAX else 0',
        "outside = 0",
        "a maximum at the border of a negative map is 0",
    ),
    Mutant(
        "stepped-lower-digit-signed",
        "sim/stepped/epilogue/pipeline.py",
        "(slot.value & ((1 << DIGIT_BITS) - 1)).astype(np.int8)",
        "(slot.value & ((1 << DIGIT_BITS + 1) - 1)).astype(np.int8)",
        "the two digits are another sum",
    ),
    Mutant(
        "stepped-digits-weigh-the-second",
        "sim/stepped/epilogue/pipeline.py",
        "                self.total = self.total + slot.value\n",
        '                self.total = self.total + (slot.value << DIGIT_BITS if epilogue["digits"] else slot.value)\n',
        "the digits of a sum change places",
    ),
    Mutant(
        "fast-digits-weigh-all",
        "sim/fast/epilogue_values.py",
        "if row[epilogue.DIGITS] and pixel == 0 else value",
        "if row[epilogue.DIGITS] else value",
        "logits from a summed vector are wrong",
    ),
    Mutant(
        "fast-ring-wraps-a-row-late",
        "sim/fast/scratchpad.py",
        "if wrap_row != 0 and y >= wrap_row:",
        "if wrap_row != 0 and y > wrap_row:",
        "bands are read and written beyond their ring",
    ),
    Mutant(
        "fast-windows-of-all-channels",
        "sim/fast/epilogue_windows.py",
        "place = (y * row[epilogue.SOURCE_WIDTH] + x) * row[epilogue.CHANNELS] + row[epilogue.FIRST_FILTER]",
        "place = (y * row[epilogue.SOURCE_WIDTH] + x) * row[epilogue.CHANNELS]",
        "every range of channels pools the first ones",
    ),
    Mutant(
        "fast-windows-cost-no-write",
        "sim/fast/epilogue_windows.py",
        "(row[epilogue.WINDOW] ** 2 + writes)",
        "(row[epilogue.WINDOW] ** 2 + writes - 1)",
        "cycle counts of networks with pools are too small",
    ),
    Mutant(
        "fast-slices-from-the-begin",
        "sim/fast/gather.py",
        "for k in range(low, low + slices * geometry.rows, geometry.rows):",
        "for k in range(0, slices * geometry.rows, geometry.rows):",
        "every piece of a reduction is its first one",
    ),
    Mutant(
        "fast-accumulate-ignored",
        "sim/fast/array.py",
        "if row[ACCUMULATE]:",
        "if row[ACCUMULATE] > 1:",
        "a reduction split over instructions keeps its last part only",
    ),
    Mutant(
        "fast-rounding-dropped",
        "sim/fast/arithmetic.py",
        "(np.int64(value) * multiplier + (np.int64(1) << (shift - 1))) >> shift",
        "(np.int64(value) * multiplier) >> shift",
        "about half of all values are smaller by one",
    ),
    Mutant(
        "fast-epilogue-a-cycle-late",
        "sim/fast/epilogue.py",
        "run = max(start + before, waits)",
        "run = max(start + before + 1, waits)",
        "cycle counts of a network are too large by one per EPILOGUE",
    ),
    Mutant(
        "fast-epilogues-one-after-the-other",
        "sim/fast/epilogue.py",
        "return start, run, end - overlap, end",
        "return start, run, end, end",
        "an EPILOGUE waits until the one before has left the pipeline: cycle counts are too large",
    ),
    Mutant(
        "stepped-raw-totals-overlap",
        "sim/stepped/epilogue/pipeline.py",
        "at[1].last and not self._raw_total(*at)",
        "at[1].last",
        "the reference takes an EPILOGUE while a raw total before it needs the instruction",
    ),
    Mutant(
        "fast-queue-place-free-early",
        "sim/fast/sequencer.py",
        "started_at[unit, number - geometry.queue_depth] + 1)",
        "started_at[unit, number - geometry.queue_depth])",
        "dispatch behind a full queue is a cycle early",
    ),
    Mutant(
        "fast-bursts-cross-4-kib",
        "sim/fast/dram.py",
        "return min(beats, (BURST_BOUNDARY - address % BURST_BOUNDARY) // BEAT_BYTES)",
        "return min(beats, (2 * BURST_BOUNDARY - address % (2 * BURST_BOUNDARY)) // BEAT_BYTES)",
        "LOADs across 4 KiB look faster than AXI allows",
    ),
    Mutant(
        "fast-writes-take-no-turn",
        "sim/fast/channel.py",
        "return max(earliest, end + geometry.burst_gap) +",
        "return earliest +",
        "a STORE beside LOADs looks as fast as alone, and the shared channel as wide as two",
    ),
    *SIMULATOR_TAPS,
    *SIMULATOR_DEPTHWISE,
    *SIMULATOR_APART,
    *SIMULATOR_ONLY,
    *SIMULATOR_LISTS,
    *SIMULATOR_RESIDUAL,
]
