"""ResNet-50 at 224x224 fits the preset's scratchpad, whatever its gates decide: what docs/networks.md says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.compiler.plan.placement import DoesNotFitError
from gatewright.compiler.quantise.quantise import quantise
from gatewright.compiler.quantise.ranges import tensors_with_a_range
from gatewright.contract.arch import PRESETS
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.kinds import Gating


@pytest.mark.parametrize("gating", ["none", "dual", "aig"])
def test_resnet_50_fits_the_preset(gating: Gating) -> None:
    network = NetworkSpec(50, gating, classes=10, size=224, family_name="resnet-imagenet").build().eval()
    graph = capture(network, (3, 224, 224))
    quantised = quantise(graph, dict.fromkeys(tensors_with_a_range(graph), 8.0))
    image = NetworkImage(quantised, PRESETS["ultra96"])
    assert not image.spilled and {"conv1.max_pool", "layer2.0.conv1", "layer3.5.conv3"} <= image.off_chip.keys()
    with pytest.raises(DoesNotFitError, match="bytes are missing"):
        NetworkImage(quantised, replace(PRESETS["ultra96"], scratchpad_kib=128))
