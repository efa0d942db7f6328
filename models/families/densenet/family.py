"""The family of DenseNets, and how their tensors are recognised.

Torchvision's ``densenet121``, ``densenet169`` and ``densenet201`` have the names of our modules; the files that it
offers still have older ones (``denselayer1.norm.1`` for ``denselayer1.norm1``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.imagenet import EDGE, IMAGENET
from gatewright.models.families.densenet.network import FIRST, LAYERS, DenseNet
from gatewright.models.families.family import Family
from gatewright.models.families.recognition import classes_of, gating_of, label

if TYPE_CHECKING:
    from gatewright.models.families.spec import NetworkSpec

_OLD_NAME = re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.([12])\.")


def claims(state: Mapping[str, object]) -> bool:
    """Whether tensors may be of a DenseNet: by the names of its dense blocks."""
    return any(name.startswith("features.denseblock1.denselayer1.") for name in state)


def from_public(state: dict[str, Tensor], what: str) -> dict[str, Tensor]:
    """The tensors with the newer names."""
    return {_OLD_NAME.sub(r"\1\2.", name): tensor for name, tensor in state.items()}


def describe(state: Mapping[str, Tensor], what: str) -> NetworkSpec:
    """The network that tensors are of: depth, gates, number of classes; images are taken to be of 224 pixels.

    Other counts of layers are a ``GatewrightError`` about ``what``.
    """
    from gatewright.models.families.spec import NetworkSpec

    classes = classes_of(state, what, "classifier")
    layers = tuple(_layers_of(state, block) for block in (1, 2, 3, 4))
    depth = next((depth for depth, known in LAYERS.items() if known == layers), None)
    if depth is None:
        known = ", ".join(f"{depth} of {counts}" for depth, counts in LAYERS.items())
        raise GatewrightError(
            f"{what}: its dense blocks have {layers} layers; DenseNets of {FIRST} channels in front are {known}"
        )
    return NetworkSpec(depth, gating_of(state), classes=classes, size=EDGE, family_name=DENSENET.name)


def _layers_of(state: Mapping[str, Tensor], block: int) -> int:
    return len({name.split(".")[2] for name in state if name.startswith(f"features.denseblock{block}.")})


DENSENET = Family(
    name="densenet",
    title="DenseNet",
    data=IMAGENET,
    input_shape=lambda spec: (3, spec.size, spec.size),
    build=lambda spec: DenseNet(spec.depth, spec.gating, spec.classes, spec.size),
    label=lambda spec: label(spec, f"densenet{spec.depth}"),
    claims=claims,
    from_public=from_public,
    describe=describe,
)
