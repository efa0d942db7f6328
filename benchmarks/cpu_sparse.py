"""Gated networks on this processor: im2col without masked rows and columns, against dense im2col with the same BLAS.

``python benchmarks/cpu_sparse.py --out build/cpu_sparse.json [--networks R18-60,dgnet-resnet20-0.4] [--images N]``
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules beside this one, run as a script

from benchmarks.masked_im2col import Im2col
from benchmarks.published import PAPER
from gatewright.models.checkpoints.checkpoint import load_checkpoint
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.network import Network
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.noise import noise_images
from gatewright.models.synthetic.synthesis import synthesise_for_ratio
from gatewright.models.zoo.catalogue import card, find, names

SYNTHETIC_NETWORKS = tuple(name for name, network in PAPER.items() if network.cpu is not None)
"""Those of the paper's table 3, at 224x224: SYNTHETIC, weights drawn, gates set to the paper's MAC ratios."""

CORRELATION = 8.0
"""Correlation length of the images that synthetic masks follow from, in pixels: a quarter of a cell of gates."""


def zoo_networks() -> list[str]:
    """The gated networks of the zoo that the benchmark takes: ResNets without exits."""
    gated = [name for name in names() if card(name).cycles_gated is not None]
    return [name for name in gated if not card(name).exit_shares]


def network_of(name: str, images: int, seed: int) -> tuple[Network, Tensor]:
    """A network of the paper's table, synthetic, or of the zoo, with images [N, 3, height, width] to run it on."""
    if name not in SYNTHETIC_NETWORKS:
        return load_checkpoint(find(name))[0], torch.from_numpy(CIFAR10.sample().head(images).normalised())
    paper = PAPER[name]
    ratio = 1 / paper.theoretical
    noise = noise_images(images, 224, seed, IMAGENET, CORRELATION)
    spec = NetworkSpec(paper.depth, "dual", round(ratio, 2), 1000, 224, paper.family)
    return synthesise_for_ratio(spec, noise, ratio, seed).network, torch.from_numpy(noise.normalised())


def measure(name: str, images: int, repeats: int, threads: Sequence[int], seed: int) -> list[dict[str, object]]:
    """A row for each number of threads. Logits are compared with the masked network's before anything is timed."""
    network, pixels = network_of(name, images, seed)
    runner, worst = Im2col(network), 0.0
    with torch.no_grad():
        logits, masks = network(pixels), network.eval().forward_with_masks(pixels)[1]
        theoretical = network.dense_macs() / float(network.gated_macs(masks).double().mean())
    for image, expected in zip(pixels, logits, strict=True):
        scale = max(1.0, float(expected.abs().max()))
        worst = max(worst, float((runner.run(image, gated=True) - expected).abs().max()) / scale)
    if worst > 1e-3:
        raise AssertionError(f"{name}: logits differ from the masked network's by {worst:g} of their size")
    rows = []
    for number in threads:
        torch.set_num_threads(number)
        dense, gated = timed(runner, pixels, repeats)
        paper = PAPER[name].cpu if name in SYNTHETIC_NETWORKS else None
        rows.append(
            {
                "network": name,
                "synthetic": name in SYNTHETIC_NETWORKS,
                "threads": number,
                "images": len(pixels),
                "repeats": repeats,
                "theoretical": theoretical,
                "dense_ms": 1e3 * dense,
                "gated_ms": 1e3 * gated,
                "speedup": dense / gated,
                "paper": paper,
                "largest_difference": worst,
            }
        )
    return rows


def timed(runner: Im2col, pixels: Tensor, repeats: int) -> tuple[float, float]:
    """Mean over images of the median seconds of an image, dense and gated, which take turns; one round warms up."""
    seconds: dict[bool, list[list[float]]] = {gated: [[] for _ in pixels] for gated in (False, True)}
    for round_ in range(repeats + 1):
        for number, image in enumerate(pixels):
            for gated, of_images in seconds.items():
                begin = time.perf_counter()
                runner.run(image, gated)
                if round_:
                    of_images[number].append(time.perf_counter() - begin)
    dense, gated_ = (statistics.fmean(map(statistics.median, seconds[gated])) for gated in (False, True))
    return dense, gated_


def processor() -> str:
    """What the system calls this processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


HEAD = f"{'network':24} {'threads':>7} {'MACs':>6} {'dense ms':>9} {'gated ms':>9} {'speedup':>7} {'paper':>6}"


def line_of(row: dict[str, Any]) -> str:
    """A row of the printed table."""
    paper = "-" if row["paper"] is None else f"{row['paper']:.2f}"
    return (
        f"{row['network']:24} {row['threads']:7} {row['theoretical']:6.3f} {row['dense_ms']:9.2f} "
        f"{row['gated_ms']:9.2f} {row['speedup']:7.3f} {paper:>6}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    known = [*SYNTHETIC_NETWORKS, *zoo_networks()]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/cpu_sparse.json"), help="JSON file to write")
    parser.add_argument("--networks", default=",".join(known), help=f"some of {','.join(known)}")
    parser.add_argument("--images", type=int, default=8, help="images for each network")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each image, beside one to warm up")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, one row each")
    parser.add_argument("--seed", type=int, default=1, help="of synthetic weights and images")
    options = parser.parse_args(arguments)
    networks, threads = options.networks.split(","), [int(number) for number in options.threads.split(",")]
    if unknown := [name for name in networks if name not in known]:
        parser.error(f"no network {unknown[0]}; there are {', '.join(known)}")
    if options.images < 2 or options.repeats < 1 or min(threads) < 1:
        parser.error("give at least 2 images, 1 repeat and 1 thread")
    rows = []
    print(f"{processor()}; {', '.join(SYNTHETIC_NETWORKS)} are SYNTHETIC\n{HEAD}")
    for name in networks:
        for row in measure(name, options.images, options.repeats, threads, options.seed):
            rows.append(row)
            print(line_of(row), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    contents = {"processor": processor(), "torch": torch.__version__, "rows": rows}
    options.out.write_text(json.dumps(contents, indent=1) + "\n")


if __name__ == "__main__":
    main()
