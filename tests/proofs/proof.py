"""A proof: a harness, the way to decide its properties, and faults that have to break it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.mutants.mutant import Mutant
from tests.proofs.harness import Harness


@dataclass(frozen=True)
class Proof:
    """``claim``: the properties of ``build()`` in a sentence.

    Unless ``bounded``, by induction over at most ``cycles`` cycles, and for as many from the reset on, which together
    is for ever; else for so many from the reset on alone. ``faults``: mutants for each of which a counterexample has
    to turn up within ``search`` cycles from the reset on. ``quick``: within the test suite.
    """

    name: str
    claim: str
    build: Callable[[], Harness]
    cycles: int
    faults: tuple[Mutant, ...]
    search: int = 10
    bounded: bool = False
    quick: bool = True
