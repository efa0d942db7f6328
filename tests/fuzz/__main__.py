"""``python -m tests.fuzz --files 2000 --seed 0``: damaged files, read as a user's would be.

Programs, checkpoints (ours and the public release's), activation ranges, arch files, exported programs (``.pt2``,
with their calibrations) and ONNX files are damaged: bits, ends, keys, types, numbers, instructions, nodes, tensors.
Most have their checksums made right, so that more than the checksum is tested.
Each is refused by an error that says what is wrong, or accepted; what is accepted is run, and written and read again.
Anything else is a fault: it is printed with the command that repeats it, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz.campaign import KINDS, cases, run_cases, table


def main() -> int:
    """Parse the options, run, print; 1 if there was a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first file; the others follow")
    parser.add_argument("--kind", choices=list(KINDS), help="this kind only")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    chosen = list(cases(options.files, options.seed))
    if options.kind is not None:
        chosen = [(options.kind, seed) for _, seed in chosen]
    begin = time.perf_counter()
    outcomes = []
    for outcome in run_cases(chosen, options.workers):
        outcomes.append(outcome)
        if outcome.fault is not None:
            print(f"{outcome.kind}, seed {outcome.seed}:\n{outcome.fault}")
            print(f"again: python -m tests.fuzz --files 1 --seed {outcome.seed} --kind '{outcome.kind}'", flush=True)
    faults = sum(outcome.fault is not None for outcome in outcomes)
    print(table(outcomes))
    print(f"{len(outcomes)} files, {faults} faults, {time.perf_counter() - begin:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
