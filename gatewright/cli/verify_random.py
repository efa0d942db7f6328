"""``gatewright verify --random``: random programs on the RTL."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from gatewright.contract.arch import ArchConfig
from gatewright.verify.kit.check import check, check_illegal, machine_bench
from gatewright.verify.kit.coverage.coverage import Coverage
from gatewright.verify.kit.kinds import ILLEGAL


def verify_random(
    arch: ArchConfig,
    verilog: str | None,
    kinds: Sequence[str],
    seeds: range,
    stall: int,
    named: str,
    coverage: Coverage | None = None,
) -> bool:
    """Run the programs of some seeds of each kind, print; whether all agree, up to the first that does not.

    ``named`` are the command's options that name the machine, for the command that repeats a difference. Programs that
    agree are added to ``coverage``, but those that must be refused.
    """
    bench = machine_bench(arch, verilog, stall)
    seconds = bench.build().seconds
    click.echo(f"machine      {arch.name}, {seconds:.0f} s to build")
    for kind in kinds:
        begin = time.perf_counter()
        agreement = check_illegal(bench, seeds) if kind == ILLEGAL else check(bench, kind, seeds, coverage)
        took = time.perf_counter() - begin
        how = "refused alike" if kind == ILLEGAL else "order and bytes" if stall else "cycles and bytes"
        click.echo(
            f"{kind:<12} {agreement.agreed} of {agreement.count} programs agree, from seed {seeds.start} on: "
            f"{how}, {took:.0f} s"
        )
        if agreement.difference is not None:
            click.echo(f"seed {agreement.number}: {agreement.difference}")
            extra = f" --stall-seed {stall}" if stall else ""
            click.echo(
                f"again        gatewright verify --random 1 --kind {kind} --seed {agreement.number}{extra}{named}"
            )
            return False
    return True
