"""Families beyond basic blocks: what compiles is the reference, else an error names the module and what is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.noise import noise_images
from tests.support.chain import compare_image

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


def test_a_static_resnet_50_equals_the_reference_where_its_parameters_fit() -> None:
    """The presets hold 2,048 parameter entries; its last shortcut and the convolution beside it need more."""
    network = spec("resnet-imagenet", 50, "none").build().eval()
    images = noise_images(2, SIZE, 1, IMAGENET).normalised()
    graph = capture(network, (3, SIZE, SIZE))
    quantised = quantise(graph, calibrate(graph, images))
    assert counted_macs(quantised, None) == network.dense_macs()
    arch = PRESETS["ultra96"]
    with pytest.raises(GatewrightError, match=r"layer4\.0\.downsample\.0 needs 2049 .*; raise parameter_entries"):
        Compiler(quantised, arch)
    inputs = quantise_input(images[:1], quantised)
    reference = run_reference(quantised, inputs, keep=True)
    compiler = Compiler(quantised, replace(arch, parameter_entries=4096))
    assert compare_image(compiler, inputs[0], reference, 0).different == ()
