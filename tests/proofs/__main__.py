"""``python -m tests.proofs [names]``: prove properties of the RTL's control for all inputs.

Every proof puts a component of the RTL as it is between free inputs and lets a solver look for a case in which a
property fails. ``--reach`` shows instead that the cases that matter can come true under what is assumed, ``--faults``
that each proof fails on the faults planted for it, in a copy of the project. ``--list`` prints what is claimed. The
exit code is 1 if something does not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from gatewright.contract.errors import GatewrightError
from tests.mutants.campaign import Check, Workplace
from tests.proofs.harness import Aim
from tests.proofs.proof import Proof
from tests.proofs.proofs import PROOFS
from tests.proofs.solve import Result, Verdict, solve
from tests.support.named import add_names, named


def main() -> int:
    """Decide the named proofs, or all, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs", description=__doc__)
    add_names(parser, "the proofs and what they claim")
    parser.add_argument("--faults", action="store_true", help="show that each proof fails on its planted faults")
    aims = {Aim.SEARCH: "look for counterexamples alone, without invariants", Aim.REACH: "show that each case can come"}
    for aim, help_ in aims.items():
        parser.add_argument(f"--{aim.name.lower()}", dest="aim", action="store_const", const=aim, help=help_)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep netlists, logs and traces there")
    options = parser.parse_args()
    proofs = named(parser, options, PROOFS, lambda proof: f"{proof.name:24} {proof.claim}")
    try:
        return _faults(proofs) if options.faults else _decide(proofs, options.aim or Aim.PROVE, options.keep)
    except GatewrightError as error:
        print(error)
        return 2


def _decide(proofs: list[Proof], aim: Aim, keep: Path | None) -> int:
    wrong = 0
    for proof in proofs:
        result = solve(proof, aim, keep)
        holds = result.verdict == Verdict.PROVEN
        wrong += not holds
        how = _how(proof, aim, result) if holds else f"{result.verdict.value}: {result.failed}"
        print(f"{proof.name:24} {how}, {result.seconds:.1f} s", flush=True)
    return 1 if wrong else 0


def _how(proof: Proof, aim: Aim, result: Result) -> str:
    if aim == Aim.PROVE:
        bounded = f"proven for {proof.cycles} cycles from the reset on"
        return bounded if proof.bounded else f"proven, by induction over {result.induction} cycles"
    return f"every case comes within {proof.search} cycles" if aim == Aim.REACH else f"holds for {proof.search} cycles"


def _faults(proofs: list[Proof]) -> int:
    survivors = []
    with tempfile.TemporaryDirectory(prefix="gatewright-proofs-") as folder:
        workplace = Workplace(Path(folder))
        for proof in proofs:
            for fault in proof.faults:
                check = Check(proof.name, ("-m", "tests.proofs", "--search", proof.name))
                verdict = workplace.judge(fault, [check])
                # A proof that merely does not come to an end has noticed nothing.
                noticed = verdict.caught_by is not None and Verdict.DISPROVED.value in verdict.line
                print(f"{fault.name:32} {verdict.line if noticed else 'SURVIVES ' + proof.name}", flush=True)
                survivors += [] if noticed else [fault.name]
    print(f"{len(survivors)} faults survive{': ' if survivors else ''}{', '.join(survivors)}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
