"""One live program beside a program for each image: cycles of table3's networks, every logit and gate checked.

``python benchmarks/live.py --case R18-60 --images 20 --out build/live.json``. What is in OUT already is not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules beside this one, run as a script

from benchmarks.gated_cases import MASKS, MODES, Case
from benchmarks.published import PAPER
from benchmarks.synthetic_networks import Aimed, aim_for_ratio
from benchmarks.table3 import QUICK_IMAGES, SYNTHETIC
from gatewright.agreement import check_run
from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import ArchConfig, load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.flow import limit_threads
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.noise import noise_images
from gatewright.sim.fast.machine import simulate

Row = dict[str, Any]


@dataclass(frozen=True)
class Compiled:
    """A case's network, its compiler, and its one program."""

    aimed: Aimed
    compiler: Compiler
    live: Program


@cache
def compiled(case: Case, arch: ArchConfig) -> Compiled:
    """The network with the MAC ratio of the case on its images, compiled; once in a process."""
    limit_threads()
    paper, mode = PAPER[case.network], MODES[case.mode]
    images, ratio = noise_images(case.images, case.size, case.seed, IMAGENET, MASKS[case.masks]), 1 / paper.theoretical
    spec = NetworkSpec(paper.depth, "dual", round(ratio, 2), 1000, case.size, paper.family)
    aimed = aim_for_ratio(spec, images, ratio, case.seed, mode.channel_part, mode.spread)
    compiler = Compiler(aimed.graph, arch)
    return Compiled(aimed, compiler, compiler.compile_live())


def measure_image(number: int, case: Case, arch: ArchConfig) -> Row:
    """Cycles of an image by both programs; a logit or a gate that is not the reference's is an error."""
    made = compiled(case, arch)
    aimed, sample = made.aimed, made.aimed.inputs[number]
    cycles = []
    for what, program in (("live", made.live), ("replayed", made.compiler.compile(aimed.decisions(number), sample))):
        result = simulate(program, sample, observe=True)
        name = f"{case}, image {number}, {what}"
        check_run(name, result, aimed.reference.outputs_of(number), aimed.decisions(number))
        cycles.append(result.cycles)
    return {**key_of(case, arch), "image": number, "cycles_live": cycles[0], "cycles_replayed": cycles[1]}


def key_of(case: Case, arch: ArchConfig) -> Row:
    """What a case's rows have in common."""
    names = "network", "masks", "mode", "images", "seed", "size"
    return {**{name: getattr(case, name) for name in names}, "arch": arch.name, "synthetic": True}


def measure_case(case: Case, arch: ArchConfig, out: Path, workers: int) -> list[Row]:
    """The rows of a case's images; those that ``out`` does not have are run, and added to it one by one."""
    rows: list[Row] = json.loads(out.read_text()) if out.exists() else []
    key = key_of(case, arch)
    known = {row["image"] for row in rows if row.items() >= key.items()}
    missing = [number for number in range(case.images) if number not in known]
    work = partial(measure_image, case=case, arch=arch)
    with ProcessPoolExecutor(workers) as pool:
        for row in pool.map(work, missing):
            rows.append(row)
            out.write_text(json.dumps(rows, indent=1) + "\n")
            print(f"{case}: image {row['image']}: {_line(row)}", file=sys.stderr, flush=True)
    return [row for row in rows if row.items() >= key.items()]


def _line(row: Row) -> str:
    live, replayed = row["cycles_live"], row["cycles_replayed"]
    return f"live {live:,.0f}, replayed {replayed:,.0f} cycles, {live / replayed - 1:+.2%}"


def mean_of(rows: list[Row]) -> Row:
    """The mean over a case's images."""
    names = "cycles_live", "cycles_replayed"
    return {**rows[0], **{name: float(np.mean([row[name] for row in rows])) for name in names}}


def main() -> None:
    """Measure, write the JSON, print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="R18-60", help=f"some of {','.join(PAPER)}")
    parser.add_argument("--images", type=int, default=20, help=f"images, at least {QUICK_IMAGES}")
    parser.add_argument("--masks", default="independent", choices=MASKS)
    parser.add_argument("--mode", default="equal", choices=MODES)
    parser.add_argument("--seed", type=int, default=1, help="of weights, densities and images")
    parser.add_argument("--size", type=int, default=224, help="edge of an image")
    parser.add_argument("--arch", default="ultra96", help="a preset or a TOML file")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument(
        "--out", type=Path, default=Path("build/live.json"), help="JSON file to write, or to go on with"
    )
    options = parser.parse_args()
    names = options.case.split(",")
    if unknown := [name for name in names if name not in PAPER]:
        parser.error(f"no network {unknown[0]}; there are {', '.join(PAPER)}")
    if options.images < QUICK_IMAGES:
        parser.error(f"--images {options.images} is less than {QUICK_IMAGES}: too few to aim a MAC ratio with")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    print(SYNTHETIC)
    for name in names:
        case = Case(name, options.masks, options.mode, options.images, options.seed, options.size)
        try:
            rows = measure_case(case, load_arch(options.arch), options.out, options.workers)
        except GatewrightError as error:
            parser.exit(2, f"live: error: {case}: {error}\n")
        print(f"{case}: {len(rows)} images, means: {_line(mean_of(rows))}")


if __name__ == "__main__":
    main()
