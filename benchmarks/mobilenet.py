"""MobileNetV2 1.0 at 224x224 on ``ultra96``, dense: the measured figures of docs/every-network.md.

``python benchmarks/mobilenet.py``. Weights are random, which changes no cycle. A block's cycles are those from the last
result of the block before it to its own last one; beside them those for which its work holds each unit.
"""

from __future__ import annotations

import torch

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.plan.residency import BOUNDING, residency
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import Unit
from gatewright.models.datasets.imagenet import EDGE, IMAGENET
from gatewright.models.families.mobilenet_v2.network import DEPTH
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.noise import noise_images
from gatewright.sim.fast.machine import simulate

IMAGES = 2


def block_of(layer: str) -> str:
    """The block of a layer: ``features.3`` of ``features.3.conv.0.0``."""
    return ".".join(layer.split(".")[:2])


def main() -> None:
    """Print a line for each block, and the images a second."""
    arch = PRESETS["ultra96"]
    torch.manual_seed(0)
    spec = NetworkSpec(DEPTH, "none", classes=1000, size=EDGE, family_name="mobilenet-v2")
    pixels = noise_images(IMAGES, EDGE, 0, IMAGENET).normalised()
    graph = capture(spec.build().eval(), spec.input_shape)
    quantised = quantise(graph, calibrate(graph, pixels))
    compiler = Compiler(quantised, arch)
    program = compiler.compile({}, quantise_input(pixels, quantised)[0])
    result = simulate(program)
    ends: dict[str, int] = {}
    for record in result.trace.records:
        if record["unit"] in (Unit.ARRAY, Unit.EPILOGUE):
            block = block_of(program.layers[record["instruction"]])
            ends[block] = max(ends.get(block, 0), int(record["done"]))
    held: dict[str, dict[Unit, int]] = {block: dict.fromkeys(BOUNDING, 0) for block in ends}
    for layer in residency(compiler.image, program).layers:
        for unit in BOUNDING:
            held[block_of(layer.name)][unit] += layer.cycles[unit]
    chains = [*compiler.image.chains, *compiler.image.by_channels.values()]
    orders = {block_of(layer.name): chain.order.value for chain in chains for layer in chain.layers}
    before = 0
    print(f"{'block':14} {'cycles':>9}  " + " ".join(f"{unit.name:>9}" for unit in BOUNDING) + "  order")
    for block, end in ends.items():
        cycles = " ".join(f"{held[block][unit]:>9,}" for unit in BOUNDING)
        print(f"{block:14} {end - before:>9,}  {cycles}  {orders.get(block, '')}")
        before = end
    print(f"{result.cycles:,} cycles, {arch.clock_mhz * 1e6 / result.cycles:.1f} images/s")


if __name__ == "__main__":
    main()
