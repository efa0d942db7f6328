"""A run worked out by hand on the 4x4 machine: every cycle's cause is written beside it.

A convolution (conv1), a gate that decides on it, a gated convolution (conv2), and the result's way
out (fc). The cycles obey the machine's rules; ``EXPECTED`` is the attribution, in slots of 16 a cycle.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import Opcode, Stationary, Unit
from gatewright.contract.program import Program
from gatewright.contract.program_parts import GateRecord, Region
from gatewright.contract.trace import TRACE_DTYPE, Trace
from gatewright.sim.fast.work import WORK_DTYPE
from gatewright.sim.result import SimResult
from gatewright.verify.kit.programs import make_program, row

CYCLES = 442

_RUN: list[tuple[Opcode, str, list[tuple[Unit, int]], tuple[int, int, int, int], dict[str, int], dict[str, int]]] = [
    # opcode, layer, waits, (dispatch, start, run, done), fields, work
    # 0 to 102: the boot page; 102: dispatch; 103 to 109: decode; 109 to 195: conv1's weights.
    (
        Opcode.LOAD,
        "conv1",
        [],
        (102, 109, 109, 195),
        {"rows": 2, "row_beats": 3},
        {"bytes": 96, "cycles": 8, "bursts": 2},
    ),
    (Opcode.GATHER, "conv1", [], (103, 110, 110, 126), {}, {"cycles": 8}),
    # 195: load; 196 to 206: two tiles of 5 vectors, 5 * 3 * 6 MACs in 160 slots; then 14 of drain.
    (
        Opcode.MATMUL,
        "conv1",
        [(Unit.LOAD, 1), (Unit.GATHER, 1)],
        (104, 195, 195, 220),
        {"stationary": Stationary.FILTERS},
        {"pixels": 5, "filters": 3, "slices": 2, "blocks": 1, "cycles": 10, "preload": 1, "macs": 90},
    ),
    # 220 to 240: the epilogue, after its parameters were read and the drain was waited for.
    (Opcode.EPILOGUE, "conv1", [(Unit.ARRAY, 1)], (105, 112, 220, 240), {}, {"cycles": 5, "preload": 3}),
    # 240 to 244: four filters by table, one a cycle; 244 to 248: one vector, at the least distance of 4.
    (
        Opcode.MATMUL,
        "gate",
        [(Unit.EPILOGUE, 1)],
        (106, 240, 240, 262),
        {"stationary": Stationary.FILTERS},
        {"pixels": 1, "filters": 4, "slices": 1, "blocks": 1, "cycles": 4, "preload": 4, "macs": 16},
    ),
    (Opcode.EPILOGUE, "gate", [(Unit.ARRAY, 2)], (107, 240, 262, 278), {}, {"cycles": 1, "preload": 4}),
    (Opcode.INDEX, "gate", [(Unit.EPILOGUE, 2)], (108, 278, 278, 294), {"grid_width": 2}, {"cycles": 4}),
    (Opcode.GATHER, "conv2", [(Unit.INDEX, 1)], (109, 294, 294, 314), {}, {"cycles": 12}),
    (
        Opcode.MATMUL,
        "conv2",
        [(Unit.GATHER, 2)],
        (110, 314, 314, 341),
        {"stationary": Stationary.PIXELS},
        {"pixels": 4, "filters": 6, "slices": 2, "blocks": 1, "cycles": 12, "preload": 1, "macs": 120},
    ),
    (Opcode.EPILOGUE, "conv2", [(Unit.ARRAY, 3)], (111, 278, 341, 366), {}, {"cycles": 10}),
    (Opcode.STORE, "fc", [(Unit.EPILOGUE, 3)], (112, 366, 366, 441), {"beats": 1}, {"bytes": 16, "bursts": 1}),
    (Opcode.END, "end", [], (441, 441, 441, 442), {}, {}),
]

KINDS = {"conv1": "gated", "gate": "gate", "conv2": "gated", "fc": "ungated", "end": "control"}

EXPECTED: dict[str, dict[str, int]] = {
    "boot": {"dram_stalls": 102 * 16},
    "conv1": {
        "dispatch": 7 * 16,  # 102 to 109
        "dram_stalls": 86 * 16,  # 109 to 195
        "stationary_loads": 16,  # 195
        "useful": 90,
        "lane_rounding": 160 - 90,
        "pipeline": (14 + 20) * 16,  # drain 206 to 220, epilogue 220 to 240
    },
    "gate": {
        "stationary_loads": (4 + 3) * 16,  # 240 to 244, and the cycles of 244 to 248 without a vector
        "useful": 16,
        "pipeline": (14 + 16) * 16,  # drain 248 to 262, threshold 262 to 278
        "index_building": 16 * 16,  # 278 to 294
    },
    "conv2": {
        "pipeline": (20 + 14 + 25) * 16,  # gather 294 to 314, drain 327 to 341, epilogue 341 to 366
        "stationary_loads": 16,  # 314
        "useful": 120,
        "lane_rounding": 12 * 16 - 120,
    },
    "fc": {"dram_stalls": 75 * 16},  # 366 to 441
    "end": {"dispatch": 16},  # 441
}

LAYER_CYCLES = {
    "boot": 102,
    "conv1": 7 + 86 + 1 + 10 + 34,
    "gate": 8 + 30 + 16,
    "conv2": 59 + 1 + 12,
    "fc": 75,
    "end": 1,
}
ARRAY_CYCLES = {"conv1": 10, "gate": 4, "conv2": 12}


def hand_program() -> Program:
    """The program of the run, with a spatial gate of 2 by 2 tiles whose INDEX is instruction 6."""
    rows = [row(opcode, waits, **fields) for opcode, _, waits, _, fields, _ in _RUN]
    program = make_program(PRESETS["4x4"], rows)
    return replace(
        program,
        layers=[layer for _, layer, *_ in _RUN],
        layer_kinds=dict(KINDS),
        macs={"conv1": 90, "gate": 16, "conv2": 120, "fc": 0},
        gates=[GateRecord("gate", "spatial", 0, 4, (1, 0, 1, 1), (0, 256, 257), 6)],
        regions=[Region("input", "input", 0, 0)],
    )


def hand_result(cycles: int = CYCLES) -> SimResult:
    """What the simulator would return for it, as far as the report looks."""
    from gatewright.contract.isa import FORMATS

    records = np.zeros(len(_RUN), TRACE_DTYPE)
    work: npt.NDArray[np.void] = np.zeros(len(_RUN), WORK_DTYPE)
    for position, (opcode, _, _, times, _, values) in enumerate(_RUN):
        records[position] = (position, FORMATS[opcode].unit, *times)
        work["opcode"][position] = opcode
        for name, value in values.items():
            work[name][position] = value
    return SimResult(
        cycles=cycles,
        trace=Trace(records, cycles),
        outputs={},
        dram=np.zeros(0, np.uint8),
        scratchpad=np.zeros(0, np.uint8),
        masks=np.zeros((16, 1024), np.bool_),
        tables=[],
        work=work,
    )
