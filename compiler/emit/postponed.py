"""STOREs that may come later than the work behind them: what they read is still there, and nobody needs them yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from gatewright.compiler.emit.access import Access
from gatewright.compiler.emit.emit import Emitter

Range = tuple[int, int]


class PostponedStores:
    """Each is emitted at the latest before something writes where it reads, or LOAD brings what it takes.

    The scratchpad's port B belongs to one unit at a time, so that a LOAD behind a STORE in the program follows it.
    """

    def __init__(self, out: Emitter) -> None:
        self._out = out
        self._waiting: deque[tuple[str, Range, Range, Callable[[], None]]] = deque()
        out.before_writes = self._before

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, layer: str, place: Range, dram: Range, emit: Callable[[], None]) -> None:
        """A layer's STORE from bytes [low, high) of the scratchpad to those of DRAM."""
        self._waiting.append((layer, place, dram, emit))

    def emit_one(self) -> None:
        """The next one."""
        layer, _, _, emit = self._waiting.popleft()
        self._out.layer, layer = layer, self._out.layer
        emit()
        self._out.layer = layer

    def emit_all(self) -> None:
        """All that are left."""
        while self._waiting:
            self.emit_one()

    def before_load(self, dram: Range) -> None:
        """Those that take what a LOAD is about to bring."""
        self._emit_those([_overlap(dram, taken) for _, _, taken, _ in self._waiting])

    def _before(self, accesses: Sequence[Access]) -> None:
        if self._waiting:
            written = [(a.low, a.high) for a in accesses if a.write and a.memory == "scratchpad"]
            self._emit_those([any(_overlap(place, one) for one in written) for _, place, _, _ in self._waiting])

    def _emit_those(self, due: Sequence[bool]) -> None:
        if any(due):
            left = [one for one, is_due in zip(self._waiting, due, strict=True) if not is_due]
            self._waiting = deque(one for one, is_due in zip(self._waiting, due, strict=True) if is_due)
            self.emit_all()
            self._waiting = deque(left)


def _overlap(one: Range, other: Range) -> bool:
    return one[0] < other[1] and other[0] < one[1]
