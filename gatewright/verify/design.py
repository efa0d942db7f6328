"""The machine's Verilog, converted once per state of its sources and architecture."""

from __future__ import annotations

import importlib.metadata

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.sources import sources_digest
from gatewright.verify.tools import builds_folder, locked

NAME = "gatewright"
"""The Verilog module."""


def machine_verilog(arch: ArchConfig) -> str:
    """Verilog of ``gatewright.hw.top.Accelerator(arch)``, module ``gatewright``."""
    try:
        amaranth = importlib.metadata.version("amaranth")
    except importlib.metadata.PackageNotFoundError as error:
        raise GatewrightError("the package amaranth is missing; install it with: pip install amaranth") from error
    key = sources_digest("contract", "hw", salt=repr((sorted(arch.to_dict().items()), amaranth)))[:16]
    path = builds_folder() / f"{NAME}-{key}.v"
    with locked(path.with_suffix(".lock")):
        if not path.is_file():
            partial = path.with_suffix(".partial")
            partial.write_text(_convert(arch))
            partial.replace(path)
        return path.read_text()


def _convert(arch: ArchConfig) -> str:
    from gatewright.hw.verilog.generate import to_verilog

    return to_verilog(arch)
