"""Faults of EPILOGUE's kind TAPS, in the RTL and in both simulators."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_BENCH = "tests/hw/epilogue/test_epilogue.py -k 4x4"
_LEGALITY = "tests/hw/control/test_sequencer.py -k illegal"

HARDWARE_TAPS = [
    Mutant(
        "taps-outside-count",
        "hw/epilogue/pipeline.py",
        "tap.eq(Mux(outside, 0, lane))",
        "tap.eq(lane)",
        "gates of tiles at the map's edge see the rows beside",
        _BENCH,
    ),
    Mutant(
        "taps-of-one-lane",
        "hw/epilogue/pipeline.py",
        "[details[BIAS].lane]",
        "[0]",
        "a spatial gate's kernel is the same at each of its places",
        _BENCH,
    ),
    Mutant(
        "taps-without-bias",
        "hw/epilogue/pipeline.py",
        "Mux(details[BIAS + 1].first, self._first_bias, total)",
        "Mux(details[BIAS + 1].first, 0, total)",
        "spatial gates decide without their bias",
        _BENCH,
    ),
    Mutant(
        "taps-below-the-grid",
        "hw/epilogue/pipeline.py",
        "(kind[MASK].pool & kept.taps & ~place.outside)",
        "(kind[MASK].pool & kept.taps)",
        "bits behind a mask's grid are overwritten",
        _BENCH,
    ),
    Mutant(
        "taps-into-the-scratchpad",
        "hw/epilogue/pipeline.py",
        "(leaving.pool & ~kept.taps)",
        "leaving.pool",
        "a gate's decisions are written over the byte that has the mask bit's number",
        _BENCH,
    ),
    Mutant(
        "taps-keep-the-lane",
        "hw/epilogue/walk.py",
        "m.d.sync += [step.eq(pixel), lane.eq(0)]",
        "m.d.sync += step.eq(pixel)",
        "from the second tile on, a gate takes other places' weights",
        _BENCH,
    ),
    Mutant(
        "taps-in-a-ring",
        "hw/control/operand_rules.py",
        " | (fields.wrap_row != 0)",
        "",
        "taps of rows behind a row that means nothing come from other entries without a word",
        _LEGALITY,
    ),
]

SIMULATOR_TAPS = [
    Mutant(
        "fast-taps-turned",
        "sim/fast/epilogue_taps.py",
        "bank[entry, place]",
        "bank[entry, window * window - 1 - place]",
        "spatial gates decide by their kernel turned round",
    ),
    Mutant(
        "fast-taps-cost-no-sign",
        "sim/fast/epilogue_taps.py",
        "pixels * (row[epilogue.WINDOW] ** 2 + 1)",
        "pixels * row[epilogue.WINDOW] ** 2",
        "cycle counts of networks with such gates are too small",
    ),
    Mutant(
        "stepped-taps-add-up-over-tiles",
        "sim/stepped/epilogue/pipeline.py",
        "before = int(self.bias[0]) if slot.first else self.tap_sum",
        "before = int(self.bias[0]) + self.tap_sum if slot.first else self.tap_sum",
        "every tile's decision depends on those before it",
    ),
]
