"""Random programs in lockstep without an end, kind by kind, to be stopped and gone on with at any time.

``python -m tests.cosim.campaign --state FILE --programs 1000000`` takes the kinds of ``random_lockstep`` in turn, some
hundred programs each, until so many have run since FILE was begun. FILE says how many of each kind agreed and how many
seconds they took, for each state of the contract, the simulators and the RTL; it is written behind every turn. Seeds
go on from one state to the next. A program that differs ends the campaign with exit code 1 and the command that repeats
it alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gatewright.contract.arch import PRESETS
from gatewright.contract.sources import sources_digest
from gatewright.verify.kit.check import BATCH, Agreement, small
from tests.cosim.random_lockstep import run

TURN = BATCH
"""Programs of a kind in a turn: the simulator's start-up is a small part of it."""

ARCH = small(PRESETS["4x4"])

KINDS: dict[str, tuple[Callable[[range], Agreement], str]] = {
    "layers": (partial(run, ARCH, "layers"), ""),
    "corners": (partial(run, ARCH, "corners"), "--corners"),
    "waits": (partial(run, ARCH, "waits"), "--waits"),
    "images": (partial(run, ARCH, "images"), "--images"),
    "stalled": (partial(run, ARCH, "layers", stall=7), "--stall 7"),
    "illegal": (partial(run, ARCH, "illegal"), "--illegal"),
    "traffic": (partial(run, ARCH, "traffic"), "--traffic"),
}
"""What runs the programs of some seeds, and the option of ``random_lockstep`` for it."""

FIRST_SEED = 10_000_000

Counts = dict[str, dict[str, float]]
"""Programs that agreed and seconds, by kind."""


def _load(path: Path) -> dict[str, Counts]:
    """Counts by state of the sources."""
    states: dict[str, Counts] = json.loads(path.read_text()) if path.is_file() else {}
    return states


def _save(path: Path, states: dict[str, Counts]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_name(path.name + ".partial")
    partial_file.write_text(json.dumps(states, indent=1))
    partial_file.replace(path)


def _total(states: dict[str, Counts], kind: str | None = None) -> int:
    """Programs that have agreed, of one kind or of all."""
    found = [c["programs"] for counts in states.values() for name, c in counts.items() if kind in (None, name)]
    return int(sum(found))


def main() -> int:
    """Parse the options and run turns; 1 if a program differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.cosim.campaign", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the file that says how far the campaign is")
    parser.add_argument("--programs", type=int, default=1_000_000, help="how many in all, over all kinds")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no turn behind so many minutes")
    options = parser.parse_args()
    begin, states = time.monotonic(), _load(options.state)
    counts = states.setdefault(sources_digest("contract", "hw", "sim")[:16], {})
    while _total(states) < options.programs and time.monotonic() - begin < 60 * options.minutes:
        kind = min(KINDS, key=lambda name: counts.get(name, {}).get("programs", 0))
        turn, option = KINDS[kind]
        first = FIRST_SEED + _total(states, kind)
        started = time.monotonic()
        agreement = turn(range(first, first + TURN))
        same = agreement.agreed
        mine = counts.setdefault(kind, {"programs": 0, "seconds": 0})
        mine["programs"] += same
        mine["seconds"] = round(mine["seconds"] + time.monotonic() - started, 1)
        _save(options.state, states)
        print(f"{kind}: {same} of {TURN} from seed {first} on agree; {_total(states)} in all", flush=True)
        if agreement.difference is not None:
            print(agreement.difference)
            print(f"again: python -m tests.cosim.random_lockstep --first {first + same} --programs 1 {option}".rstrip())
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
