"""Tensors of ConvNet-AIG's public release by the names of our modules."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_GATE = re.compile(r"\.(fc1|fc1bn|fc2)\.")


def is_aig(state: Mapping[str, object]) -> bool:
    """Whether blocks have the release's gates."""
    return any(name.startswith("layer1.") and ".fc1bn." in name and ".mask_l." not in name for name in state)


def from_aig(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Its gates are layers of the block itself, its shortcuts and its classifier have names of their own."""
    return {_ours(name): tensor for name, tensor in state.items()}


def _ours(name: str) -> str:
    name = _GATE.sub(r".mask_l.\1.", name).replace(".shortcut.", ".downsample.")
    return f"fc.{name.removeprefix('linear.')}" if name.startswith("linear.") else name
