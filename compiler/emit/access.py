"""What an instruction reads and writes, from which its waits are derived."""

from __future__ import annotations

from typing import NamedTuple


class Access(NamedTuple):
    """A half-open range of a memory that an instruction reads or writes.

    ``early`` marks what it reads before its waits are looked at (the epilogue's parameters).
    """

    memory: str
    low: int
    high: int
    write: bool = False
    early: bool = False


PORT_B = Access("port B", 0, 1, write=True)
"""The use of the scratchpad's port B, which has no arbiter: its users follow one another."""

TABLE_PORT = Access("table port", 0, 1, write=True)
"""The use of the tables' write port, which has no arbiter either."""

FILTERS_IN_DRAM = "filters in DRAM", 0, 1
"""Filters that the program makes: who loads them follows who stored them."""


def reads(memory: str, low: int, high: int) -> Access:
    """A read of [low, high)."""
    return Access(memory, low, high)


def writes(memory: str, low: int, high: int) -> Access:
    """A write of [low, high)."""
    return Access(memory, low, high, write=True)
