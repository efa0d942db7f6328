"""Faults of the RTL's windows, digits and rings of rows in EPILOGUE."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_BENCH = "tests/hw/epilogue/test_epilogue.py -k 4x4"
_LEGALITY = "tests/hw/control/test_sequencer.py -k illegal"

WINDOWS = [
    Mutant(
        "maximum-outside-is-zero",
        "hw/epilogue/averages.py",
        "Mux(kept.maximum, INT8_MIN & 0xFF, 0)",
        "0",
        "a max pool's padding beats negative values at the map's edge",
        _BENCH,
    ),
    Mutant(
        "maximum-without-sign",
        "hw/epilogue/averages.py",
        "(added > tile_sum[:8].as_signed())",
        "(added > tile_sum[:8])",
        "a max pool keeps a negative value although a larger negative one follows",
        _BENCH,
    ),
    Mutant(
        "window-reads-accumulators",
        "hw/epilogue/pipeline.py",
        "(read.entry & (~self.work.windows | (self.work.taps & ~self._tap_outside)))",
        "read.entry",
        "a pooling in front of a bank that the array writes stops the machine",
        _BENCH,
    ),
    Mutant(
        "window-beside-the-map",
        "hw/epilogue/pixel_address.py",
        "(x >= across)",
        "0",
        "windows at the left and right edge see pixels of the rows beside",
        _BENCH,
    ),
    Mutant(
        "windows-side-by-side",
        "hw/epilogue/setup.py",
        "Mux(alone, fields.step, fields.tile << twice)",
        "Mux(alone, fields.window, fields.tile << twice)",
        "overlapping windows lie side by side",
        _BENCH,
    ),
    Mutant(
        "inset-of-the-first-window-only",
        "hw/epilogue/pixel_walk.py",
        "Mux(last_inside, work.inside_first, here.inside_y + 1)",
        "Mux(last_inside, 0, here.inside_y + 1)",
        "all windows but the first begin below their first row",
        _BENCH,
    ),
    Mutant(
        "window-below-the-map-written",
        "hw/epilogue/pixel_address.py",
        "write_average.data.outside.eq(outside & self.work.windows)",
        "write_average.data.outside.eq(0)",
        "results below the output map overwrite what lies behind it",
        _BENCH,
    ),
    Mutant(
        "window-with-relu",
        "hw/epilogue/setup.py",
        "work.relu.eq(fields.relu & (~work.windows | work.depthwise))",
        "work.relu.eq(fields.relu)",
        "negative pixels of a window count as 0 if the unused bit happens to be set",
        _BENCH,
    ),
    Mutant(
        "upper-digit-rounded",
        "hw/epilogue/averages.py",
        "with m.If(kept.split):\n            m.d.sync += twice[0].eq(0)",
        "with m.If(0):\n            m.d.sync += twice[0].eq(0)",
        "of about half of all sums the two digits are 128 too much",
        _BENCH,
    ),
    Mutant(
        "lower-digit-not-cut",
        "hw/epilogue/averages.py",
        "twice[DIGIT_BITS + 1 :].eq(0)",
        "twice[HALF_BITS - 1 :].eq(0)",
        "the lower digit of sums from 128 on is 127",
        _BENCH,
    ),
    Mutant(
        "digits-beyond-their-queue",
        "hw/epilogue/pixel_address.py",
        "(~walk.averages | work.split)\n        ended = self.take_pixel | (self.take_tile & work.split)",
        "~walk.averages\n        ended = self.take_pixel",
        "digits of small windows go to each other's places if the instruction waits long",
        _BENCH,
    ),
    Mutant(
        "digits-weigh-alike",
        "hw/epilogue/pipeline.py",
        "before = Mux(work.digits, total.shift_left(DIGIT_BITS)[:ACCUMULATOR_BITS], total)",
        "before = total",
        "a gate's reduction of two digits is their plain sum",
        _BENCH,
    ),
    Mutant(
        "ring-a-row-late",
        "hw/epilogue/pixel_address.py",
        "(y >= work.wrap_row)",
        "(y > work.wrap_row)",
        "the first row behind a ring's end is written behind it",
        _BENCH,
    ),
    Mutant(
        "ring-of-the-pooled-map",
        "hw/epilogue/pixel_address.py",
        "lower.eq(work.wraps & ~pooled[3] & ~residual[3] &",
        "lower.eq(work.wraps & ~residual[3] &",
        "averages of tiles in rows from wrap_row on are written in front of the pooled map",
        _BENCH,
    ),
    Mutant(
        "digits-of-any-window",
        "hw/control/operand_rules.py",
        "(fields.window > MOST_DIGITS_WINDOW)",
        "(fields.window > 31)",
        "sums that do not fit two digits are cut without a word",
        _LEGALITY,
    ),
    Mutant(
        "inset-unchecked",
        "hw/control/operand_rules.py",
        "fields.inset >= fields.window",
        "fields.inset > fields.window",
        "windows that lie in the padding as a whole are accepted",
        _LEGALITY,
    ),
]
