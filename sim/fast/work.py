"""The effective work of one executed instruction: what its timing, and the reports, are made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WORK_DTYPE = np.dtype(
    [
        ("opcode", np.int64),
        ("tiles", np.int64),
        ("pixels", np.int64),
        ("filters", np.int64),
        ("slices", np.int64),
        ("reduction", np.int64),
        ("blocks", np.int64),
        ("cycles", np.int64),
        ("preload", np.int64),
        ("load_bound", np.int64),
        ("macs", np.int64),
        ("bytes", np.int64),
        ("bursts", np.int64),
        ("taken", np.int64),
        ("left_out", np.int64),
    ]
)
"""One record per executed instruction, in program order; what an opcode does not use is 0.

``opcode``
    isa.Opcode
``tiles``
    GATHER: tiles of the chunk; EPILOGUE: tiles pooled
``pixels``
    GATHER: vectors formed; MATMUL, EPILOGUE: P
``filters``
    MATMUL, EPILOGUE: N; INDEX: entries listed
``slices``, ``reduction``
    MATMUL: slices covered, and K; GATHER: slices written, and K
``blocks``
    MATMUL, EPILOGUE: blocks of the stationary operand
``cycles``
    GATHER, EPILOGUE, INDEX: cycles of work without latency or preload; MATMUL: from the first stream's
    begin to the last stream's end; LOAD, STORE: cycles that the data channel carries beats
``preload``
    EPILOGUE: parameters read before the waits; MATMUL: cycles of the first block's load
``load_bound``
    MATMUL: those of ``cycles`` in which the array waits for a stationary block's load
``macs``
    MATMUL: useful multiply-accumulates, P * N * reduction elements in the covered slices
``bytes``, ``bursts``
    LOAD, STORE: transferred bytes and AXI bursts
``taken``
    EXIT, SKIP: 1 if what it may do was done
``left_out``
    1 if a SKIP left it out
"""

FIELDS = WORK_DTYPE.names or ()
WORK_COLUMNS = len(FIELDS)
(
    OPCODE,
    TILES,
    PIXELS,
    FILTERS,
    SLICES,
    REDUCTION,
    BLOCKS,
    CYCLES,
    PRELOAD,
    LOAD_BOUND,
    MACS,
    BYTES,
    BURSTS,
    TAKEN,
    LEFT_OUT,
) = range(WORK_COLUMNS)


def as_records(table: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
    """An int64 table [n, WORK_COLUMNS] as records, without copying."""
    return np.ascontiguousarray(table).view(WORK_DTYPE)[:, 0]
