"""A program's file, read with json and numpy alone: what a host needs to know of it.

The file is safetensors: eight bytes of length, a header in JSON, and the tensors' bytes. ``gatewright compile`` writes
it. A listing beside it (FILE.s, of ``gatewright disassemble``) lends errors their lines.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import WrongInputError, WrongProgramError
from .registers import (
    BIAS_OFFSET,
    FIELDS,
    INSTRUCTION_BYTES,
    OPCODES,
    PARAMETER_BYTES,
    PROGRAM_FORMAT,
    STORE_UNIT_BYTES,
)

Array = Any
"""A numpy array."""


@dataclass(frozen=True)
class Output:
    """A tensor in DRAM: ``kind`` logits (int32 [channels]) or map (int8 [height, width, channels])."""

    name: str
    kind: str
    address: int
    size: int
    height: int
    width: int
    channels: int
    scale: float

    def read(self, memory: Array) -> Array:
        """A copy of it, from memory in which the program's image begins at byte 0."""
        if self.kind == "logits":
            return memory[self.address : self.address + 4 * self.channels].view("<i4").astype(np.int32)
        size = self.height * self.width * self.channels
        return memory[self.address : self.address + size].view(np.int8).reshape(self.height, self.width, -1).copy()


@dataclass(frozen=True)
class Exit:
    """An early exit: an image has left there if a logit of ``output`` reaches its limit, int64 [classes]."""

    name: str
    output: str
    limits: Array


@dataclass(frozen=True)
class Program:
    """What a host needs to know. ``image`` is DRAM, uint8; ``instructions`` uint8 [n, INSTRUCTION_BYTES]."""

    path: Path
    checksum: str
    header: dict[str, Any] = field(repr=False)
    image: Array = field(repr=False)
    instructions: Array = field(repr=False)
    outputs: tuple[Output, ...]
    exits: tuple[Exit, ...]
    listing: dict[int, str] = field(repr=False)
    """The line of each instruction; empty without a listing."""

    @property
    def arch(self) -> dict[str, Any]:
        """The machine that it was compiled for."""
        return dict(self.header["arch"])

    @property
    def images(self) -> int:
        """Images that a run of it takes."""
        return int(self.header["images"])

    @property
    def serves_every_image(self) -> bool:
        """Whether the machine decides its gates, or there are none."""
        return bool(self.header["live"] or not self.header["gates"])

    def check_serves_every_image(self) -> None:
        """Or raise ``WrongProgramError``."""
        if not self.serves_every_image:
            raise WrongProgramError(
                f"{self.path.name} was compiled for the gates of one image, and takes no other; compile it with --live"
            )

    @property
    def input(self) -> tuple[int, int, int]:
        """Of the input region: address, bytes, and bytes from an image of a run to the next."""
        region = self.header["input_region"]
        return int(region["address"]), int(region["size"]), int(self.header["input_stride"])

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of a sample, int8."""
        layout = self.header["input_layout"]
        if layout is None:
            return (self.input[1],)
        return (int(layout["height"]), int(layout["width"]), int(layout["channels"]))

    def pack(self, sample: Array) -> Array:
        """A quantised sample, int8 ``input_shape``, as the input region's bytes."""
        layout, shape = self.header["input_layout"], self.input_shape
        if layout is None and sample.dtype == np.int8 and sample.size == shape[0]:
            return np.ascontiguousarray(sample).reshape(-1).view(np.uint8)
        if sample.dtype != np.int8 or sample.shape != shape:
            raise WrongInputError(
                f"a sample is {sample.dtype} {list(sample.shape)}; {self.path.name} takes int8 {list(shape)}, "
                "quantised as the network's input is"
            )
        rows, padding = int(layout["rows"]), int(layout["padding"])
        padded = np.zeros((shape[0] + padding + rows, *shape[1:]), np.int8)
        padded[padding : padding + shape[0]] = sample
        together = np.stack([padded[row : row + shape[0]] for row in range(rows)], axis=2)
        return np.ascontiguousarray(together).reshape(-1).view(np.uint8)

    def left_at(self, memory: Array) -> int:
        """The number of the exit at which an image has left that left this memory; that of the end is the last."""
        by_name = {output.name: output for output in self.outputs}
        for number, one in enumerate(self.exits):
            logits = by_name[one.output].read(memory).astype(np.int64)
            if one.output == self.outputs[-1].name or bool((logits >= one.limits).any()):
                return number
        return len(self.exits)

    def values(self, memory: Array) -> tuple[dict[str, Array], int]:
        """Every output that an image has written, by name, and where it has left."""
        left = self.left_at(memory)
        names = [output.name for output in self.outputs]
        end = len(names) if left == len(self.exits) else names.index(self.exits[left].output) + 1
        return {output.name: output.read(memory) for output in self.outputs[:end]}, left

    def why_no_rings(self) -> str:
        """Why several images cannot lie in rings of inputs and outputs; empty if they can."""
        opcodes = _field(self.instructions, "opcode")
        for name, what in (("LOAD", "reads its input"), ("STORE", "writes its outputs")):
            if not _field(self.instructions[opcodes == OPCODES[name]], f"{name}.ring").any():
                return f"it {what} at one place"
        stores = self.instructions[opcodes == OPCODES["STORE"]]
        ring, address = _field(stores, "STORE.ring"), _field(stores, "STORE.dram_address")
        end = address + _field(stores, "STORE.beats") * STORE_UNIT_BYTES
        for output in self.outputs:
            inside = (address < output.address + output.size) & (end > output.address)
            if (inside & (ring == 0)).any():
                return f"its output {output.name} is a map that it keeps at one place in DRAM"
        return ""

    def rows_at(self, dispatched: int, entry: int, runs: int) -> list[int]:
        """The instructions that may be at a place of the instruction memory, so many dispatched since the start.

        A page lies where the NEXT in front of it leads. ``runs`` of the program had ended. Where all instructions of a
        run are dispatched the number says which one it is; with SKIP and EXIT it may be one of several.
        """
        starts = [int(start) for start in self.header["page_starts"]]
        targets = [0, *_field(self.instructions[[start - 1 for start in starts[1:]]], "NEXT.entry").tolist()]
        ends = [*starts[1:], len(self.instructions)]
        rows = [start + entry - target for start, target in zip(starts, targets, strict=True)]
        found = [row for row, start, end in zip(rows, starts, ends, strict=True) if start <= row < end]
        opcodes = set(_field(self.instructions, "opcode").tolist())
        if OPCODES["SKIP"] in opcodes:
            return [row for row in found if runs or row >= dispatched]
        if OPCODES["EXIT"] in opcodes and runs:
            return found
        return [row for row in found if row == dispatched - runs * len(self.instructions)]

    def line(self, row: int) -> str:
        """An instruction for a reader: its line of the listing, or its layer."""
        layers = self.header["layers"]
        layer = f", layer {layers[row]}" if row < len(layers) else ""
        return self.listing.get(row, f"{row} (no listing {self.path.with_suffix('.s').name} beside the program{layer})")


def load_program(path: str | Path) -> Program:
    """Read a program; one that is damaged, or another format, is an error that says so."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WrongProgramError(f"cannot read the program {path}: {error.strerror}") from error
    try:
        metadata, tensors = _tensors(data)
        text, found = metadata["program"], metadata["format"]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise WrongProgramError(f"{path} is damaged or no program: {error}; copy it again, or compile it") from error
    if found != PROGRAM_FORMAT:
        raise WrongProgramError(f"{path} has format {found!r}, this driver reads {PROGRAM_FORMAT!r}; compile it again")
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name].tobytes(), value)
    if metadata.get("checksum") != str(value) or set(tensors) != {"image", "instructions"}:
        raise WrongProgramError(f"{path} is damaged: its checksum is wrong; copy it again")
    header = json.loads(text)
    image = tensors["image"]
    outputs = tuple(
        Output(
            one["name"],
            one["kind"],
            one["region"]["address"],
            one["region"]["size"],
            one["height"],
            one["width"],
            one["channels"],
            one["scale"],
        )
        for one in header["outputs"]
    )
    classes = {output.name: output.channels for output in outputs}
    exits = tuple(
        Exit(one["name"], one["output"], _limits(image, one["parameters"], classes[one["output"]]))
        for one in header["exits"]
    )
    instructions = tensors["instructions"].reshape(-1, INSTRUCTION_BYTES)
    return Program(path, metadata["checksum"], header, image, instructions, outputs, exits, _listing(path))


def _tensors(data: bytes) -> tuple[dict[str, str], dict[str, Array]]:
    """The metadata, and the tensors by name, of a safetensors file's bytes; all are lists of bytes."""
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= len(data) - 8:
        raise ValueError("it has no header")
    header = json.loads(data[8 : 8 + length].decode())
    body = np.frombuffer(data, np.uint8)[8 + length :]
    tensors = {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        first, end = about["data_offsets"]
        if about["dtype"] != "U8" or not 0 <= first <= end <= len(body):
            raise ValueError(f"tensor {name!r} is not a list of bytes in the file")
        tensors[name] = body[first:end]
    return header["__metadata__"], tensors


def _limits(image: Array, address: int, classes: int) -> Array:
    """What an exit's logits are compared with: their biases, less those of what the machine compares with 0."""
    entries = image[address : address + 2 * classes * PARAMETER_BYTES].reshape(-1, PARAMETER_BYTES)
    biases = np.ascontiguousarray(entries[:, BIAS_OFFSET : BIAS_OFFSET + 4]).view("<i4")[:, 0].astype(np.int64)
    return biases[:classes] - biases[classes:]


def _field(instructions: Array, name: str) -> Array:
    """A field of each instruction, int64 [n]."""
    low, bits = FIELDS[name]
    first, end = low // 8, -(-(low + bits) // 8)
    weights = 1 << (8 * np.arange(end - first, dtype=np.int64))
    return (instructions[:, first:end].astype(np.int64) @ weights) >> (low % 8) & ((1 << bits) - 1)


def _listing(path: Path) -> dict[int, str]:
    listing = path.with_suffix(".s")
    if not listing.is_file():
        return {}
    lines: Sequence[str] = listing.read_text().splitlines()
    return {int(line.split()[0]): line.strip() for line in lines if line.split() and line.split()[0].isdecimal()}
