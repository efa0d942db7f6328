from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatewright.contract.arch import PRESETS
from gatewright.verify.kit.check import Agreement
from gatewright.verify.lockstep import Verified
from tests.equality import checks as checks_module
from tests.equality.__main__ import run_checks
from tests.equality.card import render
from tests.equality.checks import Check, Row, network_checks, program_checks, proof_checks
from tests.mutants.campaign import Verdict as Judged
from tests.mutants.mutant import Mutant
from tests.proofs.proofs import PROOFS
from tests.proofs.solve import Result, Verdict

FIGURES = {"instructions": 7, "cycles": 1234, "events": 9, "compared_bytes": 5}


def network(name: str, ran: list[str], differs: str = "") -> Check:
    def run() -> Row:
        ran.append(name)
        return {"network": name, "machine": "4x4", "program": "live", "images": 2, **FIGURES, "differs": differs}

    return Check("networks", name, f"gatewright verify {name}", run)


def test_a_second_call_runs_what_is_missing_and_other_sources_run_all(tmp_path: Path) -> None:
    ran: list[str] = []
    checks = [network("one", ran), network("two", ran)]
    run_checks(checks[:1], tmp_path, "sources", float("inf"))
    assert ran == ["one"]
    rows = run_checks(checks, tmp_path, "sources", float("inf"))
    assert ran == ["one", "two"] and set(rows) == {"gatewright verify one", "gatewright verify two"}
    run_checks(checks, tmp_path, "changed", float("inf"))
    assert ran == ["one", "two", "one", "two"]
    assert set(json.loads((tmp_path / "results.json").read_text())) == {"sources", "changed"}


def test_no_check_begins_behind_its_time(tmp_path: Path) -> None:
    ran: list[str] = []
    assert run_checks([network("one", ran)], tmp_path, "sources", -1.0) == {} and ran == []


def test_a_difference_and_what_has_not_run_stand_on_the_page(tmp_path: Path) -> None:
    checks = [network("one", []), network("two", [], "cycle 7 differs"), network("three", [])]
    rows = run_checks(checks[:2], tmp_path, "sources", float("inf"))
    page = render(checks, rows, "sources")
    assert "2 of 3 checks have run" in page
    assert "**1 found a difference: two.**" in page
    assert "| `one` | live | `4x4` | 2 | 7 | 1,234 | 9 | 5 | 0 | `gatewright verify one` |" in page
    assert "| **yes** | `gatewright verify two` |" in page
    assert "Not run: three." in page


def test_a_fault_that_nothing_notices_stands_on_the_page(tmp_path: Path) -> None:
    def fault(name: str, by: str) -> Check:
        row = {"file": "hw/top.py", "effect": "wrong", "noticed_by": by, "differs": "" if by else "no check notices it"}
        return Check("faults", name, f"python -m tests.mutants {name}", lambda: row)

    checks = [fault("seen", "lockstep"), fault("unseen", "")]
    page = render(checks, run_checks(checks, tmp_path, "sources", float("inf")), "sources")
    assert "1 of 2 faults that were tried are noticed." in page
    assert "| unseen | `hw/top.py` | wrong | **nothing** |" in page
    assert "**1 found a difference: unseen.**" in page


def test_the_card_asks_for_every_network_preset_kind_and_proof() -> None:
    again = [check.again for check in network_checks()]
    assert "gatewright verify resnet20" in again
    assert "gatewright verify bas-resnet20 --live --one-start --images 2" in again
    assert "gatewright verify dgnet-resnet20-0.4 --arch 4x4" in again
    assert [check.name for check in proof_checks()] == list(PROOFS)
    programs = {check.name: check.again for check in program_checks(10)}
    assert programs["images"] == "python -m tests.cosim.random_lockstep --first 10000000 --programs 10 --images"


def test_other_numbers_of_programs_are_other_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page for 2,000 programs must not show what 10 have found; and a program that differs stands on it."""
    asked: list[range] = []

    def run(seeds: range) -> Agreement:
        asked.append(seeds)
        return Agreement(10, 10) if len(seeds) == 10 else Agreement(7, 20, 7, "seed 7 differs")

    monkeypatch.setattr(checks_module, "KINDS", {"layers": (run, "")})
    few, many = list(program_checks(10)), list(program_checks(20))
    run_checks(few, tmp_path, "sources", float("inf"))
    rows = run_checks(many, tmp_path, "sources", float("inf"))
    assert [len(seeds) for seeds in asked] == [10, 20]
    page = render(many, rows, "sources")
    assert "| layers | 7 | **yes** | `python -m tests.cosim.random_lockstep" in page and "1 of 1 checks" in page


def test_what_differs_is_in_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network, a proof and a fault, whatever finds it."""
    found = Verified(0, 7, 9, 3, 1, 5, 1234, 0.1, "cycle 7 differs")
    monkeypatch.setattr(checks_module, "_expectation", lambda *asked: None)
    monkeypatch.setattr(checks_module, "capacity_for", lambda expectations: None)
    monkeypatch.setattr(checks_module.design, "machine_verilog", lambda arch: "")
    monkeypatch.setattr(checks_module, "verify", lambda bench, expectations: [found])
    row = checks_module._compare("resnet20", PRESETS["4x4"], "live")
    assert (row["differs"], row["cycles"], row["images"], row["machine"]) == ("cycle 7 differs", 1234, 2, "4x4")

    monkeypatch.setattr(checks_module, "solve", lambda proof, aim: Result(Verdict.DISPROVED, "waits", 3, 0.1))
    assert "waits" in next(proof_checks()).run()["differs"]

    mutant = Mutant("unseen", "hw/top.py", "a", "b", "wrong")

    class Blind:
        def judge(self, mutant: Mutant) -> Judged:
            return Judged(mutant, None, 0.1, "")

    assert checks_module._fault(Blind(), mutant)["differs"] == "no check notices it"  # type: ignore[arg-type]
