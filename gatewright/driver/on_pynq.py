"""The machine on a board, by pynq: its registers, contiguous memory, and the interrupt."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np

from .errors import DriverError

IDLE_SECONDS = 100e-6


class PynqMachine:
    """See ``machine.Machine``.

    Parameters
    ----------
    mmio
        A ``pynq.MMIO`` of the registers.
    target
        The device that memory is allocated on; None: the active one.
    interrupt
        A ``pynq.Interrupt``, or None where the design has none.
    """

    def __init__(self, mmio: Any, target: Any = None, interrupt: Any = None) -> None:
        self._mmio, self._target, self._interrupt = mmio, target, interrupt

    def read(self, offset: int) -> int:
        """A register."""
        return int(self._mmio.read(offset))

    def write(self, offset: int, value: int) -> None:
        """A register."""
        self._mmio.write(offset, int(value))

    def allocate(self, size: int) -> Any:
        """Contiguous bytes; ``pynq``'s buffer."""
        import pynq

        return pynq.allocate((size,), np.uint8, self._target)

    def wait(self, seconds: float) -> bool:
        """Until the interrupt, or so long."""
        if self._interrupt is None:
            raise DriverError("this overlay has no interrupt of the machine's; use wait='poll'")
        try:
            # The loop that pynq's own interrupts are registered with.
            asyncio.get_event_loop().run_until_complete(asyncio.wait_for(self._interrupt.wait(), seconds))
        except asyncio.TimeoutError:  # noqa: UP041  # not the same in Python 3.10
            return False
        return True

    def idle(self) -> None:
        """Sleep for a moment."""
        time.sleep(IDLE_SECONDS)


def from_bitstream(path: str, ip: str = "gatewright_0") -> PynqMachine:
    """Load a bitstream (its .hwh beside it) and find the machine in it by the name of its IP."""
    try:
        import pynq
    except ImportError as error:
        raise DriverError(f"{path} needs pynq, which is missing: run this on the board, with its own Python") from error
    overlay = pynq.Overlay(path)
    if ip not in overlay.ip_dict:
        raise DriverError(f"{path} has no IP {ip!r}; it has {', '.join(sorted(overlay.ip_dict)) or 'none'}")
    found = getattr(overlay, ip)
    return PynqMachine(found.mmio, None, getattr(found, "interrupt", None))
