"""What a LOAD uses, for the audit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, PARAMETER_BYTES
from gatewright.contract.encodings import REGION_UNIT
from gatewright.sim.fast import load
from gatewright.sim.fast.kernels import kernel
from gatewright.sim.fast.sizes import ceil_div
from gatewright.sim.fast.state import Geometry, State
from gatewright.sim.fast.touched import (
    PORT_B,
    READ,
    TABLE_WRITE,
    WRITE,
    Places,
    Touched,
    touch,
    touch_bytes,
    touch_table,
    use_port,
)


@kernel
def accesses(
    geometry: Geometry,
    state: State,
    at: Places,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    touched: Touched,
) -> None:
    """What a LOAD used: see ``touched``."""
    touch_table(touched, at, row[load.ROW_TABLE], READ)
    rows = load.rows_read(state, row)
    size = row[load.ROW_BEATS] * BEAT_BYTES
    for position in range(rows):
        touch_bytes(touched, at.dram, load.row_address(state, row, position), size, READ)
    space, address = row[load.SPACE], row[load.ADDRESS]
    if space == load.SCRATCHPAD:
        touch_bytes(touched, at.scratchpad, address, rows * size, WRITE)
        if rows * size > 0:
            use_port(touched, PORT_B)
    elif space == load.PARAMETERS:
        for number in range(rows * size // PARAMETER_BYTES):
            touch(touched, at.parameter + address + number, WRITE)
    elif space == load.TABLE:
        touch(touched, at.table + address, WRITE)
        use_port(touched, TABLE_WRITE)
    elif space == load.INSTRUCTIONS:
        for number in range(rows * size // state.instructions.shape[1]):
            touch(touched, at.instruction + address + number, WRITE)
    else:
        by_vector = space == load.WEIGHTS_BY_VECTOR
        slices = row[load.COUNT] if by_vector else ceil_div(row[load.TAPS] * rows, geometry.rows)
        vectors = rows if by_vector else row[load.VECTORS]
        for one_slice in range(slices):
            word = address * REGION_UNIT + one_slice * row[load.VECTORS]
            for vector in range(vectors):
                touch(touched, at.weight + word + vector, WRITE)
