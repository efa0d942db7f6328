"""The manual's timing diagrams: which program, which cycles, which signals. Nothing of their content is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import PRESETS, DramConfig
from gatewright.contract.isa import Unit
from gatewright.contract.program import Program
from gatewright.verify.kit.generate.random_programs import random_network

ARCH = replace(
    PRESETS["4x4"],
    name="4x4-short",
    scratchpad_kib=16,
    patch_kib=8,
    weight_kib=8,
    dram=DramConfig(latency=6, beats=1, per_cycles=1, burst_gap=1, outstanding=4),
)
"""A small machine with a near DRAM, so that what belongs together fits into a picture."""

SEED = 152
"""Of the shortest random program below 250 in which every unit has work."""

MARGIN = 2
"""Cycles in front of the first event of a picture, and behind the last."""

Records = npt.NDArray[np.void]


def program() -> Program:
    """The program of all pictures."""
    return random_network(SEED, ARCH)[1]


@dataclass(frozen=True)
class Lane:
    """A signal: a port of the machine, or a bit of one. ``valid``: a value that is shown while this port is 1."""

    label: str
    port: str
    bit: int | None = None
    valid: str = ""
    show: Callable[[int], str] = hex


@dataclass(frozen=True)
class Diagram:
    """A picture: a window of cycles, by the simulator's records of the run, and lanes in groups."""

    name: str
    title: str
    window: Callable[[Records], tuple[int, int]]
    groups: tuple[tuple[str, tuple[Lane, ...]], ...]
    scale: int = 1
    """How wide a cycle is drawn: 2 where names stand in it."""


def _unit(unit: Unit, *events: str) -> tuple[str, tuple[Lane, ...]]:
    return unit.name, tuple(Lane(event, f"trace_{event}", int(unit)) for event in events or ("start", "run", "retire"))


def _unit_name(value: int) -> str:
    return Unit(value).name


def _offset(value: int) -> str:
    """An address as what is left of it in its 4 KiB, which fits into a cycle's picture."""
    return f"{value & 0xFFF:x}"


DISPATCH = (
    "sequencer",
    (
        Lane("dispatch", "trace_dispatch"),
        Lane("to unit", "trace_dispatch_unit", valid="trace_dispatch", show=_unit_name),
    ),
)

READ_BUS = (
    "AXI read",
    (
        Lane("ARVALID", "m_axi_arvalid"),
        Lane("ARREADY", "m_axi_arready"),
        Lane("ARADDR", "m_axi_araddr", valid="m_axi_arvalid", show=_offset),
        Lane("ARLEN", "m_axi_arlen", valid="m_axi_arvalid", show=str),
        Lane("RVALID", "m_axi_rvalid"),
        Lane("RLAST", "m_axi_rlast"),
    ),
)

WRITE_BUS = (
    "AXI write",
    (
        Lane("AWVALID", "m_axi_awvalid"),
        Lane("AWREADY", "m_axi_awready"),
        Lane("AWADDR", "m_axi_awaddr", valid="m_axi_awvalid", show=_offset),
        Lane("AWLEN", "m_axi_awlen", valid="m_axi_awvalid", show=str),
        Lane("WVALID", "m_axi_wvalid"),
        Lane("WREADY", "m_axi_wready"),
        Lane("WLAST", "m_axi_wlast"),
        Lane("BVALID", "m_axi_bvalid"),
        Lane("BREADY", "m_axi_bready"),
    ),
)


def _first(records: Records, unit: Unit, number: int = 0) -> Any:
    return records[records["unit"] == unit][number]


def _around(first: int, last: int) -> tuple[int, int]:
    return max(0, first - MARGIN), last + MARGIN


def _boot(records: Records) -> tuple[int, int]:
    return 0, 16


def _fetched(records: Records) -> tuple[int, int]:
    first = int(_first(records, Unit.LOAD)["dispatch"])
    return first - 4, first + 10


def _gather(records: Records) -> tuple[int, int]:
    gather = _first(records, Unit.GATHER)
    return _around(int(gather["run"]) - 8, int(gather["done"]))


def _product(records: Records) -> tuple[int, int]:
    array = _first(records, Unit.ARRAY)
    behind = records[(records["unit"] == Unit.EPILOGUE) & (records["run"] >= array["done"])][0]
    return _around(int(array["run"]) - 12, int(behind["run"]))


def _index(records: Records) -> tuple[int, int]:
    index = _first(records, Unit.INDEX)
    return _around(int(index["run"]) - 12, int(index["done"]))


def _store(records: Records) -> tuple[int, int]:
    store = _first(records, Unit.STORE)
    return _around(int(store["run"]), int(store["done"]))


DIAGRAMS = (
    Diagram("boot", "The start of a program: page 0 is read", _boot, (("", (Lane("boot", "trace_boot"),)), READ_BUS)),
    Diagram(
        "first-dispatch",
        "The first instructions leave the sequencer",
        _fetched,
        (DISPATCH, _unit(Unit.LOAD, "start", "run")),
        scale=2,
    ),
    Diagram(
        "gather",
        "A GATHER waits for a LOAD, and runs",
        _gather,
        (_unit(Unit.LOAD, "retire"), _unit(Unit.GATHER)),
    ),
    Diagram(
        "product",
        "A MATMUL follows a GATHER, an EPILOGUE follows the MATMUL",
        _product,
        (_unit(Unit.GATHER, "retire"), _unit(Unit.ARRAY), _unit(Unit.EPILOGUE)),
    ),
    Diagram(
        "index",
        "A mask becomes a table",
        _index,
        (_unit(Unit.EPILOGUE, "retire"), _unit(Unit.INDEX)),
    ),
    Diagram("store", "A STORE's burst", _store, (_unit(Unit.STORE), WRITE_BUS)),
)
