"""What the names and shapes of a network's tensors say of it, and what its spec is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.gates.dgnet import CHANNEL_REDUCTION
from gatewright.models.gates.kinds import BAS_HIDDEN, Gating

if TYPE_CHECKING:
    from gatewright.models.families.spec import NetworkSpec

_GATE_LAYER = re.compile(r"\.mask_(s\.atten_s|c[12]?\.atten_c\.3)$")
"""The last layers of the gates; the public release makes them without a bias unless it is told an initial value."""

_PREFIXES: dict[Gating, str] = {
    "none": "",
    "dual": "dgnet-",
    "spatial": "dgnet-spatial-",
    "channel": "dgnet-channel-",
    "bas": "bas-",
    "aig": "aig-",
    "skip": "skipnet-",
    "ddi": "ddi-",
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
    if any(".mask_l." in name for name in state):
        if any(".mask_l.conv1." in name for name in state):
            return "skip"
        return "aig" if any(name.startswith("layer1.0.mask_l.") for name in state) else "ddi"
    if any(".mask_c.fc." in name for name in state):
        return "ddi"
    spatial, channel = (any(f".mask_{kind}" in name for name in state) for kind in "sc")
    if spatial or not channel:
        return "dual" if channel else "spatial" if spatial else "none"
    return "bas" if _have_bas_gates(state) else "channel"


def _have_bas_gates(state: Mapping[str, Tensor]) -> bool:
    """Whether all channel gates have the neurons of BAS, and not all a quarter of their inputs, as DGNet's have."""
    shapes = [tensor.shape[:2] for name, tensor in state.items() if name.endswith(".atten_c.0.weight")]
    shapes = [shape for shape in shapes if len(shape) == 2]
    return {shape[:1] for shape in shapes} == {(BAS_HIDDEN,)} and any(
        shape[1] != CHANNEL_REDUCTION * BAS_HIDDEN for shape in shapes
    )


def blocks_of(state: Mapping[str, Tensor], stage: int) -> int:
    """The number of blocks of a stage of a residual network; stages are counted from 1."""
    return len({name.split(".")[1] for name in state if name.startswith(f"layer{stage}.")})


def with_gate_biases(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same network with a bias of 0 in every gate, if it is one whose gates have none."""
    names = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    layers = [name for name in names if _GATE_LAYER.search(name)]
    if any(f"{layer}.bias" in state for layer in layers):
        return state
    return state | {f"{layer}.bias": torch.zeros(state[f"{layer}.weight"].shape[:1]) for layer in layers}
