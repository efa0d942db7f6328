"""The family of MobileNetV2, and how its tensors are recognised.

Torchvision's ``mobilenet_v2`` and the DGNet release's network have the names of our modules already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.imagenet import EDGE, IMAGENET
from gatewright.models.families.family import Family
from gatewright.models.families.mobilenet_v2.network import DEPTH, FIRST, LAST, STAGES, MobileNetV2
from gatewright.models.families.recognition import classes_of, gating_of, label, with_gate_biases

if TYPE_CHECKING:
    from gatewright.models.families.spec import NetworkSpec

_CLASSIFIER = "classifier.1"


def claims(state: Mapping[str, object]) -> bool:
    """Whether tensors may be of a MobileNetV2: by its first block, which begins with a depthwise convolution."""
    return f"{_CLASSIFIER}.weight" in state and "features.1.conv.0.0.weight" in state


def describe(state: Mapping[str, Tensor], what: str) -> NetworkSpec:
    """The network that tensors are of: gates, number of classes; images are taken to be of 224 pixels.

    Another width, or other stages, are a ``GatewrightError`` about ``what``.
    """
    from gatewright.models.families.spec import NetworkSpec

    classes = classes_of(state, what, _CLASSIFIER)
    expected = [FIRST, *(stage.channels for stage in STAGES for _ in range(stage.blocks)), LAST]
    found = [_channels(state, f"features.{index}.") for index in range(len(expected))]
    if found != expected or any(name.startswith(f"features.{len(expected)}.") for name in state):
        raise GatewrightError(
            f"{what}: the layers of its MobileNetV2 have {found} channels; only that of width 1.0 is here: {expected}"
        )
    return NetworkSpec(DEPTH, gating_of(state), classes=classes, size=EDGE, family_name=MOBILENET_V2.name)


def _channels(state: Mapping[str, Tensor], prefix: str) -> int | None:
    """The channels that a layer of ``features`` returns: those of its last batch norm, its gates' left out."""
    norms = [name for name in state if name.startswith(prefix) and name.endswith("running_mean")]
    norms = sorted(name for name in norms if ".mask_" not in name)
    return len(state[norms[-1]]) if norms and state[norms[-1]].ndim == 1 else None


MOBILENET_V2 = Family(
    name="mobilenet-v2",
    title="MobileNetV2",
    data=IMAGENET,
    input_shape=lambda spec: (3, spec.size, spec.size),
    build=lambda spec: MobileNetV2(spec.depth, spec.gating, spec.classes, spec.size),
    label=lambda spec: label(spec, "mobilenet-v2"),
    claims=claims,
    from_public=lambda state, what: with_gate_biases(state),
    describe=describe,
)
