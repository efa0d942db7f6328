"""Faults of EPILOGUE's kind DEPTHWISE, in the RTL and in both simulators."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_BENCH = "tests/hw/epilogue/test_epilogue.py -k 4x4"
_LEGALITY = "tests/hw/control/test_sequencer.py -k illegal"

HARDWARE_DEPTHWISE = [
    Mutant(
        "kernel-without-the-borrow",
        "hw/epilogue/kernel_sums.py",
        "Cat(borrowed, high)",
        "Cat(0, high)",
        "depthwise sums are too small by the number of negative products beside them",
        _BENCH,
    ),
    Mutant(
        "kernel-outside-counts",
        "hw/epilogue/kernel_sums.py",
        "pixel.eq(Mux(self.outside, 0, self.pixels[lane]))",
        "pixel.eq(self.pixels[lane])",
        "depthwise results at a map's edge see bytes that were never read",
        _BENCH,
    ),
    Mutant(
        "kernel-row-of-the-column-before",
        "hw/epilogue/kernel_sums.py",
        "Mux(self.row[1], rows[2], Mux(self.row[0], rows[1], rows[0]))",
        "Mux(self.row[1], rows[1], Mux(self.row[0], rows[1], rows[0]))",
        "the kernel's last row is never used",
        _BENCH,
    ),
    Mutant(
        "kernel-short-one-goes-on",
        "hw/epilogue/kernel_sums.py",
        "Mux(shorter[place], 0, earlier)",
        "earlier",
        "kernels of one or two columns add up over the columns before",
        _BENCH,
    ),
    Mutant(
        "kernel-sums-kept-between-rows",
        "hw/epilogue/kernel_row.py",
        "before = Mux(self.due, Mux(self.ends, work.kernel_last, work.skipped), self._before - 1)",
        "before = Mux(self.due, work.skipped, self._before - 1)",
        "the first results of each row of a tile are those of windows that lie across two rows",
        _BENCH,
    ),
    Mutant(
        "kernel-step-of-one",
        "hw/epilogue/setup.py",
        "twice.eq(work.depthwise & fields.step[1])",
        "twice.eq(0)",
        "a depthwise convolution of stride 2 is one of stride 1 on a part of the map",
        _BENCH,
    ),
    Mutant(
        "kernel-next-row-of-results",
        "hw/epilogue/pixel_walk.py",
        "top + 1 + work.skipped",
        "top + 1",
        "with stride 2 the rows of a tile's results are those of stride 1",
        _BENCH,
    ),
    Mutant(
        "kernel-results-beside-the-map",
        "hw/epilogue/pixel_address.py",
        "outside.eq((y >= height) | (x >= across))",
        "outside.eq((y >= height) | (~pooled[3] & (x >= across)))",
        "tiles that are cut at the right edge write into the row below",
        _BENCH,
    ),
    Mutant(
        "kernel-tiles-side-by-side",
        "hw/epilogue/pixel_address.py",
        "stored.eq(Mux(pooled[4] & ~work.depthwise, work.channels, work.stored))",
        "stored.eq(Mux(pooled[4], work.channels, work.stored))",
        "results of a gated layer lie as if all of its channels were there",
        _BENCH,
    ),
    Mutant(
        "kernel-one-entry-a-channel",
        "hw/epilogue/unit.py",
        "Mux(work.depthwise, of_channel, offset)",
        "Mux(work.depthwise, offset << KERNEL_BITS, offset)",
        "a channel's first weights are taken for all of its rows, and for its bias",
        _BENCH,
    ),
    Mutant(
        "kernel-without-relu",
        "hw/epilogue/setup.py",
        "fields.relu & (~work.windows | work.depthwise)",
        "fields.relu & ~work.windows",
        "negative results of depthwise layers go on",
        _BENCH,
    ),
    Mutant(
        "kernel-residual-added",
        "hw/epilogue/setup.py",
        "work.adds.eq(fields.residual | (work.windows & ~work.taps & ~work.depthwise))",
        "work.adds.eq(fields.residual | (work.windows & ~work.taps))",
        "a pixel that is read is added to a result and is missing in the next window",
        _BENCH,
    ),
    Mutant(
        "kernel-step-unchecked",
        "hw/control/operand_rules.py",
        "| (fields.step > MOST_DEPTHWISE_STEP)",
        "",
        "a stride that the machine does not have gives other results without a word",
        _LEGALITY,
    ),
]

SIMULATOR_DEPTHWISE = [
    Mutant(
        "fast-kernel-turned",
        "sim/fast/epilogue_depthwise.py",
        "sums[j] += weights[dy, dx, j]",
        "sums[j] += weights[dx, dy, j]",
        "depthwise kernels are mirrored at their diagonal",
    ),
    Mutant(
        "fast-kernel-columns-free",
        "sim/fast/epilogue_depthwise.py",
        "((piece - 1) * step + window) * window + piece",
        "piece * step * window + piece",
        "cycle counts of depthwise layers are too small",
    ),
    Mutant(
        "stepped-kernel-sums-not-moved",
        "sim/stepped/epilogue/depthwise.py",
        "self._sums[MOST_DEPTHWISE_WINDOW - window] = 0",
        "self._sums[0] = 0",
        "kernels of one or two columns add up over the columns before",
    ),
]
