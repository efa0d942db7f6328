"""Random programs in lockstep without an end, kind by kind, to be stopped and gone on with at any time.

``python -m tests.cosim.campaign --programs 1000000`` takes the kinds of ``random_lockstep`` in turn, some hundred
programs each, until so many have run since ``campaign.json`` beside this file was begun (``--state``: another one). It
says how many of each kind agreed and how many seconds they took, for each state of the contract, the simulators and
the RTL; it is written behind every turn, and committed, so that the next machine goes on. Seeds go on from one state
to the next. ``--workers 2`` has turns of two kinds at once. A program that differs ends the
campaign with exit code 1 and the command that repeats it alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from gatewright.contract.arch import PRESETS
from gatewright.contract.sources import sources_digest
from gatewright.verify.kit.check import BATCH, Agreement, small
from tests.cosim.random_lockstep import run

TURN = BATCH
"""Programs of a kind in a turn: one process of the simulator."""

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

STATE = Path(__file__).with_name("campaign.json")

Counts = dict[str, dict[str, float]]
"""Programs that agreed and seconds, by kind."""


def _load(path: Path) -> dict[str, Counts]:
    """Counts by state of the sources."""
    states: dict[str, Counts] = json.loads(path.read_text()) if path.is_file() else {}
    return states


def _save(path: Path, states: dict[str, Counts]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_name(path.name + ".partial")
    partial_file.write_text(json.dumps(states, indent=1) + "\n")
    partial_file.replace(path)


def _total(states: dict[str, Counts], kind: str | None = None) -> int:
    """Programs that have agreed, of one kind or of all."""
    found = [c["programs"] for counts in states.values() for name, c in counts.items() if kind in (None, name)]
    return int(sum(found))


def _turn(kind: str, first: int) -> tuple[Agreement, float]:
    """The programs of a turn, and the seconds that they took."""
    started = time.monotonic()
    agreement = KINDS[kind][0](range(first, first + TURN))
    return agreement, time.monotonic() - started


def main() -> int:
    """Parse the options and run turns; 1 if a program differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.cosim.campaign", description=__doc__)
    parser.add_argument("--state", type=Path, default=STATE, help="the file that says how far the campaign is")
    parser.add_argument("--programs", type=int, default=1_000_000, help="how many in all, over all kinds")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no turn behind so many minutes")
    parser.add_argument("--workers", type=int, default=1, choices=range(1, len(KINDS) + 1), help="turns at once")
    options = parser.parse_args()
    end, states = time.monotonic() + 60 * options.minutes, _load(options.state)
    counts = states.setdefault(sources_digest("contract", "hw", "sim")[:16], {})
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        under_way: dict[str, Future[tuple[Agreement, float]]] = {}
        while True:
            # No kind has two turns at once: how many of it agreed says where its next seed is.
            while len(under_way) < options.workers and time.monotonic() < end:
                if _total(states) + TURN * len(under_way) >= options.programs:
                    break
                idle = [name for name in KINDS if name not in under_way]
                kind = min(idle, key=lambda name: counts.get(name, {}).get("programs", 0))
                under_way[kind] = pool.submit(_turn, kind, FIRST_SEED + _total(states, kind))
            if not under_way:
                return 0
            wait(under_way.values(), return_when=FIRST_COMPLETED)
            for kind in [name for name, turn in under_way.items() if turn.done()]:
                agreement, seconds = under_way.pop(kind).result()
                first, same = FIRST_SEED + _total(states, kind), agreement.agreed
                mine = counts.setdefault(kind, {"programs": 0, "seconds": 0})
                mine["programs"] += same
                mine["seconds"] = round(mine["seconds"] + seconds, 1)
                _save(options.state, states)
                print(f"{kind}: {same} of {TURN} from seed {first} on agree; {_total(states)} in all", flush=True)
                if agreement.difference is not None:
                    print(agreement.difference)
                    one = f"--first {first + same} --programs 1 {KINDS[kind][1]}".rstrip()
                    print(f"again: python -m tests.cosim.random_lockstep {one}")
                    return 1


if __name__ == "__main__":
    sys.exit(main())
