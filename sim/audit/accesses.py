"""What an instruction that was just executed used: the piece of its opcode, and the entry that it was fetched from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gatewright.contract.isa import Opcode
from gatewright.sim.fast import sequencer, work
from gatewright.sim.fast.kernels import entry, kernel, sources_fingerprint
from gatewright.sim.fast.state import Geometry, State
from gatewright.sim.fast.touched import READ, Places, Touched, clear, touch, touch_table
from gatewright.sim.fast.units import PIECES, accesses_link, chain


@kernel
def _decision(
    geometry: Geometry,
    state: State,
    at: Places,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    touched: Touched,
) -> None:
    """EXIT and SKIP."""
    touch_table(touched, at, row[sequencer.COUNT_TABLE], READ)


@kernel
def _nothing(
    geometry: Geometry,
    state: State,
    at: Places,
    row: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    touched: Touched,
) -> None:
    """NEXT and END."""


_SEQUENCER = ((Opcode.EXIT, _decision), (Opcode.SKIP, _decision), (Opcode.END, _nothing))
_accesses = chain(accesses_link, [*((p.opcode, p.accesses) for p in PIECES), *_SEQUENCER])


def _accesses_kernel(fingerprint: str) -> Callable[..., None]:
    @entry
    def accesses(
        geometry: Geometry,
        state: State,
        at: Places,
        row: npt.NDArray[np.int64],
        done: npt.NDArray[np.int64],
        fetched_from: int,
        touched: Touched,
    ) -> None:
        """List what the instruction touched; ``done`` is its work record."""
        assert fingerprint
        clear(touched)
        touch(touched, at.instruction + fetched_from, READ)
        if not done[work.LEFT_OUT]:
            _accesses(geometry, state, at, row, done, touched)

    return accesses


accesses = _accesses_kernel(sources_fingerprint(audit=True))
