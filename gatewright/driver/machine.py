"""What the driver asks of a machine: registers, memory, and that time passes."""

from __future__ import annotations

from typing import Any, Protocol

from .errors import WrongMachineError
from .program import Program
from .registers import DESCRIBING, IDENTIFIER, OFFSETS, VERSION


class Machine(Protocol):
    """A board's, the Verilated RTL, or a simulator behind registers."""

    def read(self, offset: int) -> int:
        """A register."""

    def write(self, offset: int, value: int) -> None:
        """A register."""

    def allocate(self, size: int) -> Any:
        """Bytes, uint8 [size], as ``pynq.allocate`` gives them: ``device_address``, ``flush``, ``invalidate`` and
        ``freebuffer``."""

    def wait(self, seconds: float) -> bool:
        """Until the interrupt (True), or so long."""

    def idle(self) -> None:
        """Let some time pass, between two looks at a register."""


class Registers:
    """A machine's registers by name."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def __getitem__(self, name: str) -> int:
        return int(self._machine.read(OFFSETS[name]))

    def __setitem__(self, name: str, value: int) -> None:
        self._machine.write(OFFSETS[name], value & 0xFFFF_FFFF)


def identify(registers: Registers) -> dict[str, int]:
    """What the registers say of the machine, by register; one that is no such machine is an error."""
    found = registers["ID"]
    if found != IDENTIFIER:
        raise WrongMachineError(
            f"register ID holds {found:#010x}, and not {IDENTIFIER:#010x}: there is no Gatewright at this address; "
            "load the bitstream, and look at the name of the IP and its address"
        )
    if registers["VERSION"] != VERSION:
        raise WrongMachineError(
            f"the machine has version {registers['VERSION']} of registers and instructions, this driver {VERSION}; "
            "take the driver that was written out with the bitstream"
        )
    return {name: registers[name] for name in ("ID", "VERSION", *DESCRIBING, "SOURCE_HASH")}


def check_machine(found: dict[str, int], program: Program) -> None:
    """Whether the machine whose registers say so is the one that the program was compiled for."""
    arch = program.arch
    wrong = [
        f"{key} = {found[register]}, the program needs {arch[key]}"
        for register, key in DESCRIBING.items()
        if found[register] != arch[key]
    ]
    if wrong:
        raise WrongMachineError(
            f"{program.path.name} was compiled for arch {arch['name']} ({arch['rows']}x{arch['columns']}), and this "
            f"machine ({found['ROWS']}x{found['COLUMNS']}) has {'; '.join(wrong)}: compile the network for this "
            "machine, or load the other bitstream"
        )
