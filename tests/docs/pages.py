"""Run the code of pages that claim to be runnable.

A page claims it with a comment, ``<!-- run -->``, or ``<!-- run: slow -->`` where it takes more than some seconds: from
there to ``<!-- end of run -->``, or the page's end, its blocks of ``sh`` and ``python`` run one after the other in one
new folder. A block behind ``<!-- fails -->`` must end with an error. A block of ``text`` behind one is what it must
print; a line ``...`` in it stands for any lines. Other blocks are not run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs"

_PIECE = re.compile(
    r"^<!-- (?P<mark>run|run: slow|end of run|fails) -->$|^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_RUN = ("sh", "python")


@dataclass(frozen=True)
class Block:
    """Code that runs, from a line of its page; ``printed`` is what the page says that it prints."""

    language: str
    text: str
    line: int
    fails: bool
    printed: str | None


@dataclass(frozen=True)
class Part:
    """Blocks that run in one folder."""

    page: str
    slow: bool
    blocks: tuple[Block, ...]


def parts_of(text: str, page: str) -> list[Part]:
    """The parts of a page that claim to be runnable."""
    found: list[tuple[bool, list[Block]]] = []
    inside = fails = False
    for piece in _PIECE.finditer(text):
        mark, language = piece["mark"], piece["language"]
        if mark in ("run", "run: slow"):
            assert not inside, f"{page}: a run inside of a run"
            found.append((mark == "run: slow", []))
            inside = True
        elif mark == "end of run":
            inside = False
        elif mark == "fails":
            fails = True
        elif inside and language in _RUN:
            line = text.count("\n", 0, piece.start()) + 2
            found[-1][1].append(Block(language, piece["text"], line, fails, None))
            fails = False
        elif inside and language == "text" and found[-1][1]:
            last = found[-1][1].pop()
            found[-1][1].append(Block(last.language, last.text, last.line, last.fails, piece["text"]))
    return [Part(page, slow, tuple(blocks)) for slow, blocks in found]


def all_parts() -> Iterator[Part]:
    """Those of all pages."""
    for path in sorted(PAGES.rglob("*.md")):
        yield from parts_of(path.read_text(), path.relative_to(PAGES).as_posix())


def fault_of(block: Block, folder: Path) -> str:
    """Run a block in a folder; what is wrong with it, or nothing."""
    command = (
        ["bash", "-euo", "pipefail", "-c", block.text] if block.language == "sh" else [sys.executable, "-c", block.text]
    )
    settings = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)
    if (done.returncode != 0) != block.fails:
        return f"it ends with {done.returncode}:\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
    if block.printed is not None and not says(block.printed, done.stdout):
        return f"it prints\n{done.stdout}and not\n{block.printed}"
    return ""


def says(expected: str, printed: str) -> bool:
    """Whether ``printed`` is ``expected``, in which a line of three dots stands for any lines."""
    lines = [".*\n" if line == "..." else re.escape(line) + r"\s*\n" for line in expected.splitlines()]
    pattern = "".join("(?:.*\n)*" if line == ".*\n" else line for line in lines)
    return re.fullmatch(pattern, printed if printed.endswith("\n") else printed + "\n") is not None
