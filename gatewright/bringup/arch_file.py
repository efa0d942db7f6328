"""An arch file of a machine, as ``load_arch`` reads it."""

from __future__ import annotations

from gatewright.contract.arch import ArchConfig
from gatewright.contract.formats import ARCH


def arch_toml(arch: ArchConfig, title: str) -> str:
    """The text of the file, under a comment. The machine's name is the file's, so it is not in it."""
    parameters = {key: value for key, value in arch.to_dict().items() if key not in ("name", "dram")}
    lines = [f"# {title}", "", f'format = "{ARCH.name}"']
    lines += [f"{key} = {_plain(value)}" for key, value in parameters.items()]
    lines += ["", "[dram]", *(f"{key} = {_plain(value)}" for key, value in vars(arch.dram).items())]
    return "\n".join(lines) + "\n"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
