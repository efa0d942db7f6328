"""How compile and simulate grow with a network: seconds and memory against MACs, from ResNet-20 to a detector.

``python benchmarks/growth.py --out build/growth [--networks resnet20,resnet18,...] [--arch ultra96]``

Networks are SYNTHETIC: drawn weights, without gates. Each is measured in a process of its own, whose
kernels are compiled already: processor seconds of planning and emitting (``compile``), of the simulator with values
(``simulate``), and the largest memory of the process, which has torch and the float network in it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules beside this one, run as a script

from benchmarks.simulator_speed import cpu
from gatewright import flow
from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import ArchConfig, load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.measure.traffic import dram_traffic
from gatewright.models.families.densenet.network import DenseNet
from gatewright.models.families.faster_rcnn import RegionProposals
from gatewright.models.families.mobilenet_v2.network import MobileNetV2
from gatewright.models.families.pspnet import PSPNet, dilated_resnet
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.families.resnet_imagenet.network import BottleneckResNet, ResNetImageNet
from gatewright.models.families.retinanet import RetinaNet
from gatewright.sim.fast.machine import simulate

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet20": (lambda: ResNetCifar(20), 32),
    "mobilenet-v2": (MobileNetV2, 224),
    "resnet18": (lambda: ResNetImageNet(18), 224),
    "densenet121": (lambda: DenseNet(121), 224),
    "resnet34": (lambda: ResNetImageNet(34), 224),
    "densenet201": (lambda: DenseNet(201), 224),
    "resnet50": (lambda: BottleneckResNet(50), 224),
    "pspnet-resnet50": (lambda: PSPNet(dilated_resnet(50, size=96)), 96),
    "resnet101": (lambda: BottleneckResNet(101), 224),
    "proposals-resnet18": (lambda: RegionProposals(ResNetImageNet(18)), 224),
    "proposals-resnet50": (lambda: RegionProposals(BottleneckResNet(50)), 224),
    "retinanet-resnet18": (lambda: RetinaNet(ResNetImageNet(18)), 224),
    "pspnet-resnet18": (lambda: PSPNet(dilated_resnet(18, size=192)), 192),
    "retinanet-resnet50": (lambda: RetinaNet(BottleneckResNet(50)), 224),
    "retinanet-resnet18-800": (lambda: RetinaNet(ResNetImageNet(18, size=800)), 800),
}
"""How each is built, and the edge of its images in pixels."""


@dataclass(frozen=True)
class Growth:
    """Figures of one network; ``memory_mib`` is the largest resident size of its process.

    ``utilisation`` is the share of the array's multipliers that an image's MACs keep at work, ``dram_read`` and
    ``dram_written`` are bytes, with all that a program reads: filters, parameters, rows of maps, instructions.
    """

    network: str
    macs: int
    instructions: int
    cycles: int
    utilisation: float
    images_per_second: float
    dram_read: int
    dram_written: int
    compile_seconds: float
    simulate_seconds: float
    memory_mib: float


def prepared(build: Callable[[], nn.Module], size: int) -> tuple[QuantisedGraph, npt.NDArray[np.int8]]:
    """The network in integers, its batch norms at the statistics of noise, and an image of noise for it."""
    torch.manual_seed(0)
    pixels = np.random.default_rng(0).standard_normal((2, 3, size, size)).astype(np.float32)
    network = build().train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.from_numpy(pixels))
    graph = capture(network.eval(), (3, size, size))
    quantised = quantise(graph, calibrate(graph, pixels[:1]))
    return quantised, quantise_input(pixels[:1], quantised)[0]


def measure(name: str, arch: ArchConfig) -> Growth | str:
    """The figures of a network, or why it is refused."""
    flow.limit_threads()
    try:
        graph, image = prepared(*NETWORKS["resnet20"])
        simulate(Compiler(graph, arch).compile({}, image))
        graph, image = prepared(*NETWORKS[name])
        begin = time.process_time()
        program = Compiler(graph, arch).compile({}, image)
        compiled = time.process_time()
        result = simulate(program)
        end = time.process_time()
    except GatewrightError as error:
        return str(error)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    macs, traffic = counted_macs(graph, None), dram_traffic(program, result)
    return Growth(
        network=name,
        macs=macs,
        instructions=len(program.code),
        cycles=result.cycles,
        utilisation=macs / (arch.rows * arch.columns * result.cycles),
        images_per_second=arch.clock_mhz * 1e6 / result.cycles,
        dram_read=traffic.read,
        dram_written=traffic.written,
        compile_seconds=compiled - begin,
        simulate_seconds=end - compiled,
        memory_mib=memory,
    )


def plot(rows: list[Growth], path: Path) -> None:
    """Seconds against MACs, both logarithmic, beside a line of equal growth."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    macs = np.array([row.macs for row in rows]) / 1e9
    for label, values in (
        ("compile", [row.compile_seconds for row in rows]),
        ("simulate, with values", [row.simulate_seconds for row in rows]),
    ):
        axes.loglog(macs, values, "o-", label=label)
    ends = np.array([macs.min(), macs.max()])
    axes.loglog(ends, rows[0].simulate_seconds * ends / ends[0], "k:", label="linear")
    axes.set_xlabel("10⁹ MACs of an image")
    axes.set_ylabel("seconds of one processor")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Measure, print, write ``growth.json`` and ``growth.svg``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for growth.json and growth.svg")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="some of the default's")
    parser.add_argument("--arch", default="ultra96", help="a preset or a TOML file")
    options = parser.parse_args()
    arch = load_arch(options.arch)
    names = options.networks.split(",")
    unknown = [name for name in names if name not in NETWORKS]
    if unknown:
        parser.error(f"unknown {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
    print(f"SYNTHETIC networks, without gates; {arch.name}; {cpu()}")
    print(
        "network                10^6 MACs  instructions      cycles  of peak  images/s  MB read  MB written  "
        "compile s  simulate s   MiB"
    )
    rows: list[Growth] = []
    context = multiprocessing.get_context("spawn")
    for name in names:
        with context.Pool(1) as pool:
            found = pool.apply(measure, (name, arch))
        if isinstance(found, str):
            print(f"{name:<22} REFUSED: {found}", flush=True)
            continue
        rows.append(found)
        print(
            f"{name:<22} {found.macs / 1e6:>9,.0f} {found.instructions:>13,} {found.cycles:>11,} "
            f"{found.utilisation:>8.3f} {found.images_per_second:>9.1f} "
            f"{found.dram_read / 1e6:>8,.2f} {found.dram_written / 1e6:>11,.2f} "
            f"{found.compile_seconds:>10.2f} {found.simulate_seconds:>11.2f} {found.memory_mib:>5,.0f}",
            flush=True,
        )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "growth.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    if len(rows) > 1:
        plot(sorted(rows, key=lambda row: row.macs), options.out / "growth.svg")


if __name__ == "__main__":
    main()
