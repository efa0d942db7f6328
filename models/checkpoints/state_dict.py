"""A CIFAR ResNet's tensors by name, as they come from a file: real and finite, and which network they are of."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.resnet_cifar import Gating

REAL_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

_COUNTER = "num_batches_tracked"
"""A batch norm's count of batches: the one tensor of integers."""

_GATE_LAYERS = (".mask_s.atten_s", ".mask_c.atten_c.3")
"""The last layers of the gates; the public release makes them without a bias unless it is told an initial value."""


def check_tensors(state: Mapping[str, object], what: str) -> None:
    """Raise a ``GatewrightError`` that names the first entry that is no tensor of finite real numbers (in float32)."""
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise GatewrightError(f"{what}: {name} is of type {type(tensor).__name__}, not a tensor")
        if name.endswith(_COUNTER):
            fits, wanted = tensor.dtype == torch.int64 and tensor.ndim == 0, "one int64 number"
        else:
            fits, wanted = tensor.dtype in REAL_TYPES, "float16, bfloat16, float32 or float64"
        if not fits:
            raise GatewrightError(f"{what}: {name} is {tensor.dtype} {list(tensor.shape)}; it must be {wanted}")
        bad = int((~torch.isfinite(tensor.float())).sum())
        if bad:
            raise GatewrightError(
                f"{what}: {bad} of the {tensor.numel()} numbers of {name} are not finite in float32; the training "
                "diverged, or the file is damaged"
            )
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise GatewrightError(f"{what}: {name} is negative, and a variance is not; the file is damaged")


def describe(state: Mapping[str, Tensor], what: str) -> tuple[int, Gating, int]:
    """Depth, gates and number of classes of the network that tensors are of."""
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
    return 6 * blocks + 2, gating, len(head)


def with_gate_biases(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same network with a bias of 0 in every gate, if it is one whose gates have none."""
    layers = [
        name.removesuffix(".weight") for name in state if name.endswith(tuple(f"{g}.weight" for g in _GATE_LAYERS))
    ]
    if any(f"{layer}.bias" in state for layer in layers):
        return state
    return state | {f"{layer}.bias": torch.zeros(len(state[f"{layer}.weight"])) for layer in layers}
