"""Whether a network has an accuracy on a set of images."""

from __future__ import annotations

from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.own import OwnSpec


def why_no_accuracy(spec: NetworkSpec | OwnSpec, images: ImageSet) -> str | None:
    """The reason for which no accuracy of a network on images may be shown; None where there is one."""
    if not spec.classifies:
        return "the network has no classifier"
    if spec.synthetic:
        return "the network is synthetic: its weights were drawn, not trained"
    return None if images.labelled else "the images have no labels"
