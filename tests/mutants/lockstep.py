"""Random programs in lockstep up to the first difference: ``python -m tests.mutants.lockstep 40 [corners]``.

Nothing is shrunken.
The exit code is 1 at a difference and anything else where nothing was compared.
"""

from __future__ import annotations

import sys

from gatewright.contract.arch import load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.verify import lockstep
from gatewright.verify.kit.cases import case
from gatewright.verify.kit.check import machine_bench, small

BATCH = 10
"""Programs in one process: most faults show in the first ones."""


def first_difference(bench: lockstep.Bench, programs: int, corners: bool) -> str | None:
    """Of the programs of the seeds from 0 on, up to the first batch that has one."""
    for first in range(0, programs, BATCH):
        expectations = [
            case("corners" if corners else "layers", seed, bench.arch)
            for seed in range(first, min(first + BATCH, programs))
        ]
        last = lockstep.verify(bench, expectations, first=first)[-1]
        if last.difference is not None:
            return f"seed {last.number}: {last.difference}"
    return None


def main(programs: int, corners: bool) -> int:
    """0 if RTL, simulator and oracle agree on all programs."""
    bench = machine_bench(small(load_arch("4x4")))
    bench.build()
    try:
        difference = first_difference(bench, programs, corners)
    except (AssertionError, GatewrightError) as error:
        difference = f"{type(error).__name__}: {error}"
    if difference is None:
        print(f"{programs} programs agree")
        return 0
    print(" ".join(difference.split())[:300])
    return 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:] == ["corners"]))
