"""``python -m tests.mutants [names]``: make one fault after the other and see which check notices it.

Every mutant is a copy of the project, in a temporary folder, with one replacement. Faults of the RTL meet random
programs in lockstep, those of the corners next, then the unit bench of their block; faults of a simulator meet the
random tests of the stepped simulator, then layers on both simulators, then the lockstep. The exit code is 1 if a
mutant survives. ``--list`` prints the table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from gatewright.contract.errors import GatewrightError
from tests.mutants.campaign import Verdict, Workplace
from tests.mutants.hardware import HARDWARE
from tests.mutants.simulator import SIMULATOR
from tests.support.named import add_names, named

ALL = {mutant.name: mutant for mutant in (*HARDWARE, *SIMULATOR)}


def main() -> int:
    """Judge the named mutants, or all; print a line for each and the kill rate."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    add_names(parser, "the mutants and what a user would see")
    options = parser.parse_args()
    mutants = named(parser, options, ALL, lambda one: f"{one.name:32} {one.file:34} {one.effect}")
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="gatewright-mutants-") as folder:
        workplace = Workplace(Path(folder))
        for mutant in mutants:
            try:
                verdicts.append(workplace.judge(mutant))
            except GatewrightError as error:
                print(f"{mutant.name}: {error}")
                return 2
            verdict = verdicts[-1]
            how = f"caught by {verdict.caught_by}" if verdict.caught_by else "SURVIVES"
            print(f"{mutant.name:32} {how}, {verdict.seconds:.0f} s: {verdict.line}", flush=True)
    survivors = [verdict.mutant.name for verdict in verdicts if verdict.caught_by is None]
    caught = len(verdicts) - len(survivors)
    print(f"{caught} of {len(verdicts)} mutants caught, {100 * caught / len(verdicts):.0f}%")
    if survivors:
        print(f"survivors: {', '.join(survivors)}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
