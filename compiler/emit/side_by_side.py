"""Products side by side: instructions of the array's layers and of EPILOGUE's, so that both units are busy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gatewright.compiler.emit.context import Context
from gatewright.compiler.plan.unit_cycles import epilogue_cycles, fields_of, matmul_cycles, preload_cycles
from gatewright.contract.isa import Opcode
from gatewright.contract.timing import EPILOGUE_LATENCY

_FINISHED = object()

START = 600
"""Cycles by which the array's results come later than its own time says: patches are gathered before."""


class _Clocks:
    """The cycles for which what has been emitted holds the array and EPILOGUE."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.array = self.epilogue = 0
        self._seen = len(context.out.rows)

    def advance(self) -> None:
        """Count what has been emitted since the last time."""
        rows, arch = self.context.out.rows, self.context.arch
        for row in rows[self._seen :]:
            if row[0] == Opcode.MATMUL:
                self.array += matmul_cycles(fields_of(row.tolist()), arch)
            elif row[0] == Opcode.EPILOGUE:
                fields = fields_of(row.tolist())
                self.epilogue += preload_cycles(fields, arch) + epilogue_cycles(fields, arch) + EPILOGUE_LATENCY
        self._seen = len(rows)


Work = Sequence[tuple[str, Iterator[None]]]
"""Layers, and their instructions chunk by chunk."""


def side_by_side(context: Context, array: Work, epilogue: Work) -> None:
    """Emit two sequences of instructions that do not depend on each other, each in its order.

    What comes next is EPILOGUE's if it would otherwise have to wait for the array.
    """
    clocks = _Clocks(context)
    left = {"array": _in_turn(context, array), "epilogue": _in_turn(context, epilogue)}
    while left:
        turn = "epilogue" if clocks.epilogue <= clocks.array + START else "array"
        name = turn if turn in left else next(iter(left))
        if next(left[name], _FINISHED) is not None:
            del left[name]
        clocks.advance()


def interleave(chunks: list[Iterator[None]]) -> None:
    """Emit several layers' chunks in turn: where one keeps the array busy the other keeps the epilogue busy."""
    while chunks:
        chunks = [layer for layer in chunks if next(layer, _FINISHED) is None]


def _in_turn(context: Context, work: Work) -> Iterator[None]:
    """One layer after the other."""
    for layer, chunks in work:
        context.out.layer = layer
        for _ in chunks:
            yield
            context.out.layer = layer
