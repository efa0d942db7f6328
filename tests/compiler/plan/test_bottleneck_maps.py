"""What scratchpad ResNet-50 needs at 224x224: the sizes that docs/networks.md names."""

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

STEP = 32


@pytest.mark.parametrize(("gating", "scratchpad_kib"), [("none", 352), ("dual", 608)])
def test_resnet_50_fits_from_there_on(gating: Gating, scratchpad_kib: int) -> None:
    network = NetworkSpec(50, gating, classes=10, size=224, family_name="resnet-imagenet").build().eval()
    graph = capture(network, (3, 224, 224))
    quantised = quantise(graph, dict.fromkeys(tensors_with_a_range(graph), 8.0))
    image = NetworkImage(quantised, replace(PRESETS["ultra96"], scratchpad_kib=scratchpad_kib))
    assert image.spilled
    with pytest.raises(DoesNotFitError, match="bytes are missing"):
        NetworkImage(quantised, replace(PRESETS["ultra96"], scratchpad_kib=scratchpad_kib - STEP))
