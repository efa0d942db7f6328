"""``python -m tests.equality -o FOLDER``: the equality card, a page that says what was compared, and what it found.

Networks of the zoo on the presets, random programs, proofs; with ``--faults`` the faults that are put in by hand, too
(hours). Each check is kept in FOLDER/results.json as soon as it has run, for the sources that it ran with: a second
call goes on where the first one was stopped. The page is FOLDER/equality.md. The exit code is 1 if a check found a
difference.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from gatewright.contract.sources import sources_digest
from tests.equality.card import render
from tests.equality.checks import Check, Row, fault_checks, network_checks, program_checks, proof_checks
from tests.mutants.campaign import Workplace


def run_checks(checks: Sequence[Check], folder: Path, digest: str, minutes: float) -> dict[str, Row]:
    """Rows by the commands that repeat them, those of an earlier call with the same sources among them."""
    kept = folder / "results.json"
    states: dict[str, dict[str, Row]] = json.loads(kept.read_text()) if kept.is_file() else {}
    rows = states.setdefault(digest, {})
    begin = time.monotonic()
    for check in checks:
        if check.again in rows:
            continue
        if time.monotonic() - begin > 60 * minutes:
            break
        started = time.monotonic()
        found = check.run()
        seconds = round(time.monotonic() - started, 1)
        rows[check.again] = {**found, "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M}", "seconds": seconds}
        folder.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial")
        partial.write_text(json.dumps(states, indent=1) + "\n")
        partial.replace(kept)
        print(f"{check.name}: {found['differs'] or 'no difference'}, {seconds:.0f} s", flush=True)
    return rows


def main() -> int:
    """Run what is missing, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.equality", description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("build/equality"), metavar="FOLDER")
    parser.add_argument("--programs", type=int, default=2000, help="random programs of each kind")
    parser.add_argument("--faults", action="store_true", help="judge every fault, too")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no check behind so many minutes")
    options = parser.parse_args()
    digest = sources_digest("contract", "hw", "sim", "compiler")
    with tempfile.TemporaryDirectory(prefix="gatewright-equality-") as temporary:
        workplace = cache(lambda: Workplace(Path(temporary)))
        checks = [*network_checks(), *program_checks(options.programs), *proof_checks()]
        checks += fault_checks(workplace) if options.faults else []
        rows = run_checks(checks, options.out, digest, options.minutes)
    page = options.out / "equality.md"
    options.out.mkdir(parents=True, exist_ok=True)
    page.write_text(render(checks, {check.again: rows[check.again] for check in checks if check.again in rows}, digest))
    print(page)
    return 1 if any(rows[check.again]["differs"] for check in checks if check.again in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
