"""The family of CIFAR ResNets, and how their tensors are recognised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.family import Family
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.families.resnet_cifar.padding_shortcuts import from_padding_shortcuts
from gatewright.models.gates.kinds import Gating

if TYPE_CHECKING:
    from gatewright.models.families.spec import NetworkSpec

_GATE_LAYERS = (".mask_s.atten_s", ".mask_c.atten_c.3")
"""The last layers of the gates; the public release makes them without a bias unless it is told an initial value."""

_PREFIXES: dict[Gating, str] = {
    "none": "",
    "dual": "dgnet-",
    "spatial": "dgnet-spatial-",
    "channel": "dgnet-channel-",
}


def claims(state: Mapping[str, object]) -> bool:
    """Whether tensors may be of a CIFAR ResNet: by the classifier of the DGNet release, or of padded shortcuts."""
    return "linear.weight" in state or "fc.weight" in state


def from_public(state: dict[str, Tensor], what: str) -> dict[str, Tensor]:
    """The tensors of a public network for ``ResNetCifar``."""
    return with_gate_biases(from_padding_shortcuts(state, what) if "linear.weight" in state else state)


def describe(state: Mapping[str, Tensor], what: str) -> NetworkSpec:
    """The network that tensors are of: depth, gates and number of classes."""
    from gatewright.models.families.spec import NetworkSpec

    head = state.get("fc.weight")
    if head is None or head.ndim != 2 or head.numel() == 0:
        shape = None if head is None else list(head.shape)
        raise GatewrightError(
            f"{what}: fc.weight has shape {shape}; a classifier is [classes, channels], none of them 0"
        )
    blocks = len({name.split(".")[1] for name in state if name.startswith("layer1.")})
    if blocks == 0:
        raise GatewrightError(f"{what} holds no CIFAR ResNet (no layer1 in its state_dict)")
    spatial, channel = (any(f".mask_{kind}." in name for name in state) for kind in "sc")
    gating: Gating = "dual" if spatial and channel else "spatial" if spatial else "channel" if channel else "none"
    return NetworkSpec(6 * blocks + 2, gating, classes=len(head), family_name=RESNET_CIFAR.name)


def with_gate_biases(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same network with a bias of 0 in every gate, if it is one whose gates have none."""
    layers = [
        name.removesuffix(".weight") for name in state if name.endswith(tuple(f"{g}.weight" for g in _GATE_LAYERS))
    ]
    if any(f"{layer}.bias" in state for layer in layers):
        return state
    return state | {f"{layer}.bias": torch.zeros(len(state[f"{layer}.weight"])) for layer in layers}


def label(spec: NetworkSpec) -> str:
    """For example ``dgnet-resnet20-0.4``."""
    target = "" if spec.target_density is None else f"-{spec.target_density:g}"
    return f"{_PREFIXES[spec.gating]}resnet{spec.depth}{target}"


RESNET_CIFAR = Family(
    name="resnet-cifar",
    title="CIFAR ResNet",
    data=CIFAR10,
    input_shape=lambda spec: (3, spec.size, spec.size),
    build=lambda spec: ResNetCifar(spec.depth, spec.gating, spec.classes, spec.size),
    label=label,
    claims=claims,
    from_public=from_public,
    describe=describe,
)
