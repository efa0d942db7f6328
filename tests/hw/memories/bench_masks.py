"""cocotb: mask bits against a list of bits."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb

from gatewright.contract.arch import MASK_BITS, MASK_COLUMNS, MASKS
from gatewright.hw.memories.masks import ROWS
from tests.support.rtl import Bench

CYCLES = 1500
BITS = MASKS * MASK_BITS


@cocotb.test()
async def keeps_bits(dut: Any) -> None:
    """Unaligned writes of every width, all readers; cleared by each reset, in 256 cycles."""
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
        expected: tuple[int, int] | None = None
        hot = rng.randrange(BITS)
        for cycle in range(CYCLES):
            write, count = rng.random() < 0.5, rng.choice((columns, rng.randint(0, columns)))
            hot = rng.choice((hot, hot, (hot + 13) % BITS, rng.randrange(BITS)))
            address, value = (hot + rng.randrange(40)) % BITS, rng.getrandbits(columns)
            near = (hot + rng.randrange(60)) % BITS
            mask, bit = divmod(near, MASK_BITS)
            word, exit_bit = rng.choice((bit // 16, rng.randrange(32))), rng.choice((bit, rng.randrange(MASK_BITS)))
            bench.set(
                write__valid=int(write),
                write__address=address,
                write__count=count,
                write__bits=value,
                gather__mask=mask,
                gather__bit=bit,
                index__mask=mask,
                index__word=word,
                exit__mask=mask,
                exit__bit=exit_bit,
            )
            await bench.settle()
            assert bench.get("busy") == 0
            assert bench.get("exit__value") == bits[mask * MASK_BITS + exit_bit], cycle
            if expected is not None:
                assert (bench.get("gather__bits"), bench.get("index__bits")) == expected, cycle
                ones += sum(expected)
            this = bits[mask * MASK_BITS : (mask + 1) * MASK_BITS]
            columns_read = sum(this[(bit + i) % MASK_BITS] << i for i in range(MASK_COLUMNS))
            expected = columns_read, sum(this[16 * word + i] << i for i in range(16))
            if write:
                for i in range(count):
                    bits[(address + i) % BITS] = value >> i & 1
            await bench.step()
    print(f"seed {os.environ['SEED']}: sum of what was read {ones}")
    assert ones > 0
