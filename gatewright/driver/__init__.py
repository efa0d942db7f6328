"""Drives the machine: on a board, on the Verilated RTL, on a simulator. Needs numpy, and on a board pynq.

The folder stands alone: nothing in it imports Gatewright, and it runs from a copy under any name.
"""

from __future__ import annotations

from .driver import Driver
from .errors import DriverError
from .program import Program, load_program
from .results import ImageResult, RunResult, StartResult

__all__ = ["Driver", "DriverError", "ImageResult", "Program", "RunResult", "StartResult", "load_program"]
