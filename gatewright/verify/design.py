"""The machine's Verilog, converted once per state of its sources and architecture."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

from gatewright.arch import ArchConfig
from gatewright.errors import GatewrightError
from gatewright.verify.runner import builds_folder, locked

NAME = "gatewright"
"""The Verilog module."""


def machine_verilog(arch: ArchConfig) -> str:
    """Verilog of ``gatewright.hw.top.Accelerator(arch)``, module ``gatewright``."""
    package = Path(__file__).resolve().parents[1]
    hashed = hashlib.sha256(repr(sorted(arch.to_dict().items())).encode())
    for path in [*sorted(package.glob("*.py")), *sorted((package / "hw").rglob("*.py"))]:
        hashed.update(path.read_bytes())
    try:
        hashed.update(importlib.metadata.version("amaranth").encode())
    except importlib.metadata.PackageNotFoundError as error:
        raise GatewrightError("the package amaranth is missing; install it with: pip install amaranth") from error
    path = builds_folder() / f"{NAME}-{hashed.hexdigest()[:16]}.v"
    with locked(path.with_suffix(".lock")):
        if not path.is_file():
            partial = path.with_suffix(".partial")
            partial.write_text(_convert(arch))
            partial.replace(path)
        return path.read_text()


def _convert(arch: ArchConfig) -> str:
    from gatewright.hw.generate import to_verilog

    return to_verilog(arch)
