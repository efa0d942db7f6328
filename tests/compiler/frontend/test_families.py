"""Families whose operations the compiler does not have yet: the error names the module and what is missing."""

from __future__ import annotations

import pytest

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise
from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.noise import noise_images

SIZE = 64


def spec(family: str, depth: int, gating: str) -> NetworkSpec:
    return NetworkSpec(depth, gating, classes=5, size=SIZE, family_name=family)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "depth", "gating", "message"),
    [
        ("mobilenet-v2", 53, "dual", r"features\.0\.2: hardtanh: this operation is not supported"),
        ("densenet", 121, "none", r"denselayer1\.norm1: .*: batch norm after the feature map"),
        ("resnet-imagenet", 50, "dual", r"layer2\.0\.mask_s masks maps with tiles of 4 and of 8 pixels"),
    ],
)
def test_capture_names_what_is_missing(family: str, depth: int, gating: str, message: str) -> None:
    network = spec(family, depth, gating).build().eval()
    with pytest.raises(GatewrightError, match=message):
        capture(network, (3, SIZE, SIZE))


def test_the_quantiser_names_a_gate_that_reads_a_masked_map() -> None:
    network = spec("resnet-imagenet", 50, "channel").build().eval()
    images = noise_images(2, SIZE, 1, IMAGENET).normalised()
    with pytest.raises(GatewrightError, match=r"layer1\.0\.mask_c2: it reads .*layer1\.0\.conv1, which is masked"):
        graph = capture(network, (3, SIZE, SIZE))
        quantise(graph, calibrate(graph, images))
