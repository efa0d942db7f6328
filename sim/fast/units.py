"""The queued units' instructions: one row for each opcode, with its pieces (see ``context``).

The kernels cannot index a list of functions, so ``chain`` compiles one that asks for each opcode in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gatewright.contract.isa import FORMATS, Opcode, Unit
from gatewright.sim.fast import (
    array,
    epilogue,
    epilogue_accesses,
    epilogue_values,
    gather,
    index,
    load,
    load_accesses,
    store,
)
from gatewright.sim.fast.kernels import kernel

_Piece = Callable[..., Any]


class Pieces(NamedTuple):
    """What the fast simulator and the audit know of an opcode."""

    opcode: Opcode
    execute: _Piece
    time: _Piece
    accesses: _Piece


PIECES = (
    Pieces(Opcode.GATHER, gather.execute, gather.time, gather.accesses),
    Pieces(Opcode.MATMUL, array.execute, array.time, array.accesses),
    Pieces(Opcode.EPILOGUE, epilogue_values.execute, epilogue.time, epilogue_accesses.accesses),
    Pieces(Opcode.INDEX, index.execute, index.time, index.accesses),
    Pieces(Opcode.LOAD, load.execute, load.time, load_accesses.accesses),
    Pieces(Opcode.STORE, store.execute, store.time, store.accesses),
)
"""In the order in which they are asked for."""
assert {p.opcode for p in PIECES} == {f.opcode for f in FORMATS.values() if f.unit != Unit.SEQUENCER}


def chain(pieces: Sequence[tuple[Opcode, _Piece]]) -> _Piece:
    """A kernel of (opcode, *arguments) that calls that opcode's piece with the arguments; the last takes all others."""
    dispatch = _last(pieces[-1][1])
    for opcode, piece in reversed(pieces[:-1]):
        dispatch = _link(int(opcode), piece, dispatch)
    return dispatch


def _last(piece: _Piece) -> _Piece:
    @kernel
    def last(opcode: int, *arguments: Any) -> Any:
        return piece(*arguments)

    return last


def _link(number: int, piece: _Piece, rest: _Piece) -> _Piece:
    @kernel
    def link(opcode: int, *arguments: Any) -> Any:
        if opcode == number:
            return piece(*arguments)
        return rest(opcode, *arguments)

    return link
