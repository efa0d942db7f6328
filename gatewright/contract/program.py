"""A compiled program: instructions, the DRAM image they read, and what the image's regions mean.

On disk a program is one safetensors file (no pickle): tensors ``instructions`` (the encoded bytes)
and ``image`` (DRAM from address 0), and a JSON header with the format's version, the architecture,
the regions, and notes on the instructions for the disassembler and the reports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Len
from safetensors.numpy import save_file

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.exits import limits_of
from gatewright.contract.formats import PROGRAM
from gatewright.contract.instruction_words import decode, encode
from gatewright.contract.isa import Opcode
from gatewright.contract.program_check import check_program
from gatewright.contract.program_parts import ExitRecord, GateRecord, InputLayout, LayerKind, Output, Placement, Region
from gatewright.contract.schema import Count, Total, parse_json, show
from gatewright.contract.tensor_file import checksum, read_tensors
from gatewright.contract.whole_file import whole_file


def of_image(name: str, number: int, images: int) -> str:
    """What something of image ``number`` is called in a program that runs so many images at a time."""
    return f"{name}@{number}" if images > 1 else name


Thing = TypeVar("Thing")


def belonging_to(things: Mapping[str, Thing], number: int, images: int) -> dict[str, Thing]:
    """Of things by the names that ``of_image`` gives those of image ``number``, by the names that they have alone."""
    end = of_image("", number, images)
    return {name.removesuffix(end): thing for name, thing in things.items() if name.endswith(end)}


@dataclass(kw_only=True)
class ProgramHeader:
    """What a program's file says beside its instructions and its image."""

    arch: ArchConfig
    code_address: Count
    boot_count: Count
    """Instructions of page 0."""
    input_region: Region
    outputs: list[Output] = field(default_factory=list)
    """What the network returns, in the order in which it is computed."""
    regions: list[Region] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    gates: list[GateRecord] = field(default_factory=list)
    exits: list[ExitRecord] = field(default_factory=list)
    """Early exits, in order of execution."""
    layers: list[str] = field(default_factory=list)
    """The layer of each instruction."""
    layer_kinds: dict[str, LayerKind] = field(default_factory=dict)
    """Of each name in ``layers``."""
    macs: dict[str, Total] = field(default_factory=dict)
    """Useful multiply-accumulates per layer, as executed for this sample (tile * tile pixels a tile)."""
    page_starts: Annotated[list[Count], Len(1)] = field(default_factory=list)
    """Row of the code at which each instruction page begins."""
    input_layout: InputLayout | None = None
    """None: the sample's bytes as they are."""
    live: bool = False
    """Whether it serves every sample: gates are decided on the machine, and ``macs`` are those of all gates on."""
    images: Annotated[Count, Ge(1)] = 1
    """Images that a run of the program takes. If there are several, their outputs, placements and gates have the names
    that ``of_image`` gives, and ``macs`` are those of all."""
    input_stride: Count = 0
    """Bytes in DRAM from an image of the run to the next; ``input_region`` is that of the first."""


@dataclass(kw_only=True)
class Program(ProgramHeader):
    """What runs on the machine for one sample (or, without gates, for every sample).

    ``code`` is the decoded table of ``isa``; ``image`` the DRAM contents, which hold the same instructions from
    ``code_address`` on.
    """

    code: npt.NDArray[np.int64]
    image: npt.NDArray[np.uint8]

    def with_sample(self, sample: npt.NDArray[np.int8] | None) -> npt.NDArray[np.uint8]:
        """The DRAM image with a quantised sample in its input region; without a sample, the image itself.

        Of a program that runs several ``images`` at a time ``sample`` holds as many, [images, height, width, channels].
        """
        if sample is None:
            return self.image
        if self.images > 1 and len(sample) != self.images:
            raise GatewrightError(f"{len(sample)} samples for a program that runs {self.images} at a time")
        image = self.image.copy()
        region = self.input_region
        for number, one in enumerate(sample if self.images > 1 else [sample]):
            at = region.address + number * self.input_stride
            image[at : at + region.size] = self.packed(one)
        return image

    def packed(self, sample: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
        """A quantised sample as the input region's bytes."""
        region = self.input_region
        data = np.ascontiguousarray(sample).reshape(-1).view(np.uint8)
        if self.input_layout is not None:
            data = self.input_layout.pack(sample)
        if sample.dtype != np.int8 or len(data) != region.size:
            raise GatewrightError(
                f"sample: {sample.dtype} {list(sample.shape)} is not the {region.size} int8 values of region "
                f"{region.name!r}"
            )
        return data

    def left_at(self, dram: npt.NDArray[np.uint8]) -> int:
        """The number of the exit at which a run has left that left this DRAM; that of the end is the last.

        A host knows it by the logits. A program that was compiled for an image ends behind its exit.
        """
        outputs = {output.name: output for output in self.outputs}
        for number, one in enumerate(self.exits):
            logits = outputs[one.output].read(dram).astype(np.int64)
            if one.output == self.outputs[-1].name or (logits >= limits_of(self, one)).any():
                return number
        return len(self.exits)

    def written(self, dram: npt.NDArray[np.uint8]) -> list[Output]:
        """The outputs in a DRAM that a run has left there: those up to the exit at which it ended."""
        number = self.left_at(dram)
        names = [output.name for output in self.outputs]
        return self.outputs if number == len(self.exits) else self.outputs[: names.index(self.exits[number].output) + 1]

    def values(self, dram: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.int8] | npt.NDArray[np.int32]]:
        """Every output in a DRAM, by name; those behind the exit at which the run ended are not there."""
        return {output.name: output.read(dram) for output in self.written(dram)}

    def logits(self, dram: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
        """The last logits among these outputs, with which the image is answered; none if all are maps."""
        found = [output.read(dram) for output in self.written(dram) if output.kind == "logits"]
        return found[-1].astype(np.int32) if found else np.zeros(0, np.int32)

    def save(self, path: str | Path) -> None:
        """Write the program; the file appears whole or not at all. One that ``load`` would refuse is not written."""
        path = Path(path)
        tensors = {"instructions": np.frombuffer(encode(self.code), np.uint8).copy(), "image": self.image}
        text = json.dumps({f.name: _plain(getattr(self, f.name)) for f in fields(ProgramHeader)})
        check_program(self)
        metadata = {"format": PROGRAM.name, "program": text, "checksum": checksum(text, tensors)}
        with whole_file(path) as partial:
            save_file(tensors, partial, metadata)

    @staticmethod
    def load(path: str | Path) -> Program:
        """Read a program; a damaged, foreign or newer file is an error that says so."""
        path = Path(path)
        if not path.is_file():
            raise GatewrightError(f"no program at {path}")
        again = PROGRAM.fix
        metadata, tensors = read_tensors(path, "np", "program", again)
        PROGRAM.check(metadata.get("format"), f"program {path}")
        found = {name: (str(array.dtype), array.ndim) for name, array in tensors.items()}
        if found != {"instructions": ("uint8", 1), "image": ("uint8", 1)} or "program" not in metadata:
            raise GatewrightError(
                f"program {path} holds {show(found)}; it needs a header, and instructions and image as lists of bytes; "
                f"{again}"
            )
        if metadata.get("checksum") != checksum(metadata["program"], tensors):
            raise GatewrightError(f"program {path} is damaged: its checksum is wrong; {again}")
        header = parse_json(ProgramHeader, metadata["program"], f"program {path} is damaged", again)
        try:
            code = decode(tensors["instructions"].tobytes())
            program = Program(code=code, image=tensors["image"], **vars(header))
            check_program(program)
        except GatewrightError as error:
            raise GatewrightError(f"program {path} is damaged: {error}; {again}") from error
        return program

    def opcode_name(self, instruction: int) -> str:
        """The mnemonic of a row of ``code``."""
        return Opcode(int(self.code[instruction, 0])).name


def _plain(value: object) -> object:
    """A field of the header as JSON takes it."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
