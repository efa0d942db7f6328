"""A run worked out by hand on the 4x4 machine: every cycle's cause is written beside it.

A convolution (conv1), a gate that decides on it, a gated convolution (conv2), and the result's way
out (fc). The cycles obey the machine's rules; ``EXPECTED`` is the attribution, in slots of 16 a cycle.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gatewright.arch import PRESETS
from gatewright.isa import Opcode, Stationary, Unit
from gatewright.program import GateRecord, Program, Region
from gatewright.sim.result import SimResult
from gatewright.sim.work import WORK_DTYPE
from gatewright.trace import TRACE_DTYPE, Trace
from tests.support.programs import make_program, row

CYCLES = 401

_RUN: list[tuple[Opcode, str, list[tuple[Unit, int]], tuple[int, int, int, int], dict[str, int], dict[str, int]]] = [
    # opcode, layer, waits, (dispatch, start, run, done), fields, work
    # 0 to 102: the boot page; 102: dispatch; 103 to 180: conv1's weights.
    (
        Opcode.LOAD,
        "conv1",
        [],
        (102, 103, 103, 180),
        {"rows": 2, "row_beats": 3},
        {"bytes": 96, "cycles": 8, "bursts": 2},
    ),
    (Opcode.GATHER, "conv1", [], (103, 104, 104, 120), {}, {"cycles": 8}),
    # 180: load; 181 to 191: two tiles of 5 vectors, 5 * 3 * 6 MACs in 160 slots; then 12 of drain.
    (
        Opcode.MATMUL,
        "conv1",
        [(Unit.LOAD, 1), (Unit.GATHER, 1)],
        (104, 180, 180, 203),
        {"stationary": Stationary.FILTERS},
        {"pixels": 5, "filters": 3, "slices": 2, "blocks": 1, "cycles": 10, "preload": 1, "macs": 90},
    ),
    # 203 to 221: the epilogue, after its parameters were read and the drain was waited for.
    (Opcode.EPILOGUE, "conv1", [(Unit.ARRAY, 1)], (105, 106, 203, 221), {}, {"cycles": 5, "preload": 3}),
    # 221 to 225: four filters by table, one a cycle; 225 to 229: one vector, at the least distance of 4.
    (
        Opcode.MATMUL,
        "gate",
        [(Unit.EPILOGUE, 1)],
        (106, 221, 221, 241),
        {"stationary": Stationary.FILTERS},
        {"pixels": 1, "filters": 4, "slices": 1, "blocks": 1, "cycles": 4, "preload": 4, "macs": 16},
    ),
    (Opcode.EPILOGUE, "gate", [(Unit.ARRAY, 2)], (107, 221, 241, 255), {}, {"cycles": 1, "preload": 4}),
    (Opcode.INDEX, "gate", [(Unit.EPILOGUE, 2)], (108, 255, 255, 262), {"grid_width": 2}, {"cycles": 4}),
    (Opcode.GATHER, "conv2", [(Unit.INDEX, 1)], (109, 262, 262, 282), {}, {"cycles": 12}),
    (
        Opcode.MATMUL,
        "conv2",
        [(Unit.GATHER, 2)],
        (110, 282, 282, 307),
        {"stationary": Stationary.PIXELS},
        {"pixels": 4, "filters": 6, "slices": 2, "blocks": 1, "cycles": 12, "preload": 1, "macs": 120},
    ),
    (Opcode.EPILOGUE, "conv2", [(Unit.ARRAY, 3)], (111, 255, 307, 330), {}, {"cycles": 10}),
    (Opcode.STORE, "fc", [(Unit.EPILOGUE, 3)], (112, 330, 330, 400), {"beats": 1}, {"bytes": 16, "bursts": 1}),
    (Opcode.END, "end", [], (400, 400, 400, 401), {}, {}),
]

KINDS = {"conv1": "gated", "gate": "gate", "conv2": "gated", "fc": "ungated", "end": "control"}

EXPECTED: dict[str, dict[str, int]] = {
    "boot": {"dram_stalls": 102 * 16},
    "conv1": {
        "dispatch": 16,  # 102
        "dram_stalls": 77 * 16,  # 103 to 180
        "stationary_loads": 16,  # 180
        "useful": 90,
        "lane_rounding": 160 - 90,
        "pipeline": (12 + 18) * 16,  # drain 191 to 203, epilogue 203 to 221
    },
    "gate": {
        "stationary_loads": (4 + 3) * 16,  # 221 to 225, and the cycles of 225 to 229 without a vector
        "useful": 16,
        "pipeline": (12 + 14) * 16,  # drain 229 to 241, threshold 241 to 255
        "index_building": 7 * 16,  # 255 to 262
    },
    "conv2": {
        "pipeline": (20 + 12 + 23) * 16,  # gather 262 to 282, drain 295 to 307, epilogue 307 to 330
        "stationary_loads": 16,  # 282
        "useful": 120,
        "lane_rounding": 12 * 16 - 120,
    },
    "fc": {"dram_stalls": 70 * 16},  # 330 to 400
    "end": {"dispatch": 16},  # 400
}

LAYER_CYCLES = {
    "boot": 102,
    "conv1": 1 + 77 + 1 + 10 + 30,
    "gate": 8 + 26 + 7,
    "conv2": 55 + 1 + 12,
    "fc": 70,
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
    from gatewright.isa import FORMATS

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
        logits=np.zeros(0, np.int32),
        dram=np.zeros(0, np.uint8),
        scratchpad=np.zeros(0, np.uint8),
        masks=np.zeros((16, 1024), np.bool_),
        tables=[],
        work=work,
    )
