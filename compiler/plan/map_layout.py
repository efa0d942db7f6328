"""Where in DRAM maps, constants and what the network returns lie."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import QuantisedLayer, TensorShape
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.exit import QuantisedExit
from gatewright.compiler.plan.allocate import Spill
from gatewright.compiler.plan.filters import without_filters
from gatewright.compiler.plan.rooms import DramMap
from gatewright.compiler.plan.spills import DramRows
from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.encodings import LOGIT_BYTES
from gatewright.contract.program_parts import Output, OutputKind, Region

if TYPE_CHECKING:
    from gatewright.compiler.plan.network_image import NetworkImage


class MapLayout:
    """Adds them to an image."""

    def __init__(self, image: NetworkImage) -> None:
        self.image = image

    def constant(self, name: str, values: npt.NDArray[np.int8]) -> None:
        """A map that is the same for every image; whole beats."""
        image, flat = self.image, values.reshape(-1).view(np.uint8)
        address = image.builder.add(np.pad(flat, (0, -len(flat) % BEAT_BYTES)))
        image.constants[name] = Region(name, "weights", address, flat.size)
        image.regions.append(image.constants[name])
        image.banks[name] = without_filters(name)
        image.parameter_start[name] = image.parameter_end[name] = image.parameter_layout.entries

    def output(self, layer: QuantisedLayer) -> Output:
        """Where a layer's result lies: in a place of its own, or where the map is anyhow."""
        image, tensor = self.image, layer.gives
        assert tensor is not None
        if isinstance(layer, QuantisedClassifier | QuantisedExit):
            kind: OutputKind = "logits"
            shape, scale = TensorShape(len(layer.weight), 1, 1), layer.scale
        else:
            kind, shape, scale = "map", image.graph.shapes[tensor], image.graph.scales[tensor]
        if tensor in image.spilled:
            rows = image.spilled[tensor]
            region = next(region for region in image.regions if region.address == rows.dram)
        else:
            size = shape.size * (LOGIT_BYTES if kind == "logits" else 1)
            region = Region(f"{tensor} output", "output", self._room(size), size)
        return Output(tensor, kind, region, shape.height, shape.width, shape.channels, scale)

    def spill(self, spill: Spill) -> None:
        """Room for the maps of a spill, and the rings of their rows."""
        image, name = self.image, spill.tensors[0]
        shape, address = image.laid.shapes[name], self.shared(spill.tensors)[name].dram
        place = address, shape.size, shape.width * shape.channels
        rings = [DramRows(*place, ring.rows, image.addresses[ring.name], ring.ahead) for ring in spill.rings]
        residuals = {la.residual for la in image.graph.layers if isinstance(la, QuantisedConv) and la.elsewhere}
        if image.live and not residuals & set(spill.tensors):  # rows of such a one must not lie around the ring's end
            rings = list(accumulate(rings, lambda before, ring: ring.behind(before)))
        for tensor in spill.tensors:
            image.spilled[tensor], image.spills[tensor] = rings[0], spill
            for ring, rows in zip(spill.rings, rings, strict=True):
                image.row_rings |= {(layer, tensor): rows for layer in ring.layers}

    def shared(self, tensors: Sequence[str]) -> dict[str, DramMap]:
        """Room for maps of one shape that share a place."""
        size = self.image.laid.shapes[tensors[0]].size
        address = self._room(size)
        self.image.regions.append(Region(tensors[-1], "map", address, size))
        return dict.fromkeys(tensors, DramMap(address, size))

    def _room(self, size: int) -> int:
        """The address of so many bytes, in whole beats."""
        return self.image.builder.add(np.zeros(-(-size // BEAT_BYTES) * BEAT_BYTES, np.uint8))
