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
from gatewright.sim.fast.kernels import inlined

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


def execute_link(number: int, piece: _Piece, rest: _Piece) -> _Piece:
    """``piece`` for the instructions of opcode ``number``, else ``rest``."""

    @inlined
    def execute(geometry: Any, state: Any, row: Any, done: Any, bursts: Any) -> Any:
        if row[0] == number:
            return piece(geometry, state, row, done, bursts)
        return rest(geometry, state, row, done, bursts)

    return execute


def time_link(number: int, piece: _Piece, rest: _Piece) -> _Piece:
    """As ``execute_link``, for times."""

    @inlined
    def time(geometry: Any, row: Any, done: Any, schedule: Any, ready: Any, waits: Any) -> Any:
        if row[0] == number:
            return piece(geometry, row, done, schedule, ready, waits)
        return rest(geometry, row, done, schedule, ready, waits)

    return time


def accesses_link(number: int, piece: _Piece, rest: _Piece) -> _Piece:
    """As ``execute_link``, for accesses."""

    @inlined
    def accesses(geometry: Any, state: Any, places: Any, row: Any, done: Any, touched: Any) -> Any:
        if row[0] == number:
            return piece(geometry, state, places, row, done, touched)
        return rest(geometry, state, places, row, done, touched)

    return accesses


def chain(link: Callable[[int, _Piece, _Piece], _Piece], pieces: Sequence[tuple[Opcode, _Piece]]) -> _Piece:
    """A kernel that calls the piece of its instruction's opcode; the last piece takes all other opcodes."""
    dispatch = pieces[-1][1]
    for opcode, piece in reversed(pieces[:-1]):
        dispatch = link(int(opcode), piece, dispatch)
    return dispatch
