"""The report as files: data and page together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gatewright.contract.errors import GatewrightError
from gatewright.report.comparison import render_comparison
from gatewright.report.html import render_html


def write_report(report: dict[str, Any], folder: str | Path) -> tuple[Path, Path]:
    """Write ``report.json`` and ``report.html`` into ``folder``; both appear whole, or neither is touched."""
    return write_pages(report, render_html(report), folder, "report")


def write_comparison(found: dict[str, Any], folder: str | Path) -> tuple[Path, Path]:
    """Write ``comparison.json`` and ``comparison.html``, as ``write_report`` does."""
    return write_pages(found, render_comparison(found), folder, "comparison")


def write_pages(data: dict[str, Any], page: str, folder: str | Path, name: str) -> tuple[Path, Path]:
    """Write data and page as ``name``.json and ``name``.html into ``folder``, both or neither."""
    folder = Path(folder)
    texts = {
        folder / f"{name}.json": json.dumps(data, indent=1, allow_nan=False) + "\n",
        folder / f"{name}.html": page,
    }
    if folder.exists() and not folder.is_dir():
        raise GatewrightError(f"cannot write the {name}: {folder} is a file; name a folder")
    partials = {path: path.with_name(path.name + ".partial") for path in texts}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            partials[path].write_text(text, encoding="utf-8")
        for path, partial in partials.items():
            partial.replace(path)
    except OSError as error:
        raise GatewrightError(f"cannot write the {name} to {folder}: {error}") from error
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
    return folder / f"{name}.json", folder / f"{name}.html"
