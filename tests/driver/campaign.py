"""Thousands of images back to back through the driver on the Verilated RTL; each compared with simulator and reference.

``python -m tests.driver.campaign --images 10000`` drives a small machine with a drawn network that has spatial gates,
channel gates and an exit. Every output, the exit at which each image leaves and every counter of each start must be the
simulator's, every output the integer reference's too. It watches what leaks: memory of the process, buffers, open
files. Exit code 1 at the first difference.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gatewright.compiler.graph.reference import run_reference
from gatewright.driver import Driver, load_program
from gatewright.driver.verilated import VerilatedMachine
from gatewright.machines.rtl import build_library
from gatewright.machines.simulator import SimulatedMachine
from tests.driver.tiny import ARCH, tiny_file, tiny_graph, tiny_inputs

CHUNK = 1000
"""Images for each of which a driver is opened and closed: what it leaves behind would add up."""

MOST_GROWTH = 16 << 20
"""Bytes that the process may grow from the second chunk on: allocators are not exact."""


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--poll", action="store_true", help="look at STATUS instead of waiting for the interrupt")
    parser.add_argument("--seed", type=int, default=2, help="of the images")
    options = parser.parse_args()
    wait = "poll" if options.poll else "interrupt"
    repeat = f"python -m tests.driver.campaign --images {options.images} --seed {options.seed}"
    with tempfile.TemporaryDirectory() as name:
        program = load_program(tiny_file(Path(name)).path)
        rtl, simulated = VerilatedMachine(build_library(ARCH)), SimulatedMachine(ARCH)
        inputs = tiny_inputs(options.images, options.seed)
        seconds, processor, cycles, left = 0.0, 0.0, 0, np.zeros(2, np.int64)
        before: tuple[int, int] | None = None
        for first in range(0, len(inputs), CHUNK):
            samples = inputs[first : first + CHUNK]
            reference = run_reference(tiny_graph(), samples)
            number = 0
            with (
                Driver(rtl, program, options.slots, wait, None) as driver,
                Driver(simulated, program, options.slots, "interrupt", None) as other,
            ):
                expected = other.starts(samples)
                begin, used = time.perf_counter(), time.process_time()
                for start in driver.starts(samples):
                    seconds += time.perf_counter() - begin
                    processor += time.process_time() - used
                    same = next(expected)
                    if start.counters != same.counters:
                        print(f"counters differ:\n {start.counters}\n {same.counters}\n{repeat}")
                        return 1
                    for one, two in zip(start.images, same.images, strict=True):
                        outputs = reference.outputs_of(number)
                        if one.left != two.left or not _same(one.outputs, two.outputs, outputs):
                            print(f"image {first + number}: {one} differs from {two} or {outputs}\n{repeat}")
                            return 1
                        left[one.left] += 1
                        number += 1
                    cycles += start.counters.cycles
                    begin, used = time.perf_counter(), time.process_time()
                if number != len(samples):
                    print(f"{number} of {len(samples)} images from {first} on came back\n{repeat}")
                    return 1
            gc.collect()
            now = resident(), len(os.listdir("/proc/self/fd"))
            if rtl.memory.in_use or simulated.memory.in_use:
                print(f"{rtl.memory.in_use} bytes of buffers were not freed\n{repeat}")
                return 1
            if first >= CHUNK:
                before = before or now
                if now[0] - before[0] > MOST_GROWTH or now[1] > before[1]:
                    print(f"the process grew from {before} to {now} (bytes, open files)\n{repeat}")
                    return 1
            print(f"{first + number:>6} images, {now[0] >> 20} MiB, {now[1]} open files", flush=True)
        rtl.close()
    rate = len(inputs) / seconds
    print(f"images       {len(inputs):,} by {wait}, {options.slots} slots: no difference, nothing lost")
    print(f"left         {left[0]:,} at the exit, {left[1]:,} at the end")
    print(f"cycles       {cycles:,}, {cycles / len(inputs):,.1f} an image")
    print(
        f"RTL          {seconds:,.1f} s, {rate:,.1f} images/s; {processor:,.1f} s of the processor: "
        f"{len(inputs) / processor:,.1f} images/s, {cycles / processor / 1e3:,.0f} thousand cycles/s"
    )
    return 0


def _same(*outputs: dict[str, np.ndarray]) -> bool:
    first, *others = outputs
    return all(
        other.keys() == first.keys() and all(np.array_equal(first[name], other[name]) for name in first)
        for other in others
    )


if __name__ == "__main__":
    sys.exit(main())
