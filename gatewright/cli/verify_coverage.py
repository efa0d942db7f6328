"""``gatewright verify --coverage``: what the programs that agree have reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gatewright.contract.arch import ArchConfig
    from gatewright.verify.expectations import Expectation
    from gatewright.verify.kit.coverage.coverage import Coverage
    from gatewright.verify.lockstep import Verified


@contextmanager
def covered(
    path: Path | None, arch: ArchConfig, kinds: Sequence[str], numbers: range, stall_seed: int | None
) -> Iterator[Coverage | None]:
    """A coverage to add programs to, if a file is named; behind the block the file has them, too, and is shown.

    A file of another machine, or one that has some of the programs of these kinds and numbers, is refused before any
    runs. Several processes may add to a file; what is counted when the block is interrupted is added as well.
    """
    if path is None:
        yield None
        return
    from gatewright.verify.kit.coverage.coverage import Coverage
    from gatewright.verify.kit.coverage.text import text_of
    from gatewright.verify.tools import locked

    def of_file() -> Coverage:
        return Coverage.load(path) if path.is_file() else Coverage(arch)

    before, where = of_file(), f"coverage {path}"
    before.refuse_other_machine(arch, where)
    for kind in kinds:
        before.refuse_twice(kind, numbers, stall_seed or 0, where)
    coverage = Coverage(arch)
    try:
        yield coverage
    finally:
        with locked(path.with_name(path.name + ".lock")):
            whole = of_file()
            whole.merge(coverage)
            whole.save(path)
    click.echo(text_of(whole))


def count_agreed(
    coverage: Coverage | None,
    called: str,
    expectations: Sequence[Expectation],
    results: Sequence[Verified],
    stall_seed: int | None,
) -> None:
    """Add those of some programs, numbered as their results are, that agree."""
    if coverage is None:
        return
    for expectation, result in zip(expectations, results, strict=False):
        if result.difference is None:
            coverage.add(expectation, result.seen)
            coverage.note(called, range(result.number, result.number + 1), stall_seed or 0)
