"""DenseNets at 224x224 fit the preset's scratchpad: what docs/networks.md says."""

from __future__ import annotations

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.compiler.plan.pitches import laid, pitches
from gatewright.compiler.quantise.quantise import quantise
from gatewright.compiler.quantise.ranges import tensors_with_a_range
from gatewright.contract.arch import PRESETS
from gatewright.models.families.spec import NetworkSpec
from tests.compiler.networks import lively_densenet


def quantised(network: object, size: int) -> QuantisedGraph:
    graph = capture(network, (3, size, size))  # type: ignore[arg-type]
    return quantise(graph, dict.fromkeys(tensors_with_a_range(graph), 8.0))


def test_a_densenet_121_fits_the_preset() -> None:
    graph = quantised(NetworkSpec(121, classes=10, size=224, family_name="densenet").build().eval(), 224)
    image = NetworkImage(graph, PRESETS["ultra96"])
    spilled = {spill.tensors[0]: spill for spill in image.spills.values()}
    assert spilled.keys() == {"features.conv0.max_pool", "features.transition1.conv", "features.transition2.conv"}
    layers = [ring for spill in spilled.values() for ring in spill.rings if "denselayer" in ring.name]
    assert len(layers) == 6 + 12 + 24 and all(ring.ahead for ring in layers), "rows come while others are computed"
    streamed = [chain for chain in image.chains if any(image.banks[name].streamed for name in chain.names)]
    assert streamed and all(chain.rows > 1 for chain in streamed), "filters do not come again for each row"
    assert not any("features.transition3.conv" in chain.names for chain in image.chains), "its filters come once"
    assert image.spilled["features.conv0.max_pool"].size == 56 * 56 * 256


def test_parts_lie_as_far_apart_as_the_whole() -> None:
    graph = quantised(lively_densenet(32), 32)
    found = pitches(graph, PRESETS["ultra96"])
    block = ["conv0", "conv0.max_pool", "parts.0.norm1", "parts.0.conv2", "parts.1.norm1", "parts.1.conv2"]
    assert {name: found.get(name) for name in block} == dict.fromkeys(block, 27)
    whole = {"parts.2.conv2", "parts.3.norm", "parts.3.norm.average_pool"}
    assert not whole & found.keys() and {graph.shapes[name].channels for name in whole} == {27}
    assert {found[name] for name in ("parts.3.conv", "parts.4.conv2")} == {23}
    assert laid(graph, found).shapes["parts.0.conv2"].channels == 27
    # On the array a batch norm writes its map by itself.
    assert not {"parts.0.norm1", "parts.1.norm1"} & pitches(graph, PRESETS["ultra96-lean"]).keys()
