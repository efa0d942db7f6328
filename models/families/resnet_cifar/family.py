"""The family of CIFAR ResNets, and how their tensors are recognised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.family import Family
from gatewright.models.families.recognition import blocks_of, classes_of, gating_of, label, with_gate_biases
from gatewright.models.families.residual.aig_names import from_aig, is_aig
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.families.resnet_cifar.padding_shortcuts import from_padding_shortcuts

if TYPE_CHECKING:
    from gatewright.models.families.spec import NetworkSpec


def build(spec: NetworkSpec) -> ResNetCifar:
    """A freshly initialised network of a spec."""
    return ResNetCifar(spec.depth, spec.gating, spec.classes, spec.size, spec.uniform_tile)


def _tiled(spec: NetworkSpec) -> str:
    return "" if spec.uniform_tile is None else f"-tile{spec.uniform_tile}"


def claims(state: Mapping[str, object]) -> bool:
    """Whether tensors may be of a CIFAR ResNet: by the classifier of the DGNet release, or of other public ones.

    The classifiers are also those of ImageNet ResNets, which have a fourth stage.
    """
    fourth = any(name.startswith("layer4.") for name in state)
    return ("linear.weight" in state or "fc.weight" in state) and not fourth


def from_public(state: dict[str, Tensor], what: str) -> dict[str, Tensor]:
    """The tensors of a public network for ``ResNetCifar``."""
    if is_aig(state):
        return from_aig(state)
    return with_gate_biases(from_padding_shortcuts(state, what) if "linear.weight" in state else state)


def describe(state: Mapping[str, Tensor], what: str) -> NetworkSpec:
    """The network that tensors are of: depth, gates and number of classes."""
    from gatewright.models.families.spec import NetworkSpec

    classes, blocks = classes_of(state, what), blocks_of(state, 1)
    if blocks == 0:
        raise GatewrightError(f"{what} holds no CIFAR ResNet (no layer1 in its state_dict)")
    return NetworkSpec(6 * blocks + 2, gating_of(state), classes=classes, family_name=RESNET_CIFAR.name)


RESNET_CIFAR = Family(
    name="resnet-cifar",
    title="CIFAR ResNet",
    data=CIFAR10,
    input_shape=lambda spec: (3, spec.size, spec.size),
    build=build,
    label=lambda spec: label(spec, f"resnet{spec.depth}{_tiled(spec)}"),
    claims=claims,
    from_public=from_public,
    describe=describe,
    takes_uniform_tile=True,
)
