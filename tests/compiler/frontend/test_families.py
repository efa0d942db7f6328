"""Families beyond basic blocks: what compiles is the reference, else an error names the module and what is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.macs import counted_macs
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.contract.arch import PRESETS
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.densenet.layers import Transition
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.noise import noise_images
from tests.support.chain import compare_image

SIZE = 64


def spec(family: str, depth: int, gating: str) -> NetworkSpec:
    return NetworkSpec(depth, gating, classes=5, size=SIZE, family_name=family)  # type: ignore[arg-type]


@pytest.mark.parametrize("gating", ["none", "dual", "spatial", "channel", "bas"])
def test_a_resnet_50_equals_the_reference(gating: str) -> None:
    """On the preset: parameters of its layers of 2,048 filters come by groups."""
    network = spec("resnet-imagenet", 50, gating).build().eval()
    images = noise_images(2, SIZE, 1, IMAGENET).normalised()
    graph = capture(network, (3, SIZE, SIZE))
    quantised = quantise(graph, calibrate(graph, images))
    assert counted_macs(quantised, None) == network.dense_macs()
    inputs = quantise_input(images[:1], quantised)
    reference = run_reference(quantised, inputs, keep=True)
    compiler = Compiler(quantised, PRESETS["ultra96"])
    assert compare_image(compiler, inputs[0], reference, 0).different == ()


def test_a_densenet_121_equals_the_reference() -> None:
    """Averages come before a transition's convolution, which then multiplies a quarter of the pixels."""
    network = spec("densenet", 121, "none").build().eval()
    images = noise_images(2, SIZE, 1, IMAGENET).normalised()
    graph = capture(network, (3, SIZE, SIZE))
    quantised = quantise(graph, calibrate(graph, images))
    transitions = [part.dense_macs() for part in network.blocks() if isinstance(part, Transition)]
    assert len(transitions) == 3
    assert counted_macs(quantised, None) == network.dense_macs() - sum(transitions) * 3 // 4
    inputs = quantise_input(images[:1], quantised)
    reference = run_reference(quantised, inputs, keep=True)
    compiler = Compiler(quantised, PRESETS["ultra96"])
    assert compare_image(compiler, inputs[0], reference, 0).different == ()


@pytest.mark.parametrize("gating", ["none", "spatial", "dual"])
def test_a_mobilenet_v2_equals_the_reference(gating: str) -> None:
    """Of freshly drawn gates most are open: a table has entries for 960 channels. Of one gate 912 are."""
    torch.manual_seed(3)
    network = spec("mobilenet-v2", 53, gating).build().eval()
    images = noise_images(2, SIZE, 1, IMAGENET).normalised()
    graph = capture(network, (3, SIZE, SIZE))
    quantised = quantise(graph, calibrate(graph, images))
    assert counted_macs(quantised, None) == network.dense_macs()
    inputs = quantise_input(images[:1], quantised)
    reference = run_reference(quantised, inputs, keep=True)
    # Of 960 channels the parameters of DEPTHWISE and of a gate do not fit together.
    wide = replace(PRESETS["ultra96-lean"], table_entries=1024)
    compiler = Compiler(quantised, wide if gating == "dual" else PRESETS["ultra96"])
    assert compare_image(compiler, inputs[0], reference, 0).different == ()
