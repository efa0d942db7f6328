"""All families of networks, by name."""

from __future__ import annotations

from gatewright.models.families.dense_prediction import PSPNET, REGION_PROPOSALS, RETINANET
from gatewright.models.families.densenet.family import DENSENET
from gatewright.models.families.family import Family
from gatewright.models.families.mobilenet_v2.family import MOBILENET_V2
from gatewright.models.families.resnet_cifar.family import RESNET_CIFAR
from gatewright.models.families.resnet_cifar_exits.family import RESNET_CIFAR_EXITS
from gatewright.models.families.resnet_imagenet.family import RESNET_IMAGENET

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        RESNET_CIFAR,
        RESNET_CIFAR_EXITS,
        RESNET_IMAGENET,
        MOBILENET_V2,
        DENSENET,
        RETINANET,
        REGION_PROPOSALS,
        PSPNET,
    )
}
