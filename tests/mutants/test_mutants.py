"""Two of the mutants; ``python -m tests.mutants`` judges all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewright.contract.errors import GatewrightError
from tests.mutants.__main__ import ALL
from tests.mutants.campaign import Check, Workplace, stepped_check, unit_check
from tests.mutants.mutant import ROOT, Mutant, copy_project


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("mutants"))


@pytest.mark.parametrize(
    ("name", "check"),
    [
        (
            "third-wait-not-compared",
            unit_check("tests/hw/control/test_queue.py::test_a_queue_is_its_twin[EPILOGUE-3-1]"),
        ),
        ("stepped-padding-lanes-kept", stepped_check(seeds=(0, 1))),
    ],
)
def test_a_check_catches_the_mutant_and_passes_without_it(name: str, check: Check, workplace: Workplace) -> None:
    verdict = workplace.judge(ALL[name], [check])
    assert verdict.caught_by == check.name


def test_every_mutant_still_fits_its_source(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    copy_project(ROOT, tree)
    for mutant in ALL.values():
        original = (tree / mutant.file).read_text()
        mutant.apply(tree)
        mutated = (tree / mutant.file).read_text()
        assert mutated != original, mutant.name
        compile(mutated, mutant.file, "exec")
        (tree / mutant.file).write_text(original)


def test_a_text_that_does_not_occur_once_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("a = 1\nb = 1\n")
    for find, count in (("= 1", 2), ("= 2", 0)):
        with pytest.raises(GatewrightError, match=f"occurs {count} times"):
            Mutant("twice", "file.py", find, "= 3", "nothing").apply(tmp_path)
