"""The dynamic index table: what a gate's mask becomes before anything can be skipped.

A table is a count and a list of 16-bit entries. A table of tiles holds ``y << 8 | x``, in raster
order; a table of channels holds plain indices, ascending. In DRAM a table is its entries, little
endian, padded to a whole beat; its count is the LOAD instruction's ``count``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.encodings import COORDINATE_BITS


def build_table(mask: npt.NDArray[np.bool_], complement: bool = False) -> npt.NDArray[np.uint16]:
    """The entries for a mask: tiles for shape [grid height, grid width], plain indices for shape [channels].

    ``complement`` lists the positions that are off.
    """
    chosen = ~mask if complement else mask
    if chosen.ndim == 1:
        return np.flatnonzero(chosen).astype(np.uint16)
    y, x = np.nonzero(chosen)
    return (y << COORDINATE_BITS | x).astype(np.uint16)
