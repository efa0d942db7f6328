"""What a family of networks says of itself: its data, its input, its builder, and how its tensors are recognised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from gatewright.models.datasets.images import DataSet

if TYPE_CHECKING:
    from gatewright.models.families.spec import NetworkSpec


@dataclass(frozen=True)
class Family:
    """A family of networks.

    ``title`` is how messages call it. ``data`` is what its networks are trained on, with the normalisation that they
    expect. ``build`` makes a freshly initialised network of a spec; ``label`` is a spec's name, for example
    ``dgnet-resnet20-0.4``. Of tensors by name, ``claims`` says whether they look like a network of the family in one of
    the forms that are public; ``from_public`` gives them the names of our modules; ``describe`` says which network
    tensors with our names are of. The last two take what the tensors are from, for messages. ``classifies``: its
    networks are classifiers (``Network``); others return maps, and their specs have a head. ``takes_uniform_tile``: a
    spec may give all stages tiles of one edge.
    """

    name: str
    title: str
    data: DataSet
    input_shape: Callable[[NetworkSpec], tuple[int, int, int]]
    build: Callable[[NetworkSpec], nn.Module]
    label: Callable[[NetworkSpec], str]
    claims: Callable[[Mapping[str, object]], bool]
    from_public: Callable[[dict[str, Tensor], str], dict[str, Tensor]]
    describe: Callable[[Mapping[str, Tensor], str], NetworkSpec]
    classifies: bool = True
    takes_uniform_tile: bool = False
