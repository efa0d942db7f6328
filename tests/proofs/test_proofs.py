"""The quick proofs, and that proofs notice faults; ``python -m tests.proofs`` decides all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewright.contract.errors import GatewrightError
from tests.mutants.campaign import Check, Workplace
from tests.mutants.mutant import ROOT
from tests.proofs import solve as module
from tests.proofs.harness import Aim, Harness
from tests.proofs.proof import Proof
from tests.proofs.proofs import PROOFS
from tests.proofs.solve import SOLVER, Verdict, solve

QUICK = sorted(name for name, proof in PROOFS.items() if proof.quick)


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_proof_holds(name: str) -> None:
    result = solve(PROOFS[name])
    assert result.verdict == Verdict.PROVEN, result
    assert PROOFS[name].bounded or result.induction >= 1


def test_what_matters_can_come() -> None:
    result = solve(PROOFS["head-queue-3"], Aim.REACH)
    assert result.verdict == Verdict.PROVEN, result


def test_a_planted_fault_is_found(tmp_path: Path) -> None:
    proof = PROOFS["head-queue-3"]
    workplace = Workplace(tmp_path)
    check = Check(proof.name, ("-m", "tests.proofs", "--search", proof.name))
    verdict = workplace.judge(next(fault for fault in proof.faults if fault.name == "queue-full-late"), [check])
    assert verdict.caught_by == proof.name
    assert "disproved: full" in verdict.line


def test_what_does_not_hold_is_no_proof() -> None:
    def counts_to_five() -> Harness:
        h = Harness()
        count = h.any(3, "count")
        before = h.before(count, "before")
        h.check("below", before < 5)
        h.cover("seven", before == 7)
        h.cover("never", (before == 7) & (before == 6))
        return h

    proof = Proof("five", "a count is below 5", counts_to_five, 3, ())
    assert solve(proof).verdict == Verdict.DISPROVED
    assert solve(proof).failed == "below"
    reached = solve(proof, Aim.REACH)
    assert reached.verdict != Verdict.PROVEN and reached.failed == "never"


def test_without_induction_a_proof_is_open() -> None:
    def counter() -> Harness:
        h = Harness()
        count, steps = h.any(1, "steps"), h.constant(8, "limit")
        value = h.before(count, "value")
        from_ = h.before(h.before(value, "a"), "b")
        h.assume(steps == 0)
        h.check("slow", ~from_ | (from_ == h.before(h.before(value, "c"), "d")))
        return h

    assert solve(Proof("slow", "two equal delay lines agree", counter, 1, ())).verdict == Verdict.OPEN


def test_every_fault_fits_its_source() -> None:
    for proof in PROOFS.values():
        assert proof.faults, proof.name
        for fault in proof.faults:
            assert (ROOT / fault.file).read_text().count(fault.find) == 1, f"{proof.name}: {fault.name}"


def test_the_page_lists_every_proof() -> None:
    page = (ROOT / "docs" / "proofs.md").read_text()
    assert [name for name in PROOFS if f"`{name}`" not in page] == []


def test_a_missing_solver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "solver_folder", lambda: None)
    with pytest.raises(GatewrightError, match=SOLVER):
        solve(PROOFS["head-queue-3"])
