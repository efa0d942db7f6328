"""A program file on a machine, from the command line: ``python -m gatewright_driver PROGRAM --bitstream FILE``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .counters import table, write_counters
from .driver import Driver
from .errors import DriverError
from .inputs import read_inputs
from .machine import Machine
from .program import load_program
from .results import RunResult


def main() -> int:
    """0; 2 with a message if something is wrong."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=__doc__)
    parser.add_argument("program", type=Path, help="program file of `gatewright compile`")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--bitstream", help="on the board: the .bit, its .hwh beside it")
    where.add_argument("--verilated", type=Path, help="off the board: the library of the Verilated RTL")
    parser.add_argument("--through-pynq", action="store_true", help="with --verilated: through pynq's classes")
    parser.add_argument("--ip", default="gatewright_0", help="name of the IP in the design (%(default)s)")
    parser.add_argument(
        "--inputs", type=Path, help=".npy, int8 [n, ...], quantised; without it: once, on the program's own image"
    )
    parser.add_argument("--slots", type=int, help="images of a start (16)")
    parser.add_argument("--wait", choices=("interrupt", "poll"), default="interrupt", help="(%(default)s)")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for a start, 0: for ever (%(default)s)")
    parser.add_argument("--counters", type=Path, help="write what was counted, for `gatewright compare`")
    parser.add_argument("--outputs", type=Path, help="write the results: .npz with logits, left, and each output")
    options = parser.parse_args()
    try:
        run(options)
    except DriverError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: Any) -> None:
    """What the options say."""
    program = load_program(options.program)
    inputs = None if options.inputs is None else read_inputs(options.inputs)
    driver = Driver(_machine(options), program, slots=options.slots, wait=options.wait, timeout=options.timeout or None)
    with driver:
        result = driver.run_own() if inputs is None else driver.run(inputs)
    clock = float(program.arch["clock_mhz"])
    print("\n".join(table(result.starts, clock)))
    print(f"host         {result.seconds:.3f} s, {len(result.images) / result.seconds:,.1f} images/s with all copies")
    if options.counters is not None:
        about = {"file": program.path.name, "checksum": program.checksum}
        write_counters(options.counters, result.starts, driver.machine, about, clock, result.seconds)
    if options.outputs is not None:
        np.savez(options.outputs, **_arrays(result))


def _machine(options: Any) -> Machine:
    if options.bitstream is not None:
        from .on_pynq import from_bitstream

        return from_bitstream(options.bitstream, options.ip)
    from .verilated import VerilatedMachine

    machine = VerilatedMachine(options.verilated)
    if not options.through_pynq:
        return machine
    from .verilated_device import through_pynq

    return through_pynq(machine)


def _arrays(result: RunResult) -> dict[str, Any]:
    """``left`` [n]; ``logits`` [n, classes] if there are any; each image's outputs as ``NUMBER/NAME``."""
    arrays: dict[str, Any] = {"left": np.array([one.left for one in result.images])}
    answers = [one.logits for one in result.images if one.logits is not None]
    if answers:
        arrays["logits"] = np.stack(answers)
    for number, one in enumerate(result.images):
        arrays.update({f"{number}/{name}": values for name, values in one.outputs.items()})
    return arrays


if __name__ == "__main__":
    sys.exit(main())
