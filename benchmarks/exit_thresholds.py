"""Accuracy against cycles of a network with early exits, threshold by threshold, by live programs.

``python benchmarks/exit_thresholds.py exits-resnet20 --data cifar-10-python.tar.gz [--lost 0,0.5,1,2,5]``

For each number in ``--lost``, percent of the held-out training images, thresholds are tuned as ``train-exits`` does.
One live program runs with all of them: only its image changes. Accuracy and shares are those of the integer reference
over all test images; cycles those of the program, mean over the images that are run of each exit, whose logits are
compared.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from gatewright.agreement import check_outputs
from gatewright.compiler.graph.reference import ReferenceResult, run_reference
from gatewright.compiler.quantise.quantise import quantise_input
from gatewright.contract.arch import ArchConfig, load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.contract.exits import integer_limits, with_thresholds
from gatewright.contract.program import Program
from gatewright.flow import Network, compile_dense, compile_live, limit_threads, load_network
from gatewright.models.checkpoints.checkpoint import load_checkpoint
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.early_exits import EarlyExits
from gatewright.models.training.heads import HELD_OUT, look, tuned_thresholds
from gatewright.sim.fast.machine import simulate


@dataclass(frozen=True)
class Row:
    """What a network does with some thresholds; ``cycles`` and ``shares`` are by exit, the end last."""

    thresholds: list[float]
    top1: float
    shares: list[float]
    cycles: list[float]

    @property
    def mean_cycles(self) -> float:
        """Of an image, over all."""
        return sum(share * cycles for share, cycles in zip(self.shares, self.cycles, strict=True))


def tuned(network: EarlyExits, train_set: ImageSet, lost: list[float]) -> list[list[float]]:
    """The thresholds for each share of lost images, tuned on the training images that no gate was trained with."""
    seen = look(network, train_set.every(HELD_OUT))
    with torch.no_grad():
        distances = [gate.fc(each) for gate, each in zip(network.gates(), seen.averages, strict=True)]
    return [tuned_thresholds(distances, seen.end, seen.labels, seen.macs, share) for share in lost]


def leaving(
    program: Program, reference: ReferenceResult, thresholds: list[float]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The exit of each image [N] and what it is answered with [N, classes], from the integer logits of all exits."""
    names = [record.output for record in program.exits]
    (end,) = (name for name in reference.outputs if name not in names)
    taken = np.full(len(reference.outputs[end]), len(names), np.int64)
    scales = {output.name: output.scale for output in program.outputs}
    for number in reversed(range(len(names))):
        logits, record = reference.outputs[names[number]], program.exits[number]
        limits = integer_limits([thresholds[number]] * logits.shape[1], scales[record.output], record.strict)
        taken[(logits >= np.array(limits)).any(1)] = number
    every = np.stack([reference.outputs[name] for name in [*names, end]]).astype(np.int32)
    return taken, every[taken, np.arange(len(taken))]


def measure(
    network: Network, arch: ArchConfig, test_set: ImageSet, settings: list[list[float]], runs: int
) -> tuple[int, list[Row]]:
    """The cycles without gates and exits, and a row for each setting; ``runs`` images of each exit are simulated."""
    inputs = quantise_input(test_set.normalised(), network.graph)
    reference = run_reference(network.graph, inputs)
    live = compile_live(network, arch)
    rows = []
    for thresholds in settings:
        program = live
        for record, threshold in zip(live.exits, thresholds, strict=True):
            program = with_thresholds(program, record.name, threshold)
        taken, answers = leaving(program, reference, thresholds)
        cycles, names = [], [record.output for record in live.exits]
        (end,) = (name for name in reference.outputs if name not in names)
        for number in range(len(names) + 1):
            counts = []
            for position in np.flatnonzero(taken == number)[:runs]:
                result = simulate(program, inputs[position])
                seen = [*names, end][: number + 1]
                expected = {name: reference.outputs[name][position] for name in seen}
                check_outputs(f"image {position}", result.outputs, expected)
                counts.append(result.cycles)
            cycles.append(float(np.mean(counts)) if counts else 0.0)
        shares = [float((taken == number).mean()) for number in range(len(names) + 1)]
        rows.append(Row(thresholds, test_set.accuracy(answers.argmax(1), network.spec.classes), shares, cycles))
    return simulate(compile_dense(network, arch), inputs[0]).cycles, rows


def main() -> None:
    """Print a Markdown row for each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="of the zoo, or a checkpoint with early exits")
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10")
    parser.add_argument("--lost", default="0,0.25,0.5,1,2,5", help="percent, with commas")
    parser.add_argument("--arch", default="ultra96")
    parser.add_argument("--runs", type=int, default=4, help="images of each exit that are simulated")
    parser.add_argument("--images", type=int, help="only so many test images")
    options = parser.parse_args()
    limit_threads()
    network = load_network(options.network)
    floats, spec = load_checkpoint(network.path)
    if not isinstance(floats, EarlyExits):
        raise GatewrightError(f"{options.network} has no early exits; make some with gatewright train-exits")
    lost = [float(part) for part in options.lost.split(",")]
    test_set = spec.family.data.load(options.data, "test")
    test_set = test_set.head(options.images or len(test_set))
    settings = tuned(floats, spec.family.data.load(options.data, "train"), [share / 100 for share in lost])
    dense, rows = measure(network, load_arch(options.arch), test_set, settings, options.runs)
    print(f"{len(test_set)} test images, {options.arch}: {dense:,} cycles without exits")
    print("| held-out images lost | thresholds | top-1, int8 | leave at each exit | cycles of each | mean | speedup |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for share, row in zip(lost, rows, strict=True):
        limits = ", ".join("never" if limit > 1e9 else f"{limit:.2f}" for limit in row.thresholds)
        shares = ", ".join(f"{100 * part:.1f}%" for part in row.shares)
        cycles = ", ".join(f"{number:,.0f}" if number else "-" for number in row.cycles)
        figures = f"{row.mean_cycles:,.0f} | {dense / row.mean_cycles:.3f}"
        print(f"| {share:g}% | {limits} | {row.top1:.2f} | {shares} | {cycles} | {figures} |")


if __name__ == "__main__":
    try:
        main()
    except GatewrightError as error:
        sys.exit(f"error: {error}")
