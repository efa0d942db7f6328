"""The parts that a program is described by: its regions in DRAM, tensors, outputs, gates, exits, and its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from gatewright.contract.encodings import LOGIT_BYTES
from gatewright.contract.errors import GatewrightError
from gatewright.contract.schema import Count

RegionKind = Literal["input", "weights", "parameters", "code", "output", "map"]
PlacementKind = Literal["map", "compact", "logits"]
OutputKind = Literal["map", "logits"]
GateKind = Literal["spatial", "channel", "exit"]
LayerKind = Literal["gated", "ungated", "gate", "control"]


@dataclass(frozen=True)
class Region:
    """A named piece of DRAM: ``size`` bytes from ``address``."""

    name: str
    kind: RegionKind
    address: Count
    size: Count


@dataclass(frozen=True)
class Placement:
    """Where a tensor of the quantised graph lies in the scratchpad, and when.

    ``kind`` is ``map`` ([y][x][channel] int8), ``compact`` (the same with only the active channels
    of ``channel_gate``; pixels outside ``spatial_gate``'s tiles are undefined) or ``logits`` (int32).
    The bytes are final once instruction ``last_write`` is complete.
    """

    tensor: str
    kind: PlacementKind
    address: Count
    height: Count
    width: Count
    channels: Count
    last_write: Count
    spatial_gate: str | None = None
    channel_gate: str | None = None
    pitch: Count = 0
    """Bytes from a pixel to the next, of a part of a concatenation; 0 for its channels."""


@dataclass(frozen=True)
class Output:
    """A tensor that the program gives: where it lies in DRAM when the program ends.

    ``kind`` is ``map`` (int8 [height][width][channels]) or ``logits`` (int32, one for each of ``channels``). ``scale``
    is the value of one unit.
    """

    name: str
    kind: OutputKind
    region: Region
    height: Count
    width: Count
    channels: Count
    scale: float

    @property
    def bytes(self) -> int:
        """Bytes of the tensor."""
        return self.height * self.width * self.channels * (LOGIT_BYTES if self.kind == "logits" else 1)

    def read(self, dram: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8] | npt.NDArray[np.int32]:
        """The tensor in a DRAM: int8 [height, width, channels] of a map, int32 [channels] of logits; a copy."""
        data = dram[self.region.address : self.region.address + self.bytes].tobytes()
        if self.kind == "logits":
            return np.frombuffer(data, "<i4").astype(np.int32)
        return np.frombuffer(data, np.int8).reshape(self.height, self.width, self.channels).copy()


@dataclass(frozen=True)
class GateRecord:
    """A gate of the network: which mask holds its decision, and the decision that was compiled for.

    ``table`` is the index table (entries as uint16 values) that the machine must build from it. Of a live program both
    are empty.
    """

    name: str
    kind: GateKind
    mask: Count
    bits: Count
    decision: tuple[Count, ...]
    table: tuple[Count, ...]
    index_instruction: Count


@dataclass(frozen=True)
class ExitRecord:
    """An early exit: an image ends there if any of its gate's bits is on.

    ``name`` is also that of its gate, of kind ``exit`` and with a bit for each class, ``output`` that of its logits.
    ``parameters`` is the address in DRAM of 2 * classes parameter entries: the biases of the logits, then those less
    the limits (``contract.exits``). ``strict``: a threshold must be exceeded, and not just reached. ``instruction`` is
    the row of its EXIT in a live program; a program that was compiled for an image has none.
    """

    name: str
    output: str
    parameters: Count
    strict: bool
    instruction: Count | None = None


@dataclass(frozen=True)
class InputLayout:
    """How a sample lies in the input region: pixel (y, x) holds, one after the other, the pixels
    (y - padding ... y - padding + rows - 1, x), zero outside the image.

    With one row this is the plain [y][x][channel]. With a kernel's rows together a first layer of
    few channels is gathered in one run per pixel.
    """

    height: Count
    width: Count
    channels: Count
    rows: Count = 1
    padding: Count = 0

    def pack(self, sample: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
        """Lay out a quantised sample int8 [height, width, channels] as the region's bytes."""
        shape = (self.height, self.width, self.channels)
        if sample.dtype != np.int8 or sample.shape != shape:
            raise GatewrightError(f"sample: {sample.dtype} {list(sample.shape)} is not int8 {list(shape)}")
        padded = np.pad(sample, ((self.padding, self.rows), (0, 0), (0, 0)))
        stacked = np.stack([padded[row : row + self.height] for row in range(self.rows)], axis=2)
        return np.ascontiguousarray(stacked).reshape(-1).view(np.uint8)
