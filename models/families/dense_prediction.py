"""The families of networks that return maps: detectors and segmentation, on ImageNet's residual networks.

No public release's files are recognised: they have their own names for what is in front of the heads, and batch norms
that are frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.imagenet import EDGE, IMAGENET
from gatewright.models.families.family import Family
from gatewright.models.families.faster_rcnn import RegionProposals
from gatewright.models.families.pspnet import DEFAULT_SIZE, PSPNet, dilated_resnet
from gatewright.models.families.pyramid import IMAGENET_CLASSES
from gatewright.models.families.recognition import label
from gatewright.models.families.resnet_imagenet.family import RESNET_IMAGENET
from gatewright.models.families.resnet_imagenet.network import BOTTLENECK, TILE, BottleneckResNet, ResNetImageNet
from gatewright.models.families.retinanet import ANCHORS, RetinaNet

if TYPE_CHECKING:
    from gatewright.models.families.spec import HeadSpec, NetworkSpec

_BACKBONE = "backbone."

State = Mapping[str, Tensor]


def _backbone(spec: NetworkSpec) -> ResNetImageNet | BottleneckResNet:
    """A detector's residual network."""
    network = BottleneckResNet if spec.depth in BOTTLENECK else ResNetImageNet
    return network(spec.depth, spec.gating, IMAGENET_CLASSES, spec.size, _head(spec).tile or TILE)


def _head(spec: NetworkSpec) -> HeadSpec:
    if spec.head is None:
        raise GatewrightError(f"a {spec.family.title} needs a head; give its NetworkSpec one: head=HeadSpec(width)")
    return spec.head


def _retinanet(spec: NetworkSpec) -> nn.Module:
    head = _head(spec)
    return RetinaNet(_backbone(spec), spec.classes, head.width, head.convolutions)


def _proposals(spec: NetworkSpec) -> nn.Module:
    return RegionProposals(_backbone(spec), _head(spec).width)


def _pspnet(spec: NetworkSpec) -> nn.Module:
    return PSPNet(dilated_resnet(spec.depth, spec.gating, spec.size), spec.classes, _head(spec).width)


def _filters(state: State, name: str, what: str) -> int:
    """The filters of a convolution, which must be there."""
    weight = state.get(f"{name}.weight")
    if weight is None or weight.ndim != 4 or weight.numel() == 0:
        shape = None if weight is None else list(weight.shape)
        raise GatewrightError(
            f"{what}: {name}.weight has shape {shape}; a convolution has 4 dimensions, none of them 0"
        )
    return len(weight)


def _describe(
    family: str, size: int, parts: Callable[[State, str], tuple[int, HeadSpec]]
) -> Callable[[State, str], NetworkSpec]:
    """What tensors are of: the residual network's depth and gates, and ``parts``, classes and head."""

    def describe(state: State, what: str) -> NetworkSpec:
        from gatewright.models.families.spec import NetworkSpec

        inner = {name.removeprefix(_BACKBONE): one for name, one in state.items() if name.startswith(_BACKBONE)}
        found = RESNET_IMAGENET.describe(inner, what)
        classes, head = parts(state, what)
        return NetworkSpec(found.depth, found.gating, None, classes, size, family, head=head)

    return describe


def _of_retinanet(state: State, what: str) -> tuple[int, HeadSpec]:
    from gatewright.models.families.spec import HeadSpec

    count = len({name.split(".")[2] for name in state if name.startswith("classification_head.conv.")})
    classes = _filters(state, "classification_head.out", what) // ANCHORS
    return classes, HeadSpec(_filters(state, "fpn.p6", what), count)


def _of_proposals(state: State, what: str) -> tuple[int, HeadSpec]:
    from gatewright.models.families.spec import HeadSpec

    return 1, HeadSpec(_filters(state, "rpn.conv", what), 1)


def _of_pspnet(state: State, what: str) -> tuple[int, HeadSpec]:
    from gatewright.models.families.spec import HeadSpec

    return _filters(state, "scores", what), HeadSpec(_filters(state, "conv", what), 1)


def _family(
    name: str,
    title: str,
    build: Callable[[NetworkSpec], nn.Module],
    sign: str,
    parts: Callable[[State, str], tuple[int, HeadSpec]],
    size: int = EDGE,
) -> Family:
    """A family that has the tensor ``sign``; images of tensors without a spec are taken to be of ``size`` pixels."""
    return Family(
        name=name,
        title=title,
        data=IMAGENET,
        input_shape=lambda spec: (3, spec.size, spec.size),
        build=build,
        label=lambda spec: label(spec, f"{name}-resnet{spec.depth}"),
        claims=lambda state: sign in state and any(key.startswith(_BACKBONE) for key in state),
        from_public=lambda state, what: state,
        describe=_describe(name, size, parts),
        classifies=False,
    )


RETINANET = _family("retinanet", "RetinaNet", _retinanet, "classification_head.out.weight", _of_retinanet)
REGION_PROPOSALS = _family(
    "region-proposals", "Faster R-CNN's first stage", _proposals, "rpn.conv.weight", _of_proposals
)
PSPNET = _family("pspnet", "PSPNet", _pspnet, "scores.weight", _of_pspnet, DEFAULT_SIZE)
