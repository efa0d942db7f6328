"""Where the processor finds the machine and its interrupts, and what of memory the machine reaches: one table.

The block design, the IP's memory map and the written ``address_map.json`` read it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatewright.contract import axi, registers

SMALLEST_SEGMENT = 4096
"""The least that a block design maps. The registers' ``1 << ADDRESS_BITS`` bytes come again and again in it."""

assert SMALLEST_SEGMENT >= 1 << registers.ADDRESS_BITS


@dataclass(frozen=True)
class Segment:
    """A range of a master's addresses that belongs to a slave's address block, in bytes."""

    master: str
    """The master's address space in the block design, CELL/SPACE."""
    slave: str
    """The slave's address block there, CELL/INTERFACE/BLOCK."""
    base: int
    size: int
    doc: str

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.base + self.size


MACHINE = "gatewright_0"
"""The machine's cell in the block design; the driver asks for it by this name."""

PROCESSOR, INTERRUPTS = "zynq_ps", "interrupts"

CONTROL_PORT, MEMORY_PORT = "s_axi", "m_axi"
"""The machine's bus interfaces; its Verilog ports begin with these names."""

REGISTER_BLOCK = "registers"

SEGMENTS: tuple[Segment, ...] = (
    Segment(
        f"{PROCESSOR}/Data",
        f"{MACHINE}/{CONTROL_PORT}/{REGISTER_BLOCK}",
        0xA000_0000,
        SMALLEST_SEGMENT,
        "the machine's control registers",
    ),
    Segment(
        f"{PROCESSOR}/Data",
        f"{INTERRUPTS}/S_AXI/Reg",
        0xA001_0000,
        0x1_0000,
        "the interrupt controller through which the machine's interrupt comes",
    ),
    Segment(
        f"{MACHINE}/{MEMORY_PORT}",
        f"{PROCESSOR}/SAXIGP2/HP0_DDR_LOW",
        0x0000_0000,
        0x8000_0000,
        "the lower 2 GiB of DRAM, by port HP0; register BASE and every address of a program lie in them",
    ),
)

assert all(segment.end <= 1 << axi.ADDRESS_BITS and segment.base % segment.size == 0 for segment in SEGMENTS)
