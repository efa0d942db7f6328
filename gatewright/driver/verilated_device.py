"""pynq's own classes on the Verilated RTL: a ``pynq.Device`` whose registers and memory are the simulation's.

Its memory has a cache that nobody keeps coherent, as a board's has: what the host writes is the machine's after
``flush``, what the machine has written is the host's after ``invalidate``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pynq
from pynq.buffer import PynqBuffer
from pynq.pl_server.device import Device

from .memory import Buffer
from .on_pynq import PynqMachine
from .verilated import VerilatedMachine

REGISTERS = 0xA000_0000
"""Where the registers lie, as a block design may have it."""


class VerilatedDevice(Device):  # type: ignore[misc]  # pynq has no types
    """A device with registers and memory, and nothing else."""

    def __init__(self, machine: VerilatedMachine) -> None:
        super().__init__("gatewright-verilated")
        self.capabilities = {"REGISTER_RW": True}
        self._machine = machine
        self._pieces: dict[int, Buffer] = {}

    def has_capability(self, name: str) -> bool:
        """Whether pynq may use it so."""
        return self.capabilities.get(name, False)

    def read_registers(self, address: int, length: int) -> bytes:
        """Whole words."""
        words = (self._machine.read(address - REGISTERS + at) for at in range(0, length, 4))
        return b"".join(word.to_bytes(4, "little") for word in words)

    def write_registers(self, address: int, data: bytes) -> None:
        """Whole words."""
        for at in range(0, len(data), 4):
            self._machine.write(address - REGISTERS + at, int.from_bytes(data[at : at + 4], "little"))

    def allocate(self, shape: Any, dtype: Any, **_: Any) -> Any:
        """The host's side of a piece of the machine's memory."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        piece = self._machine.allocate(size)
        self._pieces[piece.device_address] = piece
        buffer = PynqBuffer(shape, dtype, device=self, device_address=piece.device_address, bo=piece.device_address)
        buffer.memory, buffer.pointer, buffer.return_to = self, piece.device_address, self
        buffer.freed = True  # nothing is mapped that its end would unmap
        return buffer

    def return_pointer(self, pointer: int) -> None:
        """A buffer is no longer needed."""
        self._pieces.pop(pointer).freebuffer()

    def flush(self, bo: int, offset: int, address: int, size: int) -> None:
        """What the host has written, to the machine's memory."""
        self._pieces[bo][offset : offset + size] = _bytes_at(address, size)

    def invalidate(self, bo: int, offset: int, address: int, size: int) -> None:
        """What the machine has written, to the host."""
        _bytes_at(address, size)[:] = self._pieces[bo][offset : offset + size]


def _bytes_at(address: int, size: int) -> Any:
    import ctypes

    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


class _Interrupt:
    """The simulation's, with the method of ``pynq.Interrupt``."""

    def __init__(self, machine: VerilatedMachine) -> None:
        self._machine = machine

    async def wait(self) -> None:
        import asyncio

        while not self._machine.wait(0):
            await asyncio.sleep(0)  # whoever waits for a time looks at the clock


def through_pynq(machine: VerilatedMachine) -> PynqMachine:
    """The Verilated machine as a board's, through ``pynq.MMIO``, ``pynq.allocate`` and an awaited interrupt."""
    device = VerilatedDevice(machine)
    return PynqMachine(pynq.MMIO(REGISTERS, 256, device=device), device, _Interrupt(machine))
