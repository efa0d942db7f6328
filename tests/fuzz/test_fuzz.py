"""A few damaged files of each kind; ``python -m tests.fuzz`` has thousands."""

from __future__ import annotations

import pytest

from tests.fuzz.campaign import KINDS, cases, run_case

FILES = 150
FIRST_SEED = 1_000_000


@pytest.mark.parametrize("kind", list(KINDS))
def test_damaged_files_are_refused_or_mean_something(kind: str) -> None:
    chosen = [case for case in cases(FILES, FIRST_SEED) if case[0] == kind]
    print(f"seeds {chosen[0][1]} to {chosen[-1][1]}")
    results = set()
    for case in chosen:
        outcome = run_case(case)
        again = f"python -m tests.fuzz --files 1 --seed {outcome.seed} --kind '{kind}'"
        assert outcome.fault is None, f"{outcome.fault}\nagain: {again}"
        results.add(outcome.result.split(",")[0])
    assert results == {"refused", "accepted"}, "the damage is too weak, or too strong, to test a reader"
