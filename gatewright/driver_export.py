"""What a board needs: the driver as a folder that stands alone, and a program's file with its listing."""

from __future__ import annotations

import shutil
from pathlib import Path

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.listing.assembler import disassemble
from gatewright.listing.driver_registers import driver_registers

NAME = "gatewright_driver"
"""The folder's name, and that of the package where it is imported."""

REGISTERS = "registers.py"


def export_driver(directory: Path, arch: ArchConfig | None = None) -> Path:
    """Copy the driver into ``directory``/gatewright_driver, with the contract's numbers as they are now.

    The machine says by its registers what it is, so that one driver serves every ``arch``.
    """
    target = directory / NAME
    source = Path(__file__).parent / "driver"
    try:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for path in sorted(source.glob("*.py")):
            shutil.copyfile(path, target / path.name)
        (target / REGISTERS).write_text(driver_registers())
    except OSError as error:
        raise GatewrightError(f"cannot write {target}: {error.strerror}") from error
    return target


def export_program(program: Program, directory: Path, name: str = "program") -> Path:
    """Write the program's file and, for errors, its listing beside it; the file's path."""
    path = directory / f"{name}.safetensors"
    program.save(path)
    path.with_suffix(".s").write_text(disassemble(program))
    return path
