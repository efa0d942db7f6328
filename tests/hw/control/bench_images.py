"""cocotb: the places of images in their rings, against the contract's arithmetic."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb

from gatewright.contract.images import Ring
from tests.support.rtl import Bench

RINGS = ("input_ring", "output_ring")


@cocotb.test()
async def places(dut: Any) -> None:
    """Rings of one slot, of fewer and of more slots than images, and without an end; addresses that pass 2**32."""
    rng = random.Random(int(os.environ["SEED"]))
    bench = Bench(dut)
    await bench.reset()
    bench.set(start=0, over=0)
    for _ in range(60):
        count = rng.choice((0, 1, 2, rng.randrange(1, 40), 65535))
        rings = [
            Ring(16 * rng.getrandbits(28), 16 * rng.choice((0, 1, rng.getrandbits(28))), rng.choice((0, 1, 2, 3, 30)))
            for _ in RINGS
        ]
        for name, ring in zip(RINGS, rings, strict=True):
            bench.set(**{f"{name}__{field}": getattr(ring, field) for field in ("offset", "stride", "slots")})
        bench.set(images=count)
        await bench.step(2)
        bench.set(start=1)
        await bench.step()
        bench.set(start=0)
        for image in range(min(max(count, 1), 50)):
            await bench.step(rng.randrange(1, 9))
            assert bench.get("number") == image
            assert bench.get("last") == int(image + 1 >= count), (image, count)
            places = bench.get("input_place"), bench.get("output_place")
            assert places == tuple(ring.place(image) for ring in rings), (image, rings)
            bench.set(over=1)
            await bench.step()
            bench.set(over=0)
    print(f"seed {os.environ['SEED']}")
