"""A program in the making: assembly text, line by line, and the DRAM around it.

Every instruction waits for the one before it, so that no two units ever work at once: a fault is that of the unit at
work. Pages follow one another by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, INSTRUCTION_BYTES, ArchConfig
from gatewright.contract.encodings import INSTRUCTION_BEATS
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import COUNT_BITS, FORMATS, NO_MASK, NO_TABLE, Opcode, Space, Unit
from gatewright.contract.program import Program
from gatewright.contract.program_parts import Output, Region
from gatewright.listing.assembler import assemble, number_of_none

ALIGNMENT = 64
"""Of every piece of the DRAM image."""

PAGE = 64
"""Instructions of a page, or half of the memory if that is less."""


@dataclass
class _Line:
    """An instruction: the step it belongs to, its wait, and its fields; those of a page's LOAD come at the end."""

    step: str
    opcode: Opcode
    after: tuple[Unit, int] | None
    fields: dict[str, int]

    def text(self) -> str:
        wait = "" if self.after is None else f"after {self.after[0].name}:{self.after[1] % (1 << COUNT_BITS)} "
        whole = {item.name: number_of_none(item.name) or 0 for item in FORMATS[self.opcode].fields} | self.fields
        return f"{self.opcode.name} {wait}{' '.join(f'{name}={value}' for name, value in whole.items())} ; {self.step}"


@dataclass
class Script:
    """Instructions and data of a program for ``arch``; ``program`` puts them together."""

    arch: ArchConfig
    step: str = "start"
    """What the instructions that follow belong to."""
    _lines: list[_Line] = field(default_factory=list)
    _pages: list[int] = field(default_factory=lambda: [0])
    _counts: dict[Unit, int] = field(default_factory=dict)
    _before: tuple[Unit, int] | None = None
    _fresh: bool = False
    _image: bytearray = field(default_factory=bytearray)
    _outputs: list[Output] = field(default_factory=list)

    def data(self, values: npt.NDArray[np.generic]) -> int:
        """Bytes in DRAM, padded to whole beats; their address."""
        raw = np.ascontiguousarray(values).tobytes()
        address = len(self._image)
        self._image.extend(raw + bytes(-len(raw) % ALIGNMENT))
        return address

    def output(self, name: str, size: int) -> int:
        """Room in DRAM for ``size`` bytes that the program gives as a map of that name; its address."""
        region = Region(name, "output", self.data(np.zeros(size, np.uint8)), size)
        self._outputs.append(Output(name, "map", region, 1, 1, size, 1.0))
        return region.address

    def emit(self, opcode: Opcode, **fields: int) -> None:
        """Append an instruction; fields that are not given are 0, tables and masks none.

        An EPILOGUE looks at tables and parameters before it waits: where they are new, one without work waits first.
        """
        if opcode == Opcode.EPILOGUE and self._fresh:
            self._fresh = False
            self.emit(Opcode.EPILOGUE, tile=1)
        self._fresh = self._fresh or opcode in (Opcode.LOAD, Opcode.INDEX)
        if len(self._lines) - self._pages[-1] == self._page - 2:
            self._turn_page()
        self._append(opcode, fields)

    @property
    def _page(self) -> int:
        return min(PAGE, self.arch.page_instructions)

    def _append(self, opcode: Opcode, fields: dict[str, int]) -> None:
        self._lines.append(_Line(self.step, opcode, self._before, fields))
        unit = FORMATS[opcode].unit
        if unit != Unit.SEQUENCER:
            self._counts[unit] = self._counts.get(unit, 0) + 1
            self._before = unit, self._counts[unit]

    def _turn_page(self) -> None:
        entry = len(self._pages) % 2 * self.arch.page_instructions
        self._append(Opcode.LOAD, {"space": Space.INSTRUCTIONS, "address": entry, "rows": 1})
        self._append(Opcode.NEXT, {"entry": entry})
        self._pages.append(len(self._lines))

    def load(self, space: Space, dram: int, size: int, address: int = 0, **fields: int) -> None:
        """LOAD of ``size`` bytes, whole beats, in rows of 4 KiB at most that lie side by side."""
        for first in range(0, size, 4096):
            beats = -(-min(4096, size - first) // BEAT_BYTES)
            step = first if space == Space.SCRATCHPAD else first // 8 if space == Space.PARAMETERS else 0
            self.emit(
                Opcode.LOAD,
                space=space,
                dram_address=dram + first,
                address=address + step,
                rows=1,
                row_beats=beats,
                row_stride=beats * BEAT_BYTES,
                **fields,
            )

    def store(self, name: str, address: int, size: int) -> None:
        """Give ``size`` bytes of the scratchpad, padded to whole beats, as an output."""
        self.emit(Opcode.STORE, dram_address=self.output(name, size), address=address, beats=-(-size // BEAT_BYTES))

    def program(self) -> tuple[Program, str]:
        """The program, and the text that it was assembled from."""
        self._append(Opcode.END, {})
        code_address = len(self._image)
        ends = [*self._pages[1:], len(self._lines)]
        for page, (first, end) in enumerate(pairwise(ends)):
            line = self._lines[self._pages[page + 1] - 2]
            line.fields |= {
                "dram_address": code_address + first * INSTRUCTION_BYTES,
                "row_beats": (end - first) * INSTRUCTION_BEATS,
            }
        lines = [f".arch {self.arch.name}", f".code_address {code_address}", f".boot_count {ends[0]}"]
        for number, line in enumerate(self._lines):
            lines += [f".page {self._pages.index(number)}"] if number in self._pages else []
            lines.append(f"{number} {line.text()}")
        text = "\n".join(lines) + "\n"
        assembly = assemble(text)
        code = np.frombuffer(encode(assembly.code), np.uint8)
        program = Program(
            arch=self.arch,
            code=assembly.code,
            image=np.concatenate([np.frombuffer(bytes(self._image), np.uint8), code]),
            code_address=code_address,
            boot_count=ends[0],
            input_region=Region("input", "input", 0, 0),
            outputs=self._outputs,
            layers=[line.step for line in self._lines],
            layer_kinds={line.step: "control" for line in self._lines},
            page_starts=assembly.page_starts,
        )
        return program, text


assert number_of_none("filter_table") == NO_TABLE and number_of_none("source_mask") == NO_MASK
