"""What the names and shapes of a network's tensors say of it, and what its spec is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.gates.kinds import Gating

if TYPE_CHECKING:
    from gatewright.models.families.spec import NetworkSpec

_GATE_LAYER = re.compile(r"\.mask_(s\.atten_s|c[12]?\.atten_c\.3)$")
"""The last layers of the gates; the public release makes them without a bias unless it is told an initial value."""

_PREFIXES: dict[Gating, str] = {
    "none": "",
    "dual": "dgnet-",
    "spatial": "dgnet-spatial-",
    "channel": "dgnet-channel-",
}


def label(spec: NetworkSpec, network: str) -> str:
    """What a spec of a network is called, for example ``dgnet-resnet20-0.4`` of ``resnet20``."""
    target = "" if spec.target_density is None else f"-{spec.target_density:g}"
    return f"{_PREFIXES[spec.gating]}{network}{target}"


def classes_of(state: Mapping[str, Tensor], what: str, classifier: str = "fc") -> int:
    """The number of classes, by the classifier; one of another shape is a ``GatewrightError`` about ``what``."""
    name = f"{classifier}.weight"
    head = state.get(name)
    if head is None or head.ndim != 2 or head.numel() == 0:
        shape = None if head is None else list(head.shape)
        raise GatewrightError(f"{what}: {name} has shape {shape}; a classifier is [classes, channels], none of them 0")
    return len(head)


def gating_of(state: Mapping[str, Tensor]) -> Gating:
    """Which gates the blocks have."""
    spatial, channel = (any(f".mask_{kind}" in name for name in state) for kind in "sc")
    return "dual" if spatial and channel else "spatial" if spatial else "channel" if channel else "none"


def blocks_of(state: Mapping[str, Tensor], stage: int) -> int:
    """The number of blocks of a stage of a residual network; stages are counted from 1."""
    return len({name.split(".")[1] for name in state if name.startswith(f"layer{stage}.")})


def with_gate_biases(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same network with a bias of 0 in every gate, if it is one whose gates have none."""
    names = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    layers = [name for name in names if _GATE_LAYER.search(name)]
    if any(f"{layer}.bias" in state for layer in layers):
        return state
    return state | {f"{layer}.bias": torch.zeros(len(state[f"{layer}.weight"])) for layer in layers}
