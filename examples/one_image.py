"""One image through the whole flow in Python: from the zoo to a speedup, with every step in view.

Run from anywhere: ``python examples/one_image.py``.
"""

from __future__ import annotations

from gatewright import flow
from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.macs import counted_macs
from gatewright.contract.arch import load_arch
from gatewright.models.datasets.cifar10 import CLASSES, load_sample
from gatewright.sim.fast.machine import simulate


def main() -> None:
    """Compile a gated ResNet-20 for one CIFAR-10 image, and its dense baseline; compare their cycles."""
    arch = load_arch("ultra96")
    image = load_sample().head(1)
    network = flow.load_network("dgnet-resnet20-0.4")
    answers = flow.evaluate(network, image)
    decisions = answers.decisions(0)

    gated = Compiler(network.graph, arch).compile(decisions, answers.inputs[0])
    result = simulate(gated, observe=True, audit=True)
    assert result.logits.tolist() == answers.reference.logits[0].tolist()
    dense = simulate(flow.compile_dense(network, arch, answers.inputs[0]))

    promised = counted_macs(network.graph, None) / counted_macs(network.graph, decisions)
    print(f"the image: a {CLASSES[int(image.labels[0])]}; the network says: a {CLASSES[int(result.logits.argmax())]}")
    print(
        f"{len(gated.code)} instructions, {len(gated.gates)} gates, {result.cycles:,} cycles ({dense.cycles:,} dense)"
    )
    print(f"speedup {dense.cycles / result.cycles:.3f} of the {promised:.3f} that the MAC count promises")


if __name__ == "__main__":
    main()
