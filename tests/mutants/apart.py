"""Faults of GATHER where the pixels of a kernel row lie apart, in the RTL and in both simulators."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_BENCH = "tests/hw/gather/test_gather.py -k 4x4"

HARDWARE_APART = [
    Mutant(
        "apart-row-step-not-dilated",
        "hw/gather/address.py",
        "Mux(how.row, running.kernel_pitch, running.first_pitch)",
        "Mux(how.row, running.pitch, running.first_pitch)",
        "from its third row on a dilated kernel reads rows side by side",
        _BENCH,
    ),
    Mutant(
        "apart-columns-move-the-row",
        "hw/gather/address.py",
        "with m.If(~goes_on & ~how.column):",
        "with m.If(~goes_on):",
        "the second row of a kernel whose pixels lie apart begins at its last column",
        _BENCH,
    ),
    Mutant(
        "apart-column-kept-over-rows",
        "hw/gather/walk.py",
        "[y.eq(y + running.dilation), x.eq(pixel_x)]",
        "y.eq(y + running.dilation)",
        "rows of a kernel but the first are cut at the map's right edge where they are not",
        _BENCH,
    ),
    Mutant(
        "apart-padding-of-what-is-read",
        "hw/gather/prepare.py",
        "left.eq(small_product(pixel, operands.padding_x[:half]))",
        "left.eq(small_product(channels, operands.padding_x[:half]))",
        "a padded convolution of a map's first channels reads beside its pixels",
        _BENCH,
    ),
    Mutant(
        "apart-begin-inside-a-row",
        "hw/gather/prepare.py",
        "sizes.first_begin.any() & (several > 1)",
        "sizes.first_begin.any() & (several > 2)",
        "a GATHER that begins inside a kernel row of two columns whose pixels lie apart is not refused",
        "tests/cosim/test_random_lockstep.py -k inside_a_kernel_row",
    ),
]

SIMULATOR_APART = [
    Mutant(
        "fast-gather-pitch-of-what-is-read",
        "sim/fast/gather.py",
        "pitch = channels if row[PIXEL_CHANNELS] == 0 else row[PIXEL_CHANNELS]",
        "pitch = channels",
        "the first channels of a map are read as if it had no others",
    ),
    Mutant(
        "stepped-gather-rows-not-dilated",
        "sim/stepped/gather/unit.py",
        "kernel_row * step",
        "kernel_row",
        "a dilated kernel reads rows side by side",
    ),
]
