"""A few damaged files of each kind; ``python -m tests.fuzz`` has thousands."""

from __future__ import annotations

import pytest

from tests.fuzz.campaign import KINDS, run_case

LEAST, MOST = 12, 80
"""Files of a kind: so many always, and more until both results were seen, since some kinds accept one in seven."""

FIRST_SEED = 1_000_000


@pytest.mark.parametrize("kind", list(KINDS))
def test_damaged_files_are_refused_or_mean_something(kind: str) -> None:
    results = set()
    for number, seed in enumerate(range(FIRST_SEED, FIRST_SEED + MOST)):
        if number >= LEAST and results == {"refused", "accepted"}:
            return
        outcome = run_case((kind, seed))
        again = f"python -m tests.fuzz --files 1 --seed {seed} --kind '{kind}'"
        assert outcome.fault is None, f"{outcome.fault}\nagain: {again}"
        results.add(outcome.result.split(",")[0])
    assert results == {"refused", "accepted"}, (
        f"{MOST} files from seed {FIRST_SEED}: the damage is too weak, or too strong"
    )
