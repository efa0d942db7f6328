"""The machine's RTL, Verilated into a library: registers and memory as a board's, and simulated time.

``gatewright run --backend rtl`` builds the library; this file needs nothing but it.
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import numpy as np

from .errors import LostError
from .memory import Buffer, Memory

BASE = 0x1000_0000
"""Where the memory begins: not 0, so that a forgotten base address shows."""

STEP = 20_000
"""Cycles between two looks at the time."""

IDLE = 100
"""Cycles between two looks at a register."""


class VerilatedMachine:
    """See ``machine.Machine``. ``stall``: 0, or a seed with which the memory pauses at random."""

    def __init__(self, library: str | Path, stall: int = 0) -> None:
        self._library = _library(Path(library))
        self._handle: int | None = self._library.gatewright_open(BASE, stall)
        size = self._library.gatewright_memory_bytes(self._handle)
        data = np.ctypeslib.as_array(self._library.gatewright_memory(self._handle), (size,))
        self.memory = Memory(data, BASE)

    def close(self) -> None:
        """End the simulation. Buffers must not be used any more."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._library.gatewright_close(handle)

    @property
    def cycles(self) -> int:
        """Simulated so far, the host's accesses included."""
        return int(self._library.gatewright_cycles(self._handle))

    def limit(self, size: int) -> None:
        """Bytes of the memory that answer; what lies behind is answered with DECERR."""
        self._library.gatewright_limit(self._handle, size // 16)

    def read(self, offset: int) -> int:
        """A register, by AXI-Lite."""
        value = ctypes.c_uint32()
        self._check(self._library.gatewright_read(self._handle, offset, ctypes.byref(value)), "read", offset)
        return value.value

    def write(self, offset: int, value: int) -> None:
        """A register, by AXI-Lite."""
        self._check(self._library.gatewright_write(self._handle, offset, value), "write", offset)

    def allocate(self, size: int) -> Buffer:
        """Bytes of the DRAM behind the AXI port."""
        return self.memory.allocate(size)

    def wait(self, seconds: float) -> bool:
        """Simulate until the interrupt, or for so long of the host's time."""
        end = time.monotonic() + seconds
        while not self._library.gatewright_run(self._handle, STEP):
            self._check(0, "run", 0)
            if time.monotonic() >= end:
                return False
        return True

    def idle(self) -> None:
        """Simulate some cycles."""
        self._library.gatewright_run(self._handle, IDLE)

    def _check(self, response: int, what: str, offset: int) -> None:
        code, value = ctypes.c_uint32(), ctypes.c_uint32()
        if self._library.gatewright_broken(self._handle, ctypes.byref(code), ctypes.byref(value)):
            raise LostError(f"the RTL broke rule {code.value} of AXI (gatewright/verify/rules.py) at {value.value:#x}")
        if response:
            how = f"is answered with {response}" if response > 0 else "is not answered"
            raise LostError(f"the {what} of the register at {offset:#x} {how}; is it one?")


def _library(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path.absolute()))
    except OSError as error:
        raise LostError(f"cannot load the Verilated machine {path}: {error}") from error
    word, handle, number = ctypes.c_uint32, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint32)
    signatures: dict[str, tuple[object, list[object]]] = {
        "open": (handle, [word, word]),
        "close": (None, [handle]),
        "memory": (ctypes.POINTER(ctypes.c_uint8), [handle]),
        "memory_bytes": (ctypes.c_uint64, [handle]),
        "limit": (None, [handle, word]),
        "cycles": (ctypes.c_uint64, [handle]),
        "read": (ctypes.c_int, [handle, word, number]),
        "write": (ctypes.c_int, [handle, word, word]),
        "run": (ctypes.c_int, [handle, ctypes.c_uint64]),
        "broken": (ctypes.c_int, [handle, number, number]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"gatewright_{name}")
        function.restype, function.argtypes = result, arguments
    return library
