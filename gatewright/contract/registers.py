"""The control registers of the accelerator and its error codes: one definition for RTL, driver, header and docs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from gatewright.contract.isa import QUEUED_UNITS


class ErrorCode(IntEnum):
    """Why the machine stopped early."""

    NONE = 0
    ILLEGAL_OPCODE = 1
    """An opcode that the ISA does not have; 0 is one, so cleared memory stops the machine."""
    STRAY_BITS = 2
    """A bit is set that no field of the opcode covers."""
    ILLEGAL_WAIT = 3
    """A wait names no unit that completes instructions."""
    WAIT_AHEAD = 4
    """A wait names an instruction that has not been dispatched: it would never be met."""
    ILLEGAL_OPERANDS = 5
    """Fields that exclude each other, or a table, mask, space or size that this machine lacks."""
    FETCH_RANGE = 6
    """The next instruction's entry is beyond the instruction memory."""
    READ_BUS = 7
    """An AXI read was answered with an error."""
    WRITE_BUS = 8
    """An AXI write was answered with an error."""
    SCRATCHPAD_PORT = 9
    """Two units used port B of the scratchpad in one cycle: the program lacks a wait."""
    ACCUMULATOR_PORT = 10
    """ARRAY and EPILOGUE used one accumulator bank in one cycle: the program lacks a wait."""
    TABLE_PORT = 11
    """INDEX and LOAD wrote the tables in one cycle: the program lacks a wait."""
    CYCLE_LIMIT = 12
    """The program ran for more cycles than register CYCLE_LIMIT allows."""


@dataclass(frozen=True)
class Bit:
    """A named bit of a register."""

    name: str
    position: int
    doc: str

    @property
    def mask(self) -> int:
        return 1 << self.position


@dataclass(frozen=True)
class Register:
    """A 32-bit register: ``access`` is ro, rw, or w1 (writing ones acts)."""

    name: str
    offset: int
    access: str
    summary: str
    bits: tuple[Bit, ...] = ()

    @property
    def doc(self) -> str:
        """Its bits, then what else there is to say."""
        bits = "; ".join(f"bit {bit.position}: {bit.doc}" for bit in self.bits)
        return ". ".join(text for text in (bits, self.summary) if text)

    def bit(self, name: str) -> Bit:
        """The bit of that name."""
        return next(bit for bit in self.bits if bit.name == name)


IDENTIFIER = 0x47575254
"""The bytes of GWRT."""

UNIT_NAMES = tuple(unit.name for unit in QUEUED_UNITS)

CONTROL = Register(
    "CONTROL",
    0x08,
    "w1",
    "",
    (Bit("START", 0, "start (ignored while busy)"), Bit("ABORT", 1, "abort, as an error with code NONE")),
)
STATUS = Register(
    "STATUS",
    0x0C,
    "w1",
    "Writing bit 1 or 2 clears it, and the interrupt with them",
    (
        Bit("BUSY", 0, "busy"),
        Bit("DONE", 1, "done"),
        Bit("ERROR", 2, "error"),
        Bit("READY", 3, "ready to start"),
    ),
)
INTERRUPT_ENABLE = Register(
    "INTERRUPT_ENABLE", 0x10, "rw", "", (Bit("ENABLE", 0, "interrupt while done or error is set"),)
)

REGISTERS: tuple[Register, ...] = (
    Register("ID", 0x00, "ro", "GWRT, 0x47575254"),
    Register("VERSION", 0x04, "ro", "version of the register map and the ISA"),  # isa.VERSION
    CONTROL,
    STATUS,
    INTERRUPT_ENABLE,
    Register("ERROR_CODE", 0x14, "ro", "see the error codes"),
    Register("ERROR_INSTRUCTION", 0x18, "ro", "instructions dispatched before the one that stopped the machine"),
    Register("ERROR_ENTRY", 0x1C, "ro", "its instruction memory entry"),
    Register("BASE", 0x20, "rw", "address of the program's image, a multiple of 4096; added to every DRAM address"),
    Register("CODE_ADDRESS", 0x24, "rw", "page 0, relative to BASE"),
    Register("BOOT_COUNT", 0x28, "rw", "instructions of page 0"),
    Register("CYCLE_LIMIT", 0x2C, "rw", "stop with an error after so many cycles; 0: never"),
    Register("CYCLES", 0x30, "ro", "cycles of the program so far, or of the last one"),
    Register("INSTRUCTIONS", 0x34, "ro", "instructions dispatched"),
    *(
        Register(f"BUSY_{name}", 0x40 + 4 * i, "ro", f"cycles in which {name} had an instruction under way")
        for i, name in enumerate(UNIT_NAMES)
    ),
    *(
        Register(f"COMPLETED_{name}", 0x60 + 4 * i, "ro", f"instructions that {name} completed")
        for i, name in enumerate(UNIT_NAMES)
    ),
    Register("ROWS", 0x80, "ro", "rows of the array"),
    Register("COLUMNS", 0x84, "ro", "columns of the array"),
    Register("SCRATCHPAD_KIB", 0x88, "ro", "scratchpad size in KiB"),
    Register("PATCH_KIB", 0x8C, "ro", "patch buffer size in KiB"),
    Register("WEIGHT_KIB", 0x90, "ro", "weight buffer size in KiB"),
    Register("ACCUMULATOR_DEPTH", 0x94, "ro", "entries of an accumulator bank"),
    Register("TABLE_ENTRIES", 0x98, "ro", "entries of an index table"),
    Register("INSTRUCTION_ENTRIES", 0x9C, "ro", "entries of the instruction memory"),
    Register("SOURCE_HASH", 0xA0, "ro", "first 32 bits of the hash of the sources that made this RTL"),
    Register("IMAGES", 0xA4, "rw", "images of a start; 0 counts as 1"),
    Register("IMAGE", 0xA8, "ro", "images that have ended since the start"),
    *(
        Register(f"{ring}_{name}", first + 4 * i, "rw", f"ring of {ring.lower()}s: {summary}")
        for first, ring in ((0xB0, "INPUT"), (0xC0, "OUTPUT"))
        for i, (name, summary) in enumerate(
            (
                ("OFFSET", "bytes from the program's own place to that of image 0, modulo 2^32"),
                ("STRIDE", "bytes from an image's place to the next"),
                ("SLOTS", "images until the first place comes again; 0: never"),
            )
        )
    ),
)

ADDRESS_BITS = 8
"""Bits of a register's byte address."""
