"""Faults of the two simulators."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

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
        "yield self._address(pixel, block * self._columns), self._lanes(block)",
        "yield self._address(max(0, pixel - 1), block * self._columns), self._lanes(block)",
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
        "fast-queue-place-free-early",
        "sim/fast/sequencer.py",
        "started_at[unit, number - geometry.queue_depth] + 1)",
        "started_at[unit, number - geometry.queue_depth])",
        "dispatch behind a full queue is a cycle early",
    ),
    Mutant(
        "fast-bursts-cross-4-kib",
        "sim/fast/dram.py",
        "length = min(beats, (BURST_BOUNDARY - address % BURST_BOUNDARY) // BEAT_BYTES)",
        "length = min(beats, (2 * BURST_BOUNDARY - address % (2 * BURST_BOUNDARY)) // BEAT_BYTES)",
        "LOADs across 4 KiB look faster than AXI allows",
    ),
]
