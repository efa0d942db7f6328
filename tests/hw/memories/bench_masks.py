"""cocotb: mask bits against a list of bits."""

from __future__ import annotations

import os
import random
from collections import deque
from typing import Any

import cocotb

from gatewright.contract.arch import MASK_BITS, MASK_COLUMNS, MASKS
from gatewright.hw.memories.masks import ROWS
from gatewright.hw.signatures import MASK_WRITE
from tests.support.rtl import Bench

CYCLES = 3000
BITS = MASKS * MASK_BITS
WORDS = BITS // 16


class Bursts:
    """Requests as EPILOGUEs make them: each begins where the one before ended, in any cycle; then a pause."""

    def __init__(self, rng: random.Random, columns: int) -> None:
        self._rng, self._columns = rng, columns
        self.near = self._left = self._pause = 0

    def next(self) -> tuple[int, int, int] | None:
        """(address, count, bits) of a request in this cycle, or none."""
        rng = self._rng
        if self._pause:
            self._pause -= 1
            return None
        if not self._left:
            self.near = rng.choice((self.near, (self.near + rng.randrange(-40, 40)) % BITS, rng.randrange(BITS)))
            self._left = rng.choice((1, 2, 3, 5, 20))
            self._gaps = rng.choice((0.0, 0.0, 0.3, 0.7))
        if rng.random() < self._gaps:
            return None
        self._left -= 1
        count = self._columns if self._left else rng.randint(0, self._columns)
        request = self.near, count, rng.getrandbits(self._columns)
        self.near = (self.near + count) % BITS
        if not self._left:
            self._pause = rng.choice((MASK_WRITE, MASK_WRITE, MASK_WRITE + 5))
        return request


@cocotb.test()
async def keeps_bits(dut: Any) -> None:
    """Unaligned writes of every width, all readers; cleared by each reset, in as many cycles as there are rows."""
    rng = random.Random(int(os.environ["SEED"]))
    columns = int(os.environ["COLUMNS"])
    bench = Bench(dut)
    ones = 0
    for _ in range(2):
        bench.set(write__valid=0)
        await bench.reset()
        for cycle in range(ROWS):
            await bench.settle()
            assert bench.get("busy") == 1, cycle
            await bench.step()
        bits = [0] * BITS
        bursts = Bursts(rng, columns)
        on_the_way: deque[tuple[int, int, int] | None] = deque([None] * MASK_WRITE)
        # What the readers have to see in the cycles to come; None: nothing that counts.
        columns_read: deque[int | None] = deque([None, None])
        word_read: deque[int | None] = deque([None])
        word = 0
        ahead: list[int] | None = None
        for cycle in range(CYCLES):
            request = bursts.next()
            near = (bursts.near + rng.randrange(-60, 60)) % BITS
            near_mask, bit = divmod(near, MASK_BITS)
            # INDEX goes on by a word or not at all; now and then it begins somewhere else, often a mask's end.
            if rng.random() < 0.05:
                word, ahead = rng.choice((near // 16, 32 * rng.randrange(1, MASKS) - 2, rng.randrange(WORDS))), None
            elif ahead is not None and rng.random() < 0.6:
                word = min(word + 1, WORDS - 1)
            address, count, value = request or (rng.randrange(BITS), rng.randrange(columns), rng.getrandbits(columns))
            bench.set(
                write__valid=int(request is not None),
                write__address=address,
                write__count=count,
                write__bits=value,
                gather__mask=near_mask,
                gather__bit=bit,
                index__word=word,
                index__next_word=(word + 1) % WORDS,
            )
            await bench.settle()
            assert bench.get("busy") == 0
            for name, expected in (
                ("gather__bits", columns_read.popleft()),
                ("index__bits", word_read.popleft()),
            ):
                if expected is not None:
                    assert bench.get(name) == expected, (cycle, name)
                    ones += expected
            this = bits[near_mask * MASK_BITS : (near_mask + 1) * MASK_BITS]
            columns_read.append(sum(this[(bit + i) % MASK_BITS] << i for i in range(MASK_COLUMNS)))
            # A word as it was when its row was read, in the cycle before.
            word_read.append(None if ahead is None else sum(ahead[16 * word + i] << i for i in range(16)))
            ahead = bits.copy()
            on_the_way.append(request)
            written = on_the_way.popleft()
            if written is not None:
                for i in range(written[1]):
                    bits[(written[0] + i) % BITS] = written[2] >> i & 1
            await bench.step()
    print(f"seed {os.environ['SEED']}: sum of what was read {ones}")
    assert ones > 0
