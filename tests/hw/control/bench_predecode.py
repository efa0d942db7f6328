"""cocotb: an instruction's place, for every tile and first pixel, against plain division."""

from __future__ import annotations

import os
import random
from collections import deque
from typing import Any

import cocotb

from gatewright.contract.isa import Opcode
from gatewright.hw.control.predecode import Predecoder
from gatewright.hw.layouts import PLACE
from gatewright.verify.kit.programs import row
from tests.hw.instructions import bits_of, place_of, with_field
from tests.support.rtl import Bench, pack


def instructions(rng: random.Random) -> list[int]:
    """Every tile with every first pixel, widths and first tiles at random and at their ends."""
    plain = {opcode: bits_of(row(opcode)) for opcode in (Opcode.GATHER, Opcode.EPILOGUE)}
    result = []

    def add(opcode: Opcode, tile: int, **fields: int) -> None:
        width = rng.choice((0, 1, 1023, rng.randrange(1024), rng.randrange(32)))
        first_tile = rng.choice((0, 16383, rng.randrange(16384)))
        noise = rng.getrandbits(13) if opcode == Opcode.EPILOGUE else 0
        bits = with_field(plain[opcode], opcode, tile=tile, out_width=width, first_tile=first_tile, channels=noise)
        result.append(with_field(bits, opcode, **fields))

    for tile in range(32):
        for pixel in range(1024):
            add(Opcode.EPILOGUE, tile, first_pixel=pixel)
        for _ in range(200):
            add(Opcode.GATHER, tile)
    rng.shuffle(result)
    return result


@cocotb.test()
async def places_every_pixel(dut: Any) -> None:
    rng = random.Random(int(os.environ["SEED"]))
    bench = Bench(dut)
    await bench.reset()
    expected: deque[tuple[int, dict[str, int]]] = deque()
    stream = instructions(rng)
    for number, bits in enumerate([*stream, *[0] * Predecoder.LATENCY]):
        bench.set(instruction=bits)
        await bench.settle()
        if number >= Predecoder.LATENCY:
            source, place = expected.popleft()
            assert all(value < 1 << PLACE[name].width for name, value in place.items()), (hex(source), place)
            assert bench.get("place") == pack(PLACE, place), (hex(source), place)
        if bits:
            expected.append((bits, place_of(bits)))
        await bench.step()
    print(f"seed {os.environ['SEED']}: {len(stream)} places")
