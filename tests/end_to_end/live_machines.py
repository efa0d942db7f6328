"""Live programs on machines with memories of random sizes: maps by rows, filters resident, streamed or by taps.

``python -m tests.end_to_end.live_machines --seed 1 --programs 300``: each program's results and gates are the integer
reference's, and its waits are audited. What a machine cannot hold is refused, and another one is drawn.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import replace
from functools import cache

from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.models.gates.kinds import Gating
from tests.end_to_end.networks import Case, captured
from tests.support.chain import compare_image

GATINGS: tuple[Gating, ...] = ("dual", "spatial", "channel")
MACHINES = "4x4", "8x8", "12x20", "ultra96"
DRAWS = 40


@cache
def network(gating: Gating, size: int) -> Case:
    return captured(gating, size)


def draw(seed: int) -> tuple[str, Case, ArchConfig, Compiler, Program, int]:
    """What is run, in words; a network, a machine that holds it, its live program, and the number of an image."""
    rng = random.Random(seed)
    for _ in range(DRAWS):
        gating, size, preset = rng.choice(GATINGS), rng.choice([16, 24, 32, 40]), rng.choice(MACHINES)
        sizes = {
            "scratchpad_kib": rng.randint(6, 48),
            "weight_kib": rng.choice([4, 6, 8, 12, 16, 24]),
            "patch_kib": rng.choice([2, 4, 8, 16]),
        }
        case = network(gating, size)
        arch = replace(PRESETS[preset], **sizes)
        try:
            compiler = Compiler(case.graph, arch)
            live = compiler.compile_live()
        except GatewrightError:
            continue
        what = f"seed {seed}: gates {gating}, {size} pixels, {preset} with {sizes}"
        return what, case, arch, compiler, live, rng.randrange(len(case.inputs))
    raise AssertionError(f"seed {seed}: {DRAWS} machines that hold none of the networks")


def check(seed: int) -> str:
    """Run what a seed draws; returns it in words. Raises if it differs from the reference, or races."""
    what, case, _, compiler, live, image = draw(seed)
    try:
        compared = compare_image(compiler, case.inputs[image], case.reference, image, audit=True, live=live)
    except GatewrightError as error:
        raise AssertionError(f"{what}: {error}") from error
    assert compared.different == (), f"{what}: {compared.different} differ"
    return what


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--programs", type=int, default=100)
    options = parser.parse_args()
    for seed in range(options.seed, options.seed + options.programs):
        print(check(seed), flush=True)


if __name__ == "__main__":
    main()
