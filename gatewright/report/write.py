"""The report as files: data and page together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gatewright.contract.errors import GatewrightError
from gatewright.report.html import render_html


def write_report(report: dict[str, Any], folder: str | Path) -> tuple[Path, Path]:
    """Write ``report.json`` and ``report.html`` into ``folder``; both appear whole, or neither is touched."""
    folder = Path(folder)
    texts = {
        folder / "report.json": json.dumps(report, indent=1, allow_nan=False) + "\n",
        folder / "report.html": render_html(report),
    }
    if folder.exists() and not folder.is_dir():
        raise GatewrightError(f"cannot write the report: {folder} is a file; name a folder")
    partials = {path: path.with_name(path.name + ".partial") for path in texts}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            partials[path].write_text(text, encoding="utf-8")
        for path, partial in partials.items():
            partial.replace(path)
    except OSError as error:
        raise GatewrightError(f"cannot write the report to {folder}: {error}") from error
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
    return folder / "report.json", folder / "report.html"
