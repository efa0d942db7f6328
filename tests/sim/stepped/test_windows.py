"""The stepped simulator refuses the operands that the machine's page calls illegal for windows and digits."""

from __future__ import annotations

import re

import pytest

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import EpilogueKind, Opcode
from gatewright.sim.stepped import step_simulate
from gatewright.verify.kit.programs import make_program, row

ARCH = ArchConfig(name="4x4", rows=4, columns=4)
LEGAL = {"tile": 1, "tile_count": 2, "pixel_count": 2, "filter_count": 3, "channels": 4, "parameters": 1}
LEGAL |= {"source": 64, "source_height": 4, "source_width": 4, "window": 3, "step": 2, "inset": 1}
LEGAL |= {"out_height": 2, "out_width": 2, "destination": 256}
MAX, AVERAGE, DIGITS = EpilogueKind.MAX, EpilogueKind.AVERAGE, EpilogueKind.DIGITS


@pytest.mark.parametrize("kind", [MAX, AVERAGE, DIGITS])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": 9}, "kind 9 does not exist"),
        ({"stationary": 1}, "windows need stationary filters and tile 1"),
        ({"tile": 2}, "windows need stationary filters and tile 1"),
        ({"tile_table": 0}, "windows take no tables"),
        ({"filter_table": 0}, "windows take no tables"),
        ({"window": 0, "inset": 0}, "window and step are at least 1"),
        ({"step": 0}, "window and step are at least 1"),
        ({"inset": 3}, "inset is below window"),
        ({"digits": 1}, "digits needs a reduction"),
        ({"pool": 1}, "pool and residual need kind STORE"),
        ({"residual": 1}, "pool and residual need kind STORE"),
        ({"compact": 1}, "compact needs a filter_table"),
    ],
)
def test_illegal_windows(kind: EpilogueKind, fields: dict[str, int], message: str) -> None:
    operands: dict[str, int] = {"kind": kind, **LEGAL, **fields}
    with pytest.raises(GatewrightError, match=r"instruction 0 \(EPILOGUE\): .*" + re.escape(message)):
        step_simulate(make_program(ARCH, [row(Opcode.EPILOGUE, (), **operands)]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"window": 3}, "an array of 4 columns has no lane for each place"),
        ({"channels": 2}, "channels is 1"),
        ({"wrap_row": 1}, "accumulators are no ring of rows"),
    ],
)
def test_illegal_taps(fields: dict[str, int], message: str) -> None:
    legal = {**LEGAL, "kind": EpilogueKind.TAPS, "window": 2, "channels": 1, "filter_count": 1}
    with pytest.raises(GatewrightError, match=message):
        step_simulate(make_program(ARCH, [row(Opcode.EPILOGUE, (), **{**legal, **fields})]))


def test_what_depends_on_the_kind() -> None:
    """The pooling's entry is not needed for digits, nor is a window of any size possible."""
    for kind, fields, message in (
        (MAX, {"parameters": 0}, "no parameter entry before entry 0"),
        (AVERAGE, {"parameters": 0}, "no parameter entry before entry 0"),
        (DIGITS, {"window": 12}, "a window of more than 11 pixels"),
    ):
        for other in (MAX, AVERAGE, DIGITS):
            operands: dict[str, int] = {**LEGAL, "kind": other, **fields}
            program = make_program(ARCH, [row(Opcode.EPILOGUE, (), **operands)])
            if other == kind or (kind != DIGITS and other != DIGITS):
                with pytest.raises(GatewrightError, match=message):
                    step_simulate(program)
            else:
                assert step_simulate(program).cycles > 0


@pytest.mark.parametrize("kind", [EpilogueKind.REDUCE, EpilogueKind.REDUCE_RAW])
def test_digits_are_two(kind: EpilogueKind) -> None:
    for pixels in (1, 2, 3, 0):
        sizes = {"tile": 1, "tile_count": pixels, "pixel_count": pixels, "filter_count": 3}
        program = make_program(ARCH, [row(Opcode.EPILOGUE, (), kind=kind, digits=1, **sizes)])
        if pixels in (0, 2):
            assert step_simulate(program).cycles > 0
        else:
            with pytest.raises(GatewrightError, match=f"digits adds up the entries of 2 pixels, not of {pixels}"):
                step_simulate(program)


def test_windows_outside_of_the_scratchpad() -> None:
    """Only bytes that are read or written count: a row that no window reaches may lie anywhere."""
    last = ARCH.scratchpad_bytes - 16
    for fields, good in (
        ({"source": last + 1, "source_height": 1}, True),
        ({"source": last + 2, "source_height": 1}, False),
        ({"source": last, "source_height": 2}, False),
        ({"source": last, "source_height": 2, "wrap_row": 1, "wrap_bytes": 1024}, True),
        ({"destination": last + 8, "out_height": 1}, True),
        ({"destination": last + 10, "out_height": 1}, False),
    ):
        operands: dict[str, int] = {**LEGAL, "kind": MAX, **fields}
        program = make_program(ARCH, [row(Opcode.EPILOGUE, (), **operands)])
        if good:
            assert step_simulate(program).cycles > 0
        else:
            with pytest.raises(GatewrightError, match="scratchpad bytes"):
                step_simulate(program)
