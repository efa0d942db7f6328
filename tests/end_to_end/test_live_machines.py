"""Live programs whatever a machine's memories hold; longer: ``python -m tests.end_to_end.live_machines``."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.contract.arch import PRESETS
from tests.end_to_end.live_machines import check, draw, network
from tests.support.chain import compare_image

SEEDS = 24


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_machines_run_live_programs(seed: int) -> None:
    """Again: ``python -m tests.end_to_end.live_machines --programs 1 --seed SEED``."""
    check(seed)


def test_these_seeds_reach_every_way() -> None:
    ways = Counter[str]()
    for seed in range(SEEDS):
        _, case, arch, _, _, _ = draw(seed)
        image = NetworkImage(case.graph, arch, live=True)
        ways["maps by rows, a pass's first row behind the last of the one before"] += any(
            rows.shift for rows in image.row_rings.values()
        )
        ways["groups from both ends"] += any(b.both_ends and b.groups(b.filters) > 4 for b in image.banks.values())
        ways["all maps on chip"] += not image.spilled
    assert len(ways) == 3 and min(ways.values()) >= 2, ways


def test_a_step_reads_the_rows_around_its_own() -> None:
    """A block of which both convolutions go by rows: the second's kernel reaches rows of the first one's next step.

    The memory's size is one of few at which no other wait stands for that one.
    """
    case = network("dual", 16)
    arch = replace(PRESETS["12x20"], scratchpad_kib=7, weight_kib=12, patch_kib=16)
    compiler = Compiler(case.graph, arch)
    live = compiler.compile_live()
    for image in range(len(case.inputs)):
        compared = compare_image(compiler, case.inputs[image], case.reference, image, audit=True, live=live)
        assert compared.different == ()
