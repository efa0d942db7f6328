"""The residual's way into the epilogue, and that of windows: read ahead through port B, where no result needs it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gatewright.sim.stepped.instruction import Instruction
from gatewright.sim.stepped.state import Shared

DEPTH = 8
"""Pixels whose residual is read ahead."""

READ_STAGES = 5
"""From a read's cycle to its bytes beside the saturation: the scratchpad's stages, the rotation, the queue."""


class ResidualFetch:
    """Counters of their own in front of the slots', and a queue of DEPTH residuals.

    From the cycle r on, each cycle in which the pipeline's last stage writes nothing reads one pixel's
    residual, while the queue has room. A slot pair of a pixel writes once and leaves one cycle free, so the reads keep
    up with the slots; the lead that they gain before the first write (in EPILOGUE_LATENCY cycles) outlasts the
    writes of averages and the odd numbers of parameter slots, which shift reads against writes. Reading ahead is safe:
    a pixel's bytes are written by its own slot only, and that slot needs them first.

    The pixels of windows (kinds MAX, AVERAGE and DIGITS) come the same way, one for each WINDOW slot: as many cycles
    are free of writes as there are such slots. A place outside of the map has no address: it has its turn, and its
    place in the queue, but reads nothing. Source and result of such an instruction have no byte in common.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._reads: Iterator[tuple[int | None, int]] | None = None
        self._queue: deque[tuple[int, npt.NDArray[np.int8] | None]] = deque()
        self._held = 0

    def begin(self, reads: Iterator[tuple[int | None, int]]) -> None:
        """An instruction runs from this cycle on; ``reads``: (address or None, bytes) in order, if it has any."""
        self._reads = reads

    def step(self, epilogue: Instruction | None, port_free: bool) -> None:
        """One clock cycle: read for one pixel of ``epilogue`` if there is room and the port is free."""
        room = self._held < DEPTH
        self._held = len(self._queue)
        if self._reads is None or not room or not port_free:
            return
        following = next(self._reads, None)
        if following is None:
            self._reads = None
            return
        address, count = following
        assert epilogue is not None
        data = None if address is None else self._shared.scratchpad.read_b(address, count, epilogue)
        self._queue.append((self._shared.clock.cycle + READ_STAGES, data))
        self._held = len(self._queue)

    def take(self, epilogue: Instruction) -> npt.NDArray[np.int8] | None:
        """The next pixel's residual, [filters]; None outside the map. It is there in time by construction."""
        ready, data = self._queue.popleft()
        assert ready <= self._shared.clock.cycle, f"{epilogue}: the residual is late"
        return data
