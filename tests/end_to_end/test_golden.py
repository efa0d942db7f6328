"""Cycle counts change only on purpose: ResNet-20, dense and gated, on every preset."""

from __future__ import annotations

import pytest

from tests.end_to_end import golden
from tests.support.shapes import SHAPES


@pytest.mark.parametrize("preset", SHAPES)
@pytest.mark.parametrize("network", golden.NETWORKS)
def test_cycles_and_instructions_are_the_golden_ones(network: str, preset: str) -> None:
    name = golden.key(network, preset)
    wanted, got = golden.read()[name], golden.measure(network, preset)
    changes = [
        f"{figure} from {wanted[figure]:,} to {got[figure]:,}" for figure in got if got[figure] != wanted[figure]
    ]
    assert not changes, (
        f"the program of {name} changed: {', '.join(changes)}. If that is intended, write the file again with "
        f"`{golden.COMMAND}` and say in the commit why the figures moved"
    )


def test_the_file_holds_every_program_and_no_other() -> None:
    assert set(golden.read()) == {golden.key(n, p) for n in golden.NETWORKS for p in SHAPES}


def test_the_lean_machine_runs_it_as_fast() -> None:
    assert golden.measure("gated", "ultra96-lean") == golden.read()[golden.key("gated", "ultra96")]


def test_the_gated_program_skips_a_part_of_every_gate() -> None:
    compiled = golden.program("gated", "ultra96")
    assert len(compiled.gates) == 18
    for gate in compiled.gates:
        assert 0 < sum(gate.decision) < gate.bits, f"gate {gate.name} decides one way only: the golden figure is weak"
