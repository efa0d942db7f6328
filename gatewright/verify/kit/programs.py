"""A small assembler for tests: rows by field name, images by piece, and programs laid out in pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, INSTRUCTION_BYTES, ArchConfig
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import COLUMNS, FORMATS, NO_MASK, NO_TABLE, WAITS, Opcode, Space, Unit, column
from gatewright.contract.program import Program
from gatewright.contract.program_parts import Output, Region

Row = npt.NDArray[np.int64]

ALL_SLICES = (1 << 12) - 1
"""The largest ``slice_count``."""

_DEFAULTS = {
    "tile_table": NO_TABLE,
    "filter_table": NO_TABLE,
    "channel_table": NO_TABLE,
    "row_table": NO_TABLE,
    "count_table": NO_TABLE,
    "source_mask": NO_MASK,
}


def _blank(opcode: Opcode) -> Row:
    result = np.zeros(COLUMNS, np.int64)
    result[0] = opcode
    for field in FORMATS[opcode].fields:
        result[column(opcode, field.name)] = _DEFAULTS.get(field.name, 0)
    if opcode == Opcode.GATHER:
        result[column(opcode, "slice_count")] = ALL_SLICES
    return result


_BLANK = {opcode: _blank(opcode) for opcode in Opcode}


def row(opcode: Opcode, waits: Sequence[tuple[Unit, int]] = (), **fields: int) -> Row:
    """One decoded instruction. Fields not given are 0; tables and ``source_mask`` none; of a GATHER all slices.

    A name that the opcode does not have is a ``KeyError``. Values are not checked: ``encode`` does that.
    """
    assert len(waits) <= WAITS, f"{len(waits)} waits; an instruction carries {WAITS}"
    result = _BLANK[opcode].copy()
    for position, (unit, count) in enumerate(waits):
        result[1 + 2 * position], result[2 + 2 * position] = unit, count
    for name, value in fields.items():
        result[column(opcode, name)] = value
    return result


class Image:
    """DRAM contents under construction: pieces from address 0 on, each on a beat (16 bytes) or coarser."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, data: bytes | npt.NDArray[np.generic], align: int = BEAT_BYTES) -> int:
        """Append ``data``, padded to whole beats, and return its address."""
        self._bytes.extend(bytes(-len(self._bytes) % align))
        address = len(self._bytes)
        raw = data if isinstance(data, bytes) else np.ascontiguousarray(data).tobytes()
        self._bytes.extend(raw + bytes(-len(raw) % BEAT_BYTES))
        return address

    def reserve(self, size: int, align: int = BEAT_BYTES) -> int:
        """Append ``size`` zero bytes and return their address."""
        return self.add(bytes(size), align)

    def array(self) -> npt.NDArray[np.uint8]:
        """The contents so far, uint8."""
        return np.frombuffer(bytes(self._bytes), np.uint8).copy()


def logits_at(address: int, size: int) -> list[Output]:
    """An output of whole int32 logits, of ``size`` bytes; none if there are no bytes."""
    region = Region("output", "output", address, size)
    return [Output("output", "logits", region, 1, 1, size // 4, 1.0)] if size else []


def make_program(
    arch: ArchConfig,
    rows: Sequence[Row],
    image: Image | npt.NDArray[np.uint8] | None = None,
    *,
    input_region: tuple[int, int] = (0, 0),
    output_region: tuple[int, int] = (0, 0),
    page_size: int | None = None,
) -> Program:
    """A program of ``rows``: END appended if missing, the code put behind ``image``, pages linked.

    ``page_size`` (at most, and by default, half of the instruction memory) is the instructions of a
    page. Where the rows need several pages, each page but the last starts with the LOAD of the next
    one and ends with a NEXT that waits for it; waits on LOAD in ``rows`` count the rows' own LOADs and
    are renumbered, and so are the instructions that a SKIP leaves out. The regions are (address, size) in DRAM.
    """
    contents = image.array() if isinstance(image, Image) else np.zeros(0, np.uint8) if image is None else image
    contents = np.concatenate([contents, np.zeros(-len(contents) % BEAT_BYTES, np.uint8)])
    listing = [np.array(r, np.int64) for r in rows]
    if not listing or listing[-1][0] != Opcode.END:
        listing.append(row(Opcode.END))
    size = min(page_size or arch.page_instructions, arch.page_instructions)
    if len(listing) <= size:
        code, starts = np.stack(listing), [0]
    else:
        code, starts = _paged(arch, listing, size, len(contents))
    encoded = np.frombuffer(encode(code), np.uint8)
    return Program(
        arch=arch,
        code=code,
        image=np.concatenate([contents, encoded]),
        code_address=len(contents),
        boot_count=(starts[1] if len(starts) > 1 else len(code)),
        input_region=Region("input", "input", *input_region),
        outputs=logits_at(*output_region),
        layers=["program"] * len(code),
        layer_kinds={"program": "control"},
        page_starts=starts,
    )


def _paged(arch: ArchConfig, listing: list[Row], size: int, code_address: int) -> tuple[Row, list[int]]:
    """Split ``listing`` into pages of ``size``; both linking instructions count. Returns code and page starts."""
    assert size > 2, "a page needs room for its LOAD, its NEXT and an instruction"
    bodies, rest = [], listing
    while len(rest) > size:
        bodies.append(rest[: size - 2])
        rest = rest[size - 2 :]
    bodies.append(rest)
    counts = [len(body) + 2 for body in bodies[:-1]] + [len(bodies[-1])]
    starts = [sum(counts[:page]) for page in range(len(bodies))]
    code = np.zeros((sum(counts), COLUMNS), np.int64)
    own = np.ones(len(code), bool)  # not the linking instructions
    for page, body in enumerate(bodies):
        first = starts[page]
        code[first + (page + 1 < len(bodies)) :][: len(body)] = body
        if page + 1 < len(bodies):
            own[[first, first + counts[page] - 1]] = False
            entry = ((page + 1) % 2) * arch.page_instructions
            code[first] = row(
                Opcode.LOAD,
                space=Space.INSTRUCTIONS,
                dram_address=code_address + INSTRUCTION_BYTES * starts[page + 1],
                address=entry,
                rows=1,
                row_beats=counts[page + 1] * INSTRUCTION_BYTES // BEAT_BYTES,
            )
            code[first + counts[page] - 1] = row(Opcode.NEXT, entry=entry)
    loads = code[:, 0] == Opcode.LOAD
    so_far = np.cumsum(loads)
    # What the unit has counted once the rows' own LOAD n is complete.
    own_loads = np.concatenate([[0], so_far[loads & own]])
    for wait in range(WAITS):
        on_load = own & (code[:, 1 + 2 * wait] == Unit.LOAD)
        code[on_load, 2 + 2 * wait] = own_loads[code[on_load, 2 + 2 * wait]]
    for page, start in enumerate(starts[:-1]):
        code[start + counts[page] - 1, 1:3] = Unit.LOAD, so_far[start]
    count, places = column(Opcode.SKIP, "instructions"), np.flatnonzero(own)
    skips = np.flatnonzero(code[places, 0] == Opcode.SKIP)
    code[places[skips], count] = places[skips + code[places[skips], count]] - places[skips]
    return code, starts


def with_code(program: Program, code: Row) -> Program:
    """The program with other decoded instructions [as many, COLUMNS], in DRAM as well."""
    assert code.shape == program.code.shape, "instructions have another number"
    image = program.image.copy()
    encoded = np.frombuffer(encode(code), np.uint8)
    image[program.code_address :][: len(encoded)] = encoded
    return replace(program, code=code, image=image)


def in_sequence(rows: Sequence[Row]) -> list[Row]:
    """The rows, each waiting (in its last wait) for the unit instruction before it: no overlap, no race.

    EPILOGUE reads parameters and counts before it looks at its waits. Where tables or parameters may
    be new, an EPILOGUE without work is put before it that waits for them.
    """
    units = {f.opcode: f.unit for f in FORMATS.values()}
    counts: dict[Unit, int] = {}
    previous: tuple[Unit, int] | None = None
    result: list[Row] = []
    fresh = False

    def append(instruction: Row) -> None:
        nonlocal previous
        instruction = instruction.copy()
        unit = units[Opcode(int(instruction[0]))]
        if previous is not None:
            assert instruction[2 * WAITS - 1] == 0, "the last wait is taken"
            instruction[2 * WAITS - 1 : 2 * WAITS + 1] = previous
        if unit != Unit.SEQUENCER:
            counts[unit] = counts.get(unit, 0) + 1
            previous = (unit, counts[unit])
        result.append(instruction)

    for instruction in rows:
        if instruction[0] == Opcode.EPILOGUE and fresh:
            append(row(Opcode.EPILOGUE, tile=1))
            fresh = False
        fresh = fresh or instruction[0] in (Opcode.LOAD, Opcode.INDEX)
        append(instruction)
    return result
