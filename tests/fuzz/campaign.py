"""Many damaged files in processes of their own; what became of each, and the cases in which something is wrong."""

from __future__ import annotations

import faulthandler
import tempfile
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.fuzz.checkpoints import run_own, run_public
from tests.fuzz.damage import Random
from tests.fuzz.exported import run_exported
from tests.fuzz.onnx_files import run_onnx
from tests.fuzz.programs import run_program
from tests.fuzz.texts import run_arch, run_ranges

KINDS: dict[str, tuple[Callable[[Random, Path], str], int]] = {
    "program": (run_program, 8),
    "own checkpoint": (run_own, 2),
    "public checkpoint": (run_public, 2),
    "ranges": (run_ranges, 4),
    "arch": (run_arch, 4),
    "exported program": (run_exported, 3),
    "onnx": (run_onnx, 4),
}
"""What runs a case, and how many of 27 files are of the kind."""

WATCHDOG_S = 180
"""A case that takes longer ends its process with a traceback of where it is."""


@dataclass(frozen=True)
class Outcome:
    """What became of a damaged file; ``fault`` is a traceback, if it was not refused or accepted as it should be."""

    kind: str
    seed: int
    result: str
    fault: str | None = None


def cases(count: int, first: int = 0) -> Iterator[tuple[str, int]]:
    """(kind, seed) of so many files: of the kinds in their shares."""
    wheel = [kind for kind, (_, share) in KINDS.items() for _ in range(share)]
    # A step that has no factor in common with the wheel's length mixes the kinds, so that a few cases have all.
    return ((wheel[7 * seed % len(wheel)], seed) for seed in range(first, first + count))


def run_case(case: tuple[str, int]) -> Outcome:
    """Make, damage and read one file. Anything but a result or a ``GatewrightError`` of a reader is a fault."""
    kind, seed = case
    rng = np.random.default_rng([zlib.crc32(kind.encode()), seed])
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return Outcome(kind, seed, KINDS[kind][0](rng, Path(folder)))
        except Exception:
            return Outcome(kind, seed, "FAULT", traceback.format_exc())


def _watched(case: tuple[str, int]) -> Outcome:
    faulthandler.dump_traceback_later(WATCHDOG_S, exit=True)
    try:
        return run_case(case)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _start() -> None:
    import torch

    torch.set_num_threads(1)


def run_cases(chosen: list[tuple[str, int]], workers: int) -> Iterator[Outcome]:
    """The outcomes in order; a process that the watchdog ended is a ``BrokenProcessPool``."""
    with ProcessPoolExecutor(workers, initializer=_start) as pool:
        yield from pool.map(_watched, chosen, chunksize=4)


def table(outcomes: list[Outcome]) -> str:
    """How many of each kind came to which result."""
    counts = Counter((outcome.kind, outcome.result) for outcome in outcomes)
    return "\n".join(f"{counts[key]:6} {key[0]:18} {key[1]}" for key in sorted(counts))
