"""Faults of residuals from elsewhere, in the RTL and in both simulators."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_BENCH = "tests/hw/epilogue/test_epilogue.py -k 8x8"
_LEGALITY = "tests/hw/control/test_sequencer.py -k illegal"

HARDWARE_RESIDUAL = [
    Mutant(
        "coarse-residual-columns-not-shifted",
        "hw/epilogue/pixel_address.py",
        "column.eq(sum_x >> shift)",
        "column.eq(sum_x)",
        "a coarser map is upsampled in rows alone",
        _BENCH,
    ),
    Mutant(
        "elsewhere-as-wide-as-the-output",
        "hw/epilogue/pixel_address.py",
        "Mux(residual[2], work.source_width, work.width)",
        "work.width",
        "rows of a residual from elsewhere are as long as the output's",
        _BENCH,
    ),
    Mutant(
        "elsewhere-of-the-first-filters",
        "hw/epilogue/pixel_walk.py",
        "residual_base.eq(residual_base + work.group)",
        "residual_base.eq(residual_base)",
        "every block of filters is added to the channels of the first",
        _BENCH,
    ),
    Mutant(
        "elsewhere-in-the-outputs-ring",
        "hw/epilogue/pixel_address.py",
        "~pooled[3] & ~residual[3] & (y >= work.wrap_row)",
        "~pooled[3] & (y >= work.wrap_row)",
        "where the output's ring wraps, the residual is read in front of its map",
        _BENCH,
    ),
    Mutant(
        "elsewhere-outside-the-coarse-map",
        "hw/epilogue/pixel_address.py",
        "across.eq(Mux(pooled[2], work.pooled_width, work.width))",
        "across.eq(Mux(pooled[2], work.pooled_width, Mux(residual[2], work.source_width, work.width)))",
        "columns beyond the coarse map's width get no residual, or the one before",
        _BENCH,
    ),
    Mutant(
        "upsampling-in-place-unchecked",
        "hw/control/operand_rules.py",
        "fields.upsample.any() & ~fields.elsewhere,",
        "",
        "a residual in the sum's place is added as if it were coarser, without a word",
        _LEGALITY,
    ),
]

SIMULATOR_RESIDUAL = [
    Mutant(
        "fast-coarse-rows-not-shifted",
        "sim/fast/epilogue.py",
        "(y >> row[UPSAMPLE]) * row[SOURCE_WIDTH]",
        "y * row[SOURCE_WIDTH]",
        "a coarser map is upsampled in columns alone",
    ),
    Mutant(
        "stepped-elsewhere-as-wide-as-the-output",
        "sim/stepped/epilogue/walk.py",
        '(y >> fields["upsample"]) * fields["source_width"]',
        '(y >> fields["upsample"]) * fields["out_width"]',
        "rows of a residual from elsewhere are as long as the output's",
    ),
]
