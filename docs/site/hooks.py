"""What the site adds to the pages: links out of docs/, the equality card, timing diagrams, lists as GitHub reads them.

Pages are written for a reader in the repository. A link to a file that is not under docs/ leads, on the site, to a page
that shows it: Markdown as a page, everything else as text with colours. So the site needs no other server.
"""

from __future__ import annotations

import html
import json
import posixpath
import re
from pathlib import Path
from typing import Any

import wavedrom
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
AT_THE_TOP = ("CONTRIBUTING.md", "CHANGELOG.md")
"""Files of the root that have pages of their own in the nav."""
CARD = ROOT / "build" / "equality" / "equality.md"
NO_CARD = """# The equality card

What was compared between RTL and simulators, row by row, is made for a release, in hours: `make equality`. This site
was built without it.
"""

_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_FENCE = re.compile(r"^( *)```.*?^\1```[ ]*$", re.MULTILINE | re.DOTALL)
_DIAGRAM = re.compile(r"^!\[([^\]]*)\]\(((?:[\w-]+/)*[\w-]+\.wave\.json)\)$", re.MULTILINE)
_ITEM = re.compile(r"^(\*|-|\d\.) +")
_LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".sv": "systemverilog"}


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each file outside of docs/ that a page links to, and what those link to."""
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()] + list(AT_THE_TOP)
    seen = set(waiting)
    card = CARD.read_text() if CARD.is_file() else NO_CARD
    files.append(File.generated(config, "equality.md", content=card))
    while waiting:
        path = waiting.pop()
        text = (ROOT / path).read_text()
        if not path.startswith("docs/"):
            files.append(File.generated(config, _page(path), content=_shown(path, text)))
        if path.endswith(".md"):
            new = {target for target in _targets(path, text) if not target.startswith("docs/")} - seen
            seen |= new
            waiting += sorted(new)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as the site has them, and diagrams as drawings."""
    path = _source(page.file.src_uri)
    if not path.endswith(".md"):
        return markdown

    def link(found: re.Match[str]) -> str:
        target = _target(path, found[2])
        if target is None:
            return found[0]
        there = posixpath.relpath(_page(target), posixpath.dirname(page.file.src_uri) or ".")
        return f"{found[1]}{there}{found[3] or ''}{found[4]}"

    def diagram(found: re.Match[str]) -> str:
        waves = json.loads((ROOT / posixpath.dirname(path) / found[2]).read_text())
        drawing = wavedrom.render(json.dumps(waves)).tostring()
        return f'<figure class="waves" role="img" aria-label="{html.escape(found[1])}">{drawing}</figure>'

    if _DIAGRAM.search(markdown) or page.file.src_uri == "equality.md":
        page.meta["hide"] = ["toc"]  # diagrams are wide, and so are the card's tables
    return _outside_fences(_lists(markdown), lambda text: _LINK.sub(link, _DIAGRAM.sub(diagram, text)))


def on_post_page(output: str, page: Any, config: Any) -> str:
    """A name for the theme's search, which screen readers would call a dialog."""
    return output.replace(
        'data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"'
    )


def _outside_fences(text: str, change: Any) -> str:
    """Change a page's text, but for its code."""
    pieces, at = [], 0
    for fence in _FENCE.finditer(text):
        pieces += [change(text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*pieces, change(text[at:])])


def _lists(text: str) -> str:
    """Lists as Python's Markdown reads them: an empty line in front, four spaces for all that belongs to an item."""
    lines: list[str] = []
    indent, fenced = 0, False  # what an item's lines begin with; whether in code outside of lists
    for line in text.split("\n"):
        item = None if fenced else _ITEM.match(line)
        if item:
            if lines and lines[-1].strip() and not indent:
                lines.append("")
            indent = len(item[0])
            line = f"{item[1]}{' ' * (4 - len(item[1]))}{line[indent:]}"
        elif indent and line.startswith(" " * indent):
            line = "    " + line[indent:]
        elif line.strip():
            indent = 0
            fenced ^= line.startswith("```")
        lines.append(line)
    return "\n".join(lines)


def _target(path: str, link: str) -> str | None:
    """The file of the repository that a link of the file ``path`` leads to; None for addresses elsewhere."""
    if re.match(r"[a-z]+:", link):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _targets(path: str, text: str) -> set[str]:
    found = {_target(path, link[2]) for link in _LINK.finditer(_FENCE.sub("", text))}
    return {target for target in found if target is not None and (ROOT / target).is_file()}


def _page(path: str) -> str:
    """The site's page for a file of the repository."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return path if path in AT_THE_TOP else f"source/{path.removesuffix('.md')}.md"


def _source(page: str) -> str:
    """The other way round; of a page that shows code the file without ``.md``, which no link is looked for in."""
    if page in AT_THE_TOP:
        return page
    if not page.startswith("source/"):
        return f"docs/{page}"
    path = page.removeprefix("source/")
    return path if (ROOT / path).is_file() else path.removesuffix(".md")


def _shown(path: str, text: str) -> str:
    if path.endswith(".md"):
        return text
    return f"# {path}\n\n````{_LANGUAGES.get(Path(path).suffix, 'text')}\n{text}````\n"
