"""Every family, dense and with the papers' gates: the table of docs/every-network.md, network by network.

``python benchmarks/every_network.py --out build/every_network.json [--networks "ResNet-50;..."] [--images 4]``

Networks are SYNTHETIC: weights are drawn, gates are set to densities on images of noise. A row is a network that was
captured, quantised and compiled, dense and, with gates, for every image; the run of each is compared with the integer
reference, map by map or logit by logit and gate by gate, and a difference ends the script.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules beside this one, run as a script

from benchmarks.growth import NETWORKS as DENSE
from benchmarks.growth import prepared
from benchmarks.published import PAPER
from gatewright import flow
from gatewright.agreement import check_outputs, check_run
from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.graph.serving import without_gates
from gatewright.compiler.plan.residency import ResidencyPlan, residency
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import ArchConfig, load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Unit
from gatewright.measure.traffic import DramTraffic, dram_traffic
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.densenet.network import DenseNet
from gatewright.models.families.faster_rcnn import RegionProposals
from gatewright.models.families.mobilenet_v2.network import MobileNetV2
from gatewright.models.families.network import Network
from gatewright.models.families.pspnet import PSPNet, dilated_resnet
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.families.resnet_imagenet.network import BottleneckResNet, ResNetImageNet
from gatewright.models.families.retinanet import RetinaNet
from gatewright.models.synthetic.calibration import calibrate_network
from gatewright.models.synthetic.densities import Densities, densities, densities_for_ratio
from gatewright.models.synthetic.noise import noise_images
from gatewright.sim.fast.machine import simulate

SEED = 1

Aim = Callable[[Network], Densities]


def saving(ratio: float) -> Aim:
    """Densities that leave so large a share of the MACs."""
    return partial(densities_for_ratio, ratio=ratio)


def of(spatial: float, channel: float) -> Aim:
    """These densities in every block."""
    return partial(densities, spatial=spatial, channel=channel)


@dataclass(frozen=True)
class Gated:
    """A network with gates: its backbone, what is around that, the densities, and the edge of an image."""

    backbone: Callable[[], Network]
    aim: Aim
    size: int
    around: Callable[[Network], nn.Module] = lambda network: network


GATED: dict[str, Gated] = {
    "ResNet-74, DGNet": Gated(lambda: ResNetCifar(74, "dual"), saving(0.5), 32),
    "SkipNet-110": Gated(lambda: ResNetCifar(110, "skip"), of(0.5, 1), 32),
    "MobileNetV2, DGNet": Gated(lambda: MobileNetV2(gating="dual"), saving(1 - PAPER["M2-50"].removed), 224),
    "ResNet-18, DGNet": Gated(lambda: ResNetImageNet(18, "dual"), saving(1 - PAPER["R18-60"].removed), 224),
    "ResNet-34, DGNet": Gated(lambda: ResNetImageNet(34, "dual"), saving(1 - PAPER["R34-60"].removed), 224),
    "ResNet-34, BAS": Gated(lambda: ResNetImageNet(34, "bas"), saving(1.67 / 3.66), 224),
    "ResNet-50, DGNet": Gated(lambda: BottleneckResNet(50, "dual"), saving(1 - PAPER["R50-60"].removed), 224),
    "ResNet-50, AIG": Gated(lambda: BottleneckResNet(50, "aig"), of(0.7, 1), 224),
    "DenseNet-121, DDI": Gated(lambda: DenseNet(121, "ddi", size=64), of(1, 0.5), 64),
    "PSPNet, ResNet-18, DGNet": Gated(lambda: dilated_resnet(18, "dual", 96), saving(0.5), 96, PSPNet),
    "RetinaNet, ResNet-18, DGNet": Gated(lambda: ResNetImageNet(18, "dual"), of(0.6, 0.6), 224, RetinaNet),
    "Faster R-CNN's proposals, ResNet-18, DGNet": Gated(
        lambda: ResNetImageNet(18, "dual"), of(0.7, 0.7), 224, RegionProposals
    ),
}
"""BAS's ratio is that of its ResNet-34 with 1.67 of 3.66 GMACs; AIG's 3.09 of 4.09 GMACs are about .7 of the blocks."""

TITLES = {
    "resnet20": "ResNet-20",
    "mobilenet-v2": "MobileNetV2",
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "densenet121": "DenseNet-121",
    "densenet201": "DenseNet-201",
    "pspnet-resnet18": "PSPNet, ResNet-18",
    "pspnet-resnet50": "PSPNet, ResNet-50",
    "retinanet-resnet18": "RetinaNet, ResNet-18",
    "retinanet-resnet50": "RetinaNet, ResNet-50",
    "retinanet-resnet18-800": "RetinaNet, ResNet-18, 800 pixels",
    "proposals-resnet18": "Faster R-CNN's proposals, ResNet-18",
    "proposals-resnet50": "Faster R-CNN's proposals, ResNet-50",
}


@dataclass(frozen=True)
class Row:
    """A network's figures: means over its images; of one without gates those of one image.

    ``promised`` is dense MACs by mean gated ones, gates included, ``realised`` dense cycles by mean cycles. ``bound``:
    of the cycles that each layer holds the unit that it holds longest, the shares of the units.
    """

    network: str
    edge: int
    images: int
    macs: float
    dense_cycles: int
    cycles: float
    utilisation: float
    images_per_second: float
    promised: float
    realised: float
    dram_read: float
    dram_written: float
    bound: dict[str, float]

    def __str__(self) -> str:
        bound = ", ".join(f"{name} {share:.2f}" for name, share in self.bound.items() if share >= 0.05)
        kept = f"{self.promised:.3f} | {self.realised:.3f} | {self.realised / self.promised:.3f}"
        kept = kept if self.promised != 1 else " | | "
        return (
            f"| {self.network} | {self.edge} | {self.macs / 1e6:,.0f} | {self.cycles:,.0f} | {self.utilisation:.3f} "
            f"| {self.images_per_second:,.1f} | {kept} | {self.dram_read / 1e6:,.2f} "
            f"| {self.dram_written / 1e6:,.2f} | {bound} |"
        )


HEAD = (
    "| network | edge | 10^6 MACs | cycles | of the peak | images/s | promised | realised | kept | MB read "
    "| MB written | bound by |"
)


def gated(case: Gated, images: int) -> tuple[QuantisedGraph, npt.NDArray[np.int8]]:
    """A network with its gates at their densities on average over images of noise, in integers; and the images."""
    torch.manual_seed(SEED)
    pixels = noise_images(images, case.size, SEED, IMAGENET).normalised()
    backbone = case.backbone()
    calibrate_network(backbone, torch.from_numpy(pixels), case.aim(backbone), hold_macs=True)
    network = case.around(backbone).eval()
    _settle([module for module in network.modules() if module not in {*backbone.modules()}], network, pixels)
    graph = capture(network, (3, case.size, case.size))
    quantised = quantise(graph, calibrate(graph, pixels))
    return quantised, quantise_input(pixels, quantised)


@torch.no_grad()
def _settle(modules: list[nn.Module], network: nn.Module, pixels: npt.NDArray[np.float32]) -> None:
    """Set the statistics of the batch norms that no backbone has to those of the images."""
    norms = [module for module in modules if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    if norms:
        images: Tensor = torch.from_numpy(pixels)
        network(images)
        network.eval()


def bound_by(plan: ResidencyPlan) -> dict[str, float]:
    """The shares of the units, of the cycles that layers hold the unit that they hold longest; largest first."""
    held: dict[Unit, int] = {}
    for layer in plan.layers:
        if layer.bound is not None:
            held[layer.bound] = held.get(layer.bound, 0) + layer.cycles[layer.bound]
    total = sum(held.values())
    return {unit.name: cycles / total for unit, cycles in sorted(held.items(), key=lambda item: -item[1])}


def measure(name: str, arch: ArchConfig, images: int) -> Row | str:
    """The figures of a network, or why it is refused."""
    flow.limit_threads()
    try:
        if name in GATED:
            (graph, inputs), edge = gated(GATED[name], images), GATED[name].size
        else:
            build, edge = DENSE[next(key for key, title in TITLES.items() if title == name)]
            graph, image = prepared(build, edge)
            inputs = image[None]
        return _measured(name, graph, inputs, edge, arch)
    except GatewrightError as error:
        return str(error)


def _measured(name: str, graph: QuantisedGraph, inputs: npt.NDArray[np.int8], edge: int, arch: ArchConfig) -> Row:
    dense_cycles = None
    if any(layer.gates for layer in graph.layers):
        dense_cycles = simulate(Compiler(without_gates(graph), arch).compile({}, inputs[0])).cycles
    reference, compiler = run_reference(graph, inputs), Compiler(graph, arch)
    cycles, macs, moved = [], [], list[DramTraffic]()
    for number, image in enumerate(inputs):
        decisions = reference.decisions_of(number)
        program = compiler.compile(decisions, image)
        result = simulate(program, observe=bool(decisions))
        check_outputs(f"{name}, image {number}", result.outputs, reference.outputs_of(number))
        if decisions:
            check_run(f"{name}, image {number}", result, reference.outputs_of(number), decisions)
        cycles.append(result.cycles)
        macs.append(counted_macs(graph, decisions or None))
        moved.append(dram_traffic(program, result))
    mean, mean_macs = float(np.mean(cycles)), float(np.mean(macs))
    return Row(
        network=name,
        edge=edge,
        images=len(inputs),
        macs=mean_macs,
        dense_cycles=dense_cycles or result.cycles,
        cycles=mean,
        utilisation=mean_macs / (arch.peak_macs * mean),
        images_per_second=arch.clock_mhz * 1e6 / mean,
        promised=counted_macs(graph, None) / mean_macs,
        realised=(dense_cycles or result.cycles) / mean,
        dram_read=float(np.mean([one.read for one in moved])),
        dram_written=float(np.mean([one.written for one in moved])),
        bound=bound_by(residency(compiler.image, program)),
    )


def main() -> None:
    """Measure, print, write the JSON."""
    everything = [*TITLES.values(), *GATED]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--networks", help="some, with ; between them; without it all")
    parser.add_argument("--images", type=int, default=4, help="of networks with gates, at least 2")
    parser.add_argument("--arch", default="ultra96", help="a preset or a TOML file")
    options = parser.parse_args()
    names = everything if options.networks is None else options.networks.split(";")
    if unknown := [name for name in names if name not in everything]:
        parser.error(f"no network {unknown[0]!r}; there are {'; '.join(everything)}")
    if options.images < 2:
        parser.error("gates are set to densities over at least 2 images")
    arch, rows, refused = load_arch(options.arch), list[Row](), dict[str, str]()
    print(f"SYNTHETIC networks on {arch.name}: drawn weights, gates set to densities. They have no accuracy.\n\n{HEAD}")
    context = multiprocessing.get_context("spawn")
    for name in names:
        with context.Pool(1) as pool:  # a process each, so that memory is given back
            found = pool.apply(measure, (name, arch, options.images))
        if isinstance(found, str):
            refused[name] = found
            print(f"| {name} | REFUSED: {found} |", flush=True)
            continue
        rows.append(found)
        print(found, flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    contents = {"synthetic": True, "arch": arch.name, "rows": [asdict(row) for row in rows], "refused": refused}
    options.out.write_text(json.dumps(contents, indent=1) + "\n")


if __name__ == "__main__":
    main()
