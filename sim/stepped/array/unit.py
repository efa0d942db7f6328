"""ARRAY: tiles of a MATMUL are loaded, swapped in and streamed past; sums are added to the accumulators."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.isa import Unit
from gatewright.contract.timing import ACCUMULATOR_LATENCY, ARRAY_OVERHEAD, EMPTY_LATENCY, array_order_depth
from gatewright.sim.stepped.array.grid import PRODUCT_STAGES, Grid
from gatewright.sim.stepped.array.operand_fetch import Fetched, Fetcher, Slot
from gatewright.sim.stepped.instruction import Instruction, effective_work
from gatewright.sim.stepped.state import Shared

OPERAND_STAGES = ARRAY_OVERHEAD + 2 - ACCUMULATOR_LATENCY - PRODUCT_STAGES
"""Buffer read, turn and input register: from a vector's address to PE(0, 0) at work on it."""

READ_BACK, ADD_BACK = ACCUMULATOR_LATENCY - 1, 1
"""Pipeline places, counted back from the write: the entry's read, and the addition."""

assert OPERAND_STAGES == 3, "the operand stages: the buffer's output register, the turned words', the input register"


@dataclass
class Tile:
    """A block and a slice of a MATMUL whose stationary values go to, or are in, the shadow registers."""

    fetcher: Fetcher
    block: int
    slice_number: int
    last: bool


class ArrayUnit:
    """A loader and a streamer that hand tiles over through the shadow registers, the grid, and the accumulators.

    Loader: in the cycle in which a MATMUL is taken from the queue, its first load address leaves; the next tile's first
    in the cycle in which the shadow registers are swapped. Streamer: swaps when the shadow registers are full (their
    last address left in an earlier cycle) and the stream before is over; a stream lasts at least
    ACCUMULATOR_LATENCY cycles, the rest bubbles. An address's word stands at the buffer's output one cycle later,
    behind the banks' multiplexer and the lanes' rotation two, and in the input register three. A slot walks beside
    its data through rows + columns + ARRAY_OVERHEAD registers; the last ACCUMULATOR_LATENCY of them are the entry's
    read, its output register, the addition and the write.

    A MATMUL without work leaves the queue like any other, whatever streams, and frees the unit at once. It is complete
    EMPTY_LATENCY cycles later, and behind those before it: one a cycle is counted. Each has a place in the order until
    then, with work or not, and is taken only when there is one.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        arch = shared.arch
        self.grid = Grid(arch.rows, arch.columns, arch.load_vectors)
        self._fetcher: Fetcher | None = None
        self._tiles: Iterator[Tile] = iter(())
        self._stationary: int | None = None
        # Loader: the tile being loaded (or next to be), its addresses, and the tile in the full shadow registers.
        self._loading: Tile | None = None
        self._addresses: Iterator[Fetched] = iter(())
        self._left = 0
        self._shadow: Tile | None = None
        # Streamer: the tile in the active registers and the position in its stream; None when idle.
        self._streaming: Tile | None = None
        self._position = 0
        self._output: Fetched | None = None
        self._turned: Fetched | None = None
        self._slots: deque[Slot | None] = deque([None] * (arch.rows + arch.columns + ARRAY_OVERHEAD))
        self._slots_busy = 0
        self._order: deque[tuple[Instruction, bool]] = deque()
        self._places = array_order_depth(arch.rows, arch.columns)

    def step(self) -> None:
        """One clock cycle."""
        swapping = self._shadow is not None and self._streaming is None
        if swapping:
            self._streaming, self._shadow, self._position = self._shadow, None, 0
        self._take()
        fetched = self._load()
        slot = None
        if self._streaming is not None:
            fetched = fetched or Fetched()
            slot = self._stream(self._streaming, fetched, swapping)
        sums = self.grid.step(self._turned)
        self._output, self._turned = fetched, self._output
        if not self._accumulate(slot, sums):
            self._retire_empty()

    def _take(self) -> None:
        """Take a MATMUL if the shadow registers are free, or, without work, as soon as it may start."""
        if self._loading is not None or self._shadow is not None:
            return
        head = self._shared.queues[Unit.ARRAY].head
        if head is None or len(self._order) == self._places or not self._shared.completions.met(head):
            return
        work = effective_work(head, self._shared.tables, self._shared.arch.rows)
        empty = 0 in (work.pixels, work.filters, work.slices)
        other_buffer = self._stationary is not None and self._stationary != head["stationary"]
        if other_buffer and self._streaming is not None and not empty:
            return
        matmul = self._shared.take(Unit.ARRAY)
        if matmul is None:
            return
        self._order.append((matmul, empty))
        if empty:
            return
        self._stationary = matmul["stationary"]
        self._tiles = self._walk(Fetcher(self._shared, matmul, work))
        self._next_tile()

    def _walk(self, fetcher: Fetcher) -> Iterator[Tile]:
        blocks = -(-fetcher.standing // self._shared.arch.columns)
        for block in range(blocks):
            for number in range(fetcher.work.slices):
                yield Tile(fetcher, block, number, block == blocks - 1 and number == fetcher.work.slices - 1)

    def _next_tile(self) -> None:
        self._loading = next(self._tiles, None)
        if self._loading is not None:
            self._addresses = self._loading.fetcher.load(self._loading.block, self._loading.slice_number)
            columns = self._shared.arch.columns
            self._left = min(columns, self._loading.fetcher.standing - self._loading.block * columns)

    def _load(self) -> Fetched | None:
        """One load address, if the shadow registers are free (in this cycle's swap, too)."""
        if self._shadow is not None:
            return None
        if self._loading is None:
            return None
        fetched = next(self._addresses)
        self._left -= fetched.count
        if self._left == 0:
            self._shadow = self._loading
            self._next_tile()
        return fetched

    def _stream(self, tile: Tile, fetched: Fetched, swapping: bool) -> Slot:
        """One address of the stream, or a bubble behind a short one."""
        fetcher, position = tile.fetcher, self._position
        matmul = fetcher.instruction
        fetched.swap = swapping
        entry = None
        if position < fetcher.streaming:
            fetched.stream = fetcher.stream(tile.slice_number, position)
            entry = matmul["accumulator"] + tile.block * fetcher.streaming + position
        self._position = position + 1
        ends = self._position >= max(fetcher.streaming, ACCUMULATOR_LATENCY)
        if ends:
            self._streaming = None
        return Slot(matmul, entry, bool(matmul["accumulate"]) or tile.slice_number > 0, ends and tile.last)

    def _accumulate(self, slot: Slot | None, sums: npt.NDArray[np.int32] | None) -> bool:
        """Move the slots on by one register; those in the accumulator's stages do their work. True if one counts."""
        if slot is not None:
            self._slots_busy = len(self._slots) + 1
        if not self._slots_busy:
            return False
        self._slots_busy -= 1
        self._slots.appendleft(slot)
        writing = self._slots.pop()
        adding, reading = self._slots[-ADD_BACK], self._slots[-READ_BACK]
        accumulators = self._shared.accumulators
        if writing is not None:
            matmul = writing.instruction
            if writing.entry is not None:
                assert writing.sums is not None
                accumulators.write(matmul["bank"], writing.entry, writing.sums, matmul)
            if writing.last:
                self._retire(matmul)
        if adding is not None and adding.old is not None and adding.sums is not None:
            adding.sums = adding.old + adding.sums
        if reading is not None and reading.entry is not None:
            reading.sums = sums
            if reading.add:
                reading.old = accumulators.read(reading.instruction["bank"], reading.entry, reading.instruction)
        return writing is not None and writing.last

    def _retire(self, matmul: Instruction) -> None:
        oldest, _ = self._order.popleft()
        assert oldest is matmul, f"{matmul} is complete before {oldest}"
        self._shared.completions.retire(matmul)

    def _retire_empty(self) -> None:
        """Count a MATMUL without work that nothing older holds back."""
        if self._order and self._order[0][1]:
            oldest = self._order[0][0]
            if self._shared.clock.cycle >= oldest.start + EMPTY_LATENCY - 1:
                self._retire(oldest)
