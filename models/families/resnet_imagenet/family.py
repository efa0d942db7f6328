"""The family of ImageNet ResNets, and how their tensors are recognised.

Torchvision's ``resnet18``, ``resnet34``, ``resnet50`` and ``resnet101`` and the DGNet release's networks have the names
of our modules already; those of ConvNet-AIG are translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.imagenet import EDGE, IMAGENET
from gatewright.models.families.family import Family
from gatewright.models.families.recognition import blocks_of, classes_of, gating_of, label, with_gate_biases
from gatewright.models.families.residual.aig_names import from_aig, is_aig
from gatewright.models.families.resnet_imagenet.network import (
    BOTTLENECK,
    KINDS,
    STAGES,
    BottleneckResNet,
    ResNetImageNet,
)

if TYPE_CHECKING:
    from gatewright.models.families.spec import NetworkSpec


def claims(state: Mapping[str, object]) -> bool:
    """Whether tensors may be of an ImageNet ResNet: by the classifier and a fourth stage."""
    return ("fc.weight" in state or is_aig(state)) and any(name.startswith("layer4.") for name in state)


def is_bottleneck(state: Mapping[str, object]) -> bool:
    """Whether blocks have a third convolution."""
    return any(name.startswith("layer1.") and ".conv3." in name for name in state)


def describe(state: Mapping[str, Tensor], what: str) -> NetworkSpec:
    """The network that tensors are of: depth, gates, number of classes; images are taken to be of 224 pixels."""
    from gatewright.models.families.spec import NetworkSpec

    kind = "bottleneck" if is_bottleneck(state) else "basic"
    classes = classes_of(state, what)
    blocks = tuple(blocks_of(state, stage) for stage in range(1, len(STAGES) + 1))
    depth = next((depth for depth, known in KINDS[kind].items() if known == blocks), None)
    if depth is None:
        known = " and ".join(f"{depth} of {counts}" for depth, counts in KINDS[kind].items())
        raise GatewrightError(
            f"{what}: its stages have {blocks} blocks; ImageNet ResNets of {kind} blocks here are {known}"
        )
    return NetworkSpec(depth, gating_of(state), classes=classes, size=EDGE, family_name=RESNET_IMAGENET.name)


def build(spec: NetworkSpec) -> ResNetImageNet | BottleneckResNet:
    """A freshly initialised network; which blocks it has follows from its depth."""
    network = BottleneckResNet if spec.depth in BOTTLENECK else ResNetImageNet
    return network(spec.depth, spec.gating, spec.classes, spec.size)


RESNET_IMAGENET = Family(
    name="resnet-imagenet",
    title="ImageNet ResNet",
    data=IMAGENET,
    input_shape=lambda spec: (3, spec.size, spec.size),
    build=build,
    label=lambda spec: label(spec, f"resnet{spec.depth}"),
    claims=claims,
    from_public=lambda state, what: from_aig(state) if is_aig(state) else with_gate_biases(state),
    describe=describe,
)
