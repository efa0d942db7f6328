"""What builds a network: its family, and its parameters in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval
from pydantic import AfterValidator

from gatewright.contract.errors import GatewrightError
from gatewright.contract.schema import Count
from gatewright.models.datasets.images import DataSet
from gatewright.models.families.family import Family
from gatewright.models.families.registry import FAMILIES
from gatewright.models.gates.kinds import Gating
from gatewright.models.own import own_images

if TYPE_CHECKING:
    from torch import nn

    from gatewright.models.families.network import Network


def _known(name: str) -> str:
    if name not in FAMILIES:
        raise ValueError(f"{name!r} is no family of networks; there are {', '.join(FAMILIES)}")
    return name


@dataclass(frozen=True)
class HeadSpec:
    """What is behind the residual network of a detector or of a segmentation network.

    ``width`` are the channels of a pyramid's levels, or of the head's convolution; ``convolutions`` are those of a head
    before its last one; ``tile`` is the edge of the first stage's tiles, None for the family's own.
    """

    width: Count
    convolutions: Annotated[int, Interval(ge=0, le=64)] = 1
    tile: Count | None = None


@dataclass(frozen=True)
class NetworkSpec:
    """What builds a network: enough to make the module that a checkpoint's tensors fit."""

    depth: Count
    gating: Gating = "none"
    target_density: Annotated[float, Interval(gt=0, le=1)] | None = None
    classes: Annotated[int, Interval(ge=1, le=65_535)] = 10
    size: Annotated[int, Interval(ge=1, le=1023)] = 32
    """Edge of an image in pixels; a GATHER counts to 1,023."""
    family_name: Annotated[str, AfterValidator(_known)] = "resnet-cifar"

    synthetic: bool = False
    """Its weights were drawn and its gates set (``models/synthetic``), not trained: it has no accuracy."""
    head: HeadSpec | None = None
    """Of a network that returns maps; classifiers have none."""
    uniform_tile: Count | None = None
    """Edge of the spatial gates' tiles in all stages, in pixels of a block's output; None for the family's own."""

    @property
    def family(self) -> Family:
        """Its family: data set, builder, checkpoints."""
        return FAMILIES[self.family_name]

    @property
    def data(self) -> DataSet:
        """What it is trained on, with the normalisation that it expects; for a network of maps images of its size."""
        data = self.family.data
        return data if self.classifies else own_images(self.input_shape, data.mean, data.std)

    @property
    def classifies(self) -> bool:
        """Whether it is a classifier."""
        return self.family.classifies

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.family.input_shape(self)

    @property
    def name(self) -> str:
        """For example ``dgnet-resnet20-0.4``, ``resnet20`` if static, ``synthetic-resnet18`` if drawn."""
        return f"{'synthetic-' if self.synthetic else ''}{self.family.label(self)}"

    def module(self) -> nn.Module:
        """A freshly initialised network of any family."""
        if self.uniform_tile is not None and not self.family.takes_uniform_tile:
            raise GatewrightError(f"a {self.family.title} has its own tiles by stage; leave out uniform_tile")
        return self.family.build(self)

    def build(self) -> Network:
        """A freshly initialised classifier."""
        from gatewright.models.families.network import Network

        module = self.module()
        if not isinstance(module, Network):
            raise GatewrightError(
                f"{self.name} is no classifier: it returns maps, which calibrate, compile, plan, report and verify take"
            )
        return module
