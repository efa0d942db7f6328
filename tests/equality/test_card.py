from __future__ import annotations

import json
from pathlib import Path

from tests.equality.__main__ import run_checks
from tests.equality.card import render
from tests.equality.checks import Check, Row, network_checks, program_checks, proof_checks
from tests.proofs.proofs import PROOFS

FIGURES = {"instructions": 7, "cycles": 1234, "events": 9, "writes": 3, "compared_bytes": 5}


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
    assert ran == ["one", "two"] and set(rows) == {"one", "two"}
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
