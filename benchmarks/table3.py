"""Table 3 of the paper on this machine: what gated ResNets at 224x224 keep of the speedup that MACs promise.

``python benchmarks/table3.py --out build/table3.json [--images N] [--networks R18-60,...] [--quick] [--scalesim]``
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules beside this one, run as a script

from benchmarks.gated_cases import MASKS, MODES, RATES, Case, Measured, Refused, dense_rows, drams, measure, rows_of
from benchmarks.published import OTHERS, PAPER, PAPER_SOURCE
from benchmarks.scale_sim import ScaleSimResult, run_scale_sim, scale_sim_layers
from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import ArchConfig, load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.flow import limit_threads
from gatewright.measure.causes import TITLES, Cause
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.densities import densities
from gatewright.models.synthetic.noise import noise_images
from gatewright.models.synthetic.synthesis import synthesise
from gatewright.sim.fast.machine import simulate

SYNTHETIC = (
    "SYNTHETIC networks: weights are drawn from a seed, gates are set to the paper's MAC ratios. They have no accuracy."
)

QUICK_IMAGES = 4
DEPTH_OF_SCALE_SIM = 18


def cases(networks: list[str], images: int, seed: int, quick: bool, size: int = 224) -> list[Case]:
    """Independent masks with every mode, clustered ones with equal densities; the slow networks first."""
    modes = [("independent", mode) for mode in (["equal"] if quick else MODES)] + [("clustered", "equal")]
    order = sorted(networks, key=lambda name: -PAPER[name].depth)
    return [Case(name, masks, mode, images, seed, size) for name in order for masks, mode in modes]


def measure_all(
    listed: list[Case], arch: ArchConfig, rates: list[int], workers: int
) -> tuple[dict[str, object], list[str]]:
    """What goes into the JSON, and a line for each case that was refused."""
    memories = drams(arch.dram, rates)
    work = partial(measure, arch=arch, memories=memories)
    rows: list[dict[str, object]] = []
    about, refused, dense = [], [], set()
    with ProcessPoolExecutor(workers) as pool:
        for case, result in zip(listed, pool.map(work, listed), strict=True):
            if isinstance(result, Refused):
                refused.append(f"{case}: {result.why}")
                continue
            print(f"{case}: done", file=sys.stderr, flush=True)
            depth = PAPER[case.network].depth
            if depth not in dense:
                dense.add(depth)
                rows += dense_rows(result, arch, memories)
            rows += rows_of(result, arch, memories)
            about.append(_about(result))
    return {"synthetic": SYNTHETIC, "arch": arch.name, "rows": rows, "cases": about, "refused": refused}, refused


def _about(measured: Measured) -> dict[str, object]:
    """How a case's masks came about, how alike neighbouring tiles' decisions are, and where the cycles go."""
    case = measured.case
    return {
        "network": case.network,
        "masks": case.masks,
        "mode": case.mode,
        "generator": "models/synthetic/noise.py: noise_images",
        "seed": case.seed,
        "correlation_length_pixels": MASKS[case.masks],
        "correlation_of_neighbouring_tiles": measured.correlation,
        "cycles_by_cause": measured.causes,
    }


def compare_with_scale_sim(arch: ArchConfig, folder: Path, seed: int, size: int = 224) -> dict[str, object]:
    """Seconds and cycles for one dense image: our simulator, values included and checked, and SCALE-Sim."""
    limit_threads()
    images = noise_images(4, size, seed, IMAGENET)
    spec = NetworkSpec(DEPTH_OF_SCALE_SIM, classes=1000, size=size, family_name="resnet-imagenet")
    made = synthesise(spec, images, partial(densities, spatial=1, channel=1), seed)
    captured, pixels = capture(made.network, spec.input_shape), images.normalised()
    graph = quantise(captured, calibrate(captured, pixels))
    sample = quantise_input(pixels[:1], graph)
    program = Compiler(graph, arch).compile({}, sample[0])
    simulate(program)  # the kernels are compiled, or loaded
    begin = time.perf_counter()
    result = simulate(program)
    seconds = time.perf_counter() - begin
    if not np.array_equal(result.logits, run_reference(graph, sample).logits[0]):
        raise AssertionError("dense: the logits differ from the integer reference's")
    layers = scale_sim_layers(graph)
    other: ScaleSimResult = run_scale_sim(layers, arch, folder)
    macs = sum(layer.macs for layer in layers)
    return {
        "network": f"R{DEPTH_OF_SCALE_SIM} dense",
        "macs": macs,
        "cycles": result.cycles,
        "utilisation": macs / (result.cycles * arch.peak_macs),
        "seconds": seconds,
        "scale_sim_cycles": other.cycles,
        "scale_sim_utilisation": other.utilisation,
        "scale_sim_seconds": other.seconds,
        "times_faster": other.seconds / seconds,
    }


COLUMNS = (
    ("network", "{:8}"),
    ("masks", "{:12}"),
    ("mode", "{:12}"),
    ("dram_bytes_per_cycle", "{:>6}"),
    ("dram_shared", "{!s:>7}"),
    ("theoretical", "{:11.3f}"),
    ("realised", "{:8.3f}"),
    ("ratio", "{:6.3f}"),
    ("ratio_p5", "{:6.3f}"),
    ("ratio_p95", "{:6.3f}"),
    ("utilisation_dense", "{:10.4f}"),
    ("cycles_dense", "{:12,}"),
    ("cycles_gated_mean", "{:12,.0f}"),
    ("images_per_second", "{:8.1f}"),
)

HEAD = (
    f"{'network':8} {'masks':12} {'mode':12} {'B/cyc':>6} {'shared':>7} {'theoretical':>11} {'realised':>8} "
    f"{'ratio':>6} {'p5':>6} {'p95':>6} {'dense util':>10} {'dense':>12} {'gated':>12} {'images/s':>8}"
)


def text_of(contents: dict[str, object]) -> str:
    """The printed table."""
    lines = [SYNTHETIC, "", HEAD]
    rows = contents["rows"]
    assert isinstance(rows, list)
    lines += [" ".join(shape.format(row[name]) for name, shape in COLUMNS) for row in rows]
    refused, about, other = contents["refused"], contents["cases"], contents.get("scalesim")
    assert isinstance(refused, list) and isinstance(about, list)
    lines += [f"REFUSED  {line}" for line in refused]
    lines += ["", f"Where the cycles of each case's first image go, in %, with the DRAM of {contents['arch']}:"]
    lines += [f"  {case['network']:8} {case['masks']:12} {case['mode']:12} {_shares(case)}" for case in about]
    lines += ["", f"Others, as printed. {PAPER_SOURCE}; theoretical = 1 / (1 - MACs removed):"]
    lines += [
        f"  {name}  theoretical {paper.theoretical:.2f}  board {paper.board:.2f}  "
        f"ratio {paper.board / paper.theoretical:.3f}"
        for name, paper in PAPER.items()
        if paper.board is not None
    ]
    lines += [f"  {what}: {figure} ({source})" for what, figure, source in OTHERS]
    if isinstance(other, dict):
        lines += [
            "",
            f"SCALE-Sim 3.0.0, {other['network']}, weight stationary, same run: {other['scale_sim_cycles']:,} cycles, "
            f"utilisation {other['scale_sim_utilisation']:.4f}, {other['scale_sim_seconds']:.1f} s",
            f"our simulator, values included: {other['cycles']:,} cycles, utilisation {other['utilisation']:.4f}, "
            f"{other['seconds']:.3f} s: {other['times_faster']:,.0f} times faster",
        ]
    return "\n".join(lines)


def _shares(case: dict[str, Any]) -> str:
    shares = sorted(case["cycles_by_cause"].items(), key=lambda item: -item[1])
    text = ", ".join(f"{TITLES[Cause(cause)].lower()} {100 * share:.2f}" for cause, share in shares if share > 0.00005)
    return f"{text}; correlation of neighbouring tiles {case['correlation_of_neighbouring_tiles']:.2f}"


def main() -> None:
    """Measure, write the JSON, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/table3.json"), help="JSON file to write")
    parser.add_argument("--images", type=int, default=50, help="images for each case, at least 4")
    parser.add_argument("--networks", default=",".join(PAPER), help=f"some of {','.join(PAPER)}")
    parser.add_argument("--seed", type=int, default=1, help="of weights, densities and images")
    parser.add_argument("--arch", default="ultra96", help="a preset or a TOML file")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--quick", action="store_true", help="R18-60, 4 images, equal densities, 12 bytes a cycle")
    parser.add_argument("--scalesim", action="store_true", help="also run SCALE-Sim, in an environment beside OUT")
    options = parser.parse_args()
    networks = ["R18-60"] if options.quick else options.networks.split(",")
    if unknown := [name for name in networks if name not in PAPER]:
        parser.error(f"no network {unknown[0]}; there are {', '.join(PAPER)}")
    if options.images < QUICK_IMAGES:
        parser.error(f"--images {options.images} is less than {QUICK_IMAGES}: too few to aim a MAC ratio with")
    images, rates = (QUICK_IMAGES, [12]) if options.quick else (options.images, list(RATES))
    try:
        arch = load_arch(options.arch)
        listed = cases(networks, images, options.seed, options.quick)
        contents, _ = measure_all(listed, arch, rates, options.workers)
        if options.scalesim:
            contents["scalesim"] = compare_with_scale_sim(arch, options.out.parent, options.seed)
    except GatewrightError as error:
        parser.exit(2, f"table3: error: {error}\n")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(contents, indent=1) + "\n")
    print(text_of(contents))


if __name__ == "__main__":
    main()
