"""How data lie in memories and in instruction fields: numbers that the compiler, both simulators and the RTL share.

Only numbers and layouts are here. How they are used is written more than once on purpose: two algorithms that agree
are evidence.
"""

from __future__ import annotations

from math import isqrt

import numpy as np

from gatewright.contract.arch import BEAT_BYTES, INSTRUCTION_BYTES, MOST_COLUMNS, PARAMETER_BYTES, PORT_BYTES
from gatewright.contract.arithmetic import ACCUMULATOR_BITS

REGION_UNIT = 4
"""Regions of the patch and weight buffers begin at a multiple of this many words; fields hold base div REGION_UNIT.
Vectors of a region are a multiple of it, too."""

SCRATCHPAD_SPACE = 1 << 20
"""Scratchpad addresses are sums modulo this: a map's begin may lie "before" byte 0, if no byte there is used."""

DIGIT_BITS = 7
"""A sum s of EPILOGUE's kind DIGITS is (s >> DIGIT_BITS) and the bits below, two int8; REDUCE with ``digits`` weighs
them so."""

MOST_DIGITS_WINDOW = 11
"""The edge of the largest window whose sum fits two digits: 121 values of at least -128."""


def most_taps_window(columns: int) -> int:
    """The edge of the largest window of kind TAPS: an array of so many columns has a lane for each of its places."""
    return isqrt(columns)


MOST_DEPTHWISE_WINDOW = 3
MOST_DEPTHWISE_STEP = 2

DEPTHWISE_ENTRIES = 4
"""Parameter entries of a channel of kind DEPTHWISE: weights of two rows, of the third row, what any filter has, and
one that is not used."""

DEPTHWISE_PARTS = 3
"""Those that are read."""

DEPTHWISE_ROWS = ((0, 0), (0, 3), (1, 0))
"""(entry, byte) at which a row of a DEPTHWISE channel's weights begins. Each has MOST_DEPTHWISE_WINDOW bytes, of which
those of a smaller window are the last."""

TABLE_ENTRY_BITS = 16
TABLE_ENTRY_BYTES = TABLE_ENTRY_BITS // 8
TABLE_ENTRIES_PER_BEAT = BEAT_BYTES // TABLE_ENTRY_BYTES

COORDINATE_BITS = TABLE_ENTRY_BITS // 2
"""An entry of a table of tiles is y << COORDINATE_BITS | x, in tiles."""

COORDINATE_MASK = (1 << COORDINATE_BITS) - 1

MASK_WORD_BITS = 16
"""Mask bits that INDEX looks at together."""

MASK_GROUP_BITS = 4
"""Mask bits that INDEX lists in one cycle; a word with ones in n of its groups takes max(1, n) cycles."""

PARAMETER_DTYPE = np.dtype([("bias", "<i4"), ("multiplier", "<u2"), ("shift", "u1"), ("unused", "u1")])
"""One filter's epilogue parameters, in DRAM and on chip."""

assert PARAMETER_DTYPE.itemsize == PARAMETER_BYTES and PARAMETER_DTYPE.fields is not None
PARAMETER_OFFSETS = {name: place[1] for name, place in PARAMETER_DTYPE.fields.items()}
"""The first byte of each of its parts."""

PARAMETERS_PER_BEAT = BEAT_BYTES // PARAMETER_BYTES
INSTRUCTION_BEATS = INSTRUCTION_BYTES // BEAT_BYTES
LOGIT_BYTES = ACCUMULATOR_BITS // 8
"""A logit, and every other raw total that EPILOGUE writes, is an int32."""

RAW_LANES = PORT_BYTES // LOGIT_BYTES
"""Raw totals that one write to the scratchpad takes."""

RAW_WRITES = -(-MOST_COLUMNS // RAW_LANES)
"""Cycles in which those of a block are written: as many in every machine."""
