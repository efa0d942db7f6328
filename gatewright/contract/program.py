"""A compiled program: instructions, the DRAM image they read, and what the image's regions mean.

On disk a program is one safetensors file (no pickle): tensors ``instructions`` (the encoded bytes)
and ``image`` (DRAM from address 0), and a JSON header with the format's version, the architecture,
the regions, and notes on the instructions for the disassembler and the reports.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Opcode, decode, encode

FORMAT = "gatewright-program-1"


@dataclass(frozen=True)
class Region:
    """A named piece of DRAM: ``kind`` is input, weights, parameters, code or output."""

    name: str
    kind: str
    address: int
    size: int


@dataclass(frozen=True)
class Placement:
    """Where a tensor of the quantised graph lies in the scratchpad, and when.

    ``kind`` is ``map`` ([y][x][channel] int8), ``compact`` (the same with only the active channels
    of ``channel_gate``; pixels outside ``spatial_gate``'s tiles are undefined) or ``logits`` (int32).
    The bytes are final once instruction ``last_write`` is complete.
    """

    tensor: str
    kind: str
    address: int
    height: int
    width: int
    channels: int
    last_write: int
    spatial_gate: str | None = None
    channel_gate: str | None = None


@dataclass(frozen=True)
class GateRecord:
    """A gate of the network: which mask holds its decision, and the decision that was compiled for.

    ``table`` is the index table (entries as uint16 values) that the machine must build from it.
    """

    name: str
    kind: str
    mask: int
    bits: int
    decision: tuple[int, ...]
    table: tuple[int, ...]
    index_instruction: int


@dataclass(frozen=True)
class InputLayout:
    """How a sample lies in the input region: pixel (y, x) holds, one after the other, the pixels
    (y - padding ... y - padding + rows - 1, x), zero outside the image.

    With one row this is the plain [y][x][channel]. With a kernel's rows together a first layer of
    few channels is gathered in one run per pixel.
    """

    height: int
    width: int
    channels: int
    rows: int = 1
    padding: int = 0

    def pack(self, sample: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
        """Lay out a quantised sample int8 [height, width, channels] as the region's bytes."""
        shape = (self.height, self.width, self.channels)
        if sample.dtype != np.int8 or sample.shape != shape:
            raise GatewrightError(f"sample: {sample.dtype} {list(sample.shape)} is not int8 {list(shape)}")
        padded = np.pad(sample, ((self.padding, self.rows), (0, 0), (0, 0)))
        stacked = np.stack([padded[row : row + self.height] for row in range(self.rows)], axis=2)
        return np.ascontiguousarray(stacked).reshape(-1).view(np.uint8)


@dataclass
class Program:
    """What runs on the machine for one sample (or, without gates, for every sample).

    ``code`` is the decoded table of ``isa``; ``image`` the DRAM contents; ``boot_count`` the
    instructions of page 0 at ``code_address``. ``layers`` names the layer of each instruction.
    """

    arch: ArchConfig
    code: npt.NDArray[np.int64]
    image: npt.NDArray[np.uint8]
    code_address: int
    boot_count: int
    input_region: Region
    output_region: Region
    regions: list[Region] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    gates: list[GateRecord] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)
    layer_kinds: dict[str, str] = field(default_factory=dict)
    """``gated``, ``ungated``, ``gate`` or ``control`` for each name in ``layers``."""
    macs: dict[str, int] = field(default_factory=dict)
    """Useful multiply-accumulates per layer, as executed for this sample (tile * tile pixels a tile)."""
    page_starts: list[int] = field(default_factory=list)
    """Row of ``code`` at which each instruction page begins."""
    input_layout: InputLayout | None = None
    """None: the sample's bytes as they are."""

    def with_sample(self, sample: npt.NDArray[np.int8] | None) -> npt.NDArray[np.uint8]:
        """The DRAM image with a quantised sample in its input region; without a sample, the image itself."""
        if sample is None:
            return self.image
        region = self.input_region
        data = np.ascontiguousarray(sample).reshape(-1).view(np.uint8)
        if self.input_layout is not None:
            data = self.input_layout.pack(sample)
        if sample.dtype != np.int8 or len(data) != region.size:
            raise GatewrightError(
                f"sample: {sample.dtype} {list(sample.shape)} is not the {region.size} int8 values of region "
                f"{region.name!r}"
            )
        if region.address + region.size > len(self.image):
            raise GatewrightError(
                f"region {region.name!r} ends at byte {region.address + region.size} of an image of "
                f"{len(self.image)} bytes; compile the program again"
            )
        image = self.image.copy()
        image[region.address : region.address + region.size] = data
        return image

    def save(self, path: str | Path) -> None:
        """Write the program; the file appears whole or not at all."""
        path = Path(path)
        tensors = {"instructions": np.frombuffer(encode(self.code), np.uint8).copy(), "image": self.image}
        header = {
            "arch": self.arch.to_dict(),
            "code_address": self.code_address,
            "boot_count": self.boot_count,
            "input_region": vars(self.input_region),
            "output_region": vars(self.output_region),
            "regions": [vars(r) for r in self.regions],
            "placements": [vars(p) for p in self.placements],
            "gates": [vars(g) for g in self.gates],
            "layers": self.layers,
            "layer_kinds": self.layer_kinds,
            "macs": self.macs,
            "page_starts": self.page_starts,
            "input_layout": vars(self.input_layout) if self.input_layout else None,
        }
        text = json.dumps(header)
        partial = path.with_name(path.name + ".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            metadata = {"format": FORMAT, "program": text, "checksum": str(_checksum(tensors, text))}
            save_file(tensors, partial, metadata)
            partial.replace(path)
        except OSError as error:
            raise GatewrightError(f"cannot write {path}: {error}") from error
        finally:
            if partial.is_file():
                partial.unlink()

    @staticmethod
    def load(path: str | Path) -> Program:
        """Read a program; a damaged, foreign or newer file is an error that says so."""
        path = Path(path)
        if not path.is_file():
            raise GatewrightError(f"no program at {path}")
        try:
            with safe_open(path, "np") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except (SafetensorError, OSError, ValueError) as error:
            raise GatewrightError(f"program {path} is damaged or not a program ({error}); compile it again") from error
        if metadata.get("format") != FORMAT:
            raise GatewrightError(f"program {path} is not a {FORMAT} file; its format is {metadata.get('format')!r}")
        try:
            header: dict[str, Any] = json.loads(metadata["program"])
            if metadata["checksum"] != str(_checksum(tensors, metadata["program"])):
                raise GatewrightError(f"program {path} is damaged: its checksum is wrong; compile it again")
            header["arch"] = ArchConfig.from_dict(header["arch"], f"program {path}")
            header["input_region"] = Region(**header["input_region"])
            header["output_region"] = Region(**header["output_region"])
            header["regions"] = [Region(**r) for r in header["regions"]]
            header["placements"] = [Placement(**p) for p in header["placements"]]
            header["input_layout"] = InputLayout(**header["input_layout"]) if header["input_layout"] else None
            header["gates"] = [
                GateRecord(**{**g, "decision": tuple(g["decision"]), "table": tuple(g["table"])})
                for g in header["gates"]
            ]
            return Program(code=decode(tensors["instructions"].tobytes()), image=tensors["image"], **header)
        except (KeyError, TypeError, ValueError) as error:
            raise GatewrightError(f"program {path} is damaged ({error}); compile it again") from error

    def opcode_name(self, instruction: int) -> str:
        """The mnemonic of a row of ``code``."""
        return Opcode(int(self.code[instruction, 0])).name


def _checksum(tensors: dict[str, npt.NDArray[np.uint8]], text: str) -> int:
    checksum = zlib.crc32(text.encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].tobytes(), checksum)
    return checksum
