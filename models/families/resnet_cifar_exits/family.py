"""The family of CIFAR ResNets with two early exits, behind their first two stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.early_exits import EarlyExits
from gatewright.models.families.family import Family
from gatewright.models.families.resnet_cifar.family import RESNET_CIFAR
from gatewright.models.families.resnet_cifar.family import build as build_network

if TYPE_CHECKING:
    from gatewright.models.families.network import Network
    from gatewright.models.families.spec import NetworkSpec

EXITS = 2
"""Behind stages 1 and 2."""

THRESHOLD = 1.0
"""Of a fresh network's exits: the margin of the hinge loss that the paper trains them with."""

_NETWORK = "network."


def build(spec: NetworkSpec) -> Network:
    """A freshly initialised network of a spec, whose blocks have no gates."""
    return EarlyExits(build_network(spec), [THRESHOLD] * EXITS)


def claims(state: Mapping[str, object]) -> bool:
    """Whether tensors may be of a network with early exits."""
    return "exits.0.fc.weight" in state and f"{_NETWORK}conv1.weight" in state


def describe(state: Mapping[str, Tensor], what: str) -> NetworkSpec:
    """The network that tensors are of: depth and number of classes are those of the network without exits."""
    exits = {name.split(".")[1] for name in state if name.startswith("exits.")}
    if len(exits) != EXITS:
        raise GatewrightError(f"{what} has {len(exits)} early exits; a CIFAR ResNet has {EXITS}")
    inner = {name.removeprefix(_NETWORK): tensor for name, tensor in state.items() if name.startswith(_NETWORK)}
    return replace(RESNET_CIFAR.describe(inner, what), family_name=RESNET_CIFAR_EXITS.name)


RESNET_CIFAR_EXITS = Family(
    name="resnet-cifar-exits",
    title="CIFAR ResNet with early exits",
    data=CIFAR10,
    input_shape=RESNET_CIFAR.input_shape,
    build=build,
    label=lambda spec: f"exits-{RESNET_CIFAR.label(spec)}",
    claims=claims,
    from_public=lambda state, what: state,
    describe=describe,
    takes_uniform_tile=True,
)
