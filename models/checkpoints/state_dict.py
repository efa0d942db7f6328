"""A network's tensors by name, as they come from a file: real and finite."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gatewright.contract.errors import GatewrightError

REAL_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

_COUNTER = "num_batches_tracked"
"""A batch norm's count of batches: the one tensor of integers."""


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
