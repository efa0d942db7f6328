"""Templates of this package, strictly: what is not given is an error."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined


def render(template: str, **values: Any) -> str:
    """The text of ``templates/TEMPLATE.j2``; in one of XML values are escaped."""
    files = resources.files("gatewright.vivado") / "templates"
    environment = Environment(
        autoescape=template.endswith(".xml"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["hex"] = lambda value: f"0x{value:08X}"
    return environment.from_string((files / f"{template}.j2").read_text("utf-8")).render(**values)
