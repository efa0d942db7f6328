"""Check the documentation: the generated pages are current, links lead somewhere, commands exist.

Looks at README.md, CHANGELOG.md, CONTRIBUTING.md and the pages under docs/. Prints every fault; exits with 1 if there
is one.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import click

from gatewright.cli.commands_page import commands_page
from gatewright.cli.main import main
from gatewright.listing.formats_page import formats_page
from gatewright.listing.isa_page import isa_page
from gatewright.listing.registers_page import registers_page
from gatewright.models.zoo.catalogue import card, names
from gatewright.models.zoo.table import zoo_table

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def link_faults(page: Path) -> list[str]:
    """Relative links whose file or heading is not there."""
    text = page.read_text()
    faults = []
    for match in LINK.finditer(FENCE.sub("", text)):
        target = match.group(1) or match.group(2)
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists():
            faults.append(f"{page.name}: the link {target} leads nowhere")
        elif anchor and path.suffix == ".md" and anchor not in anchors(path.read_text()):
            faults.append(f"{page.name}: the link {target} names no heading of {path.name}")
    return faults


def commands(text: str) -> list[list[str]]:
    """The calls of gatewright in a page's code blocks, as words; a backslash continues a line."""
    found = []
    for _, block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.strip().removeprefix("$ ").split()
            if words and Path(words[0]).name == "gatewright":
                found.append(shlex.split(line.strip().removeprefix("$ "), comments=True)[1:])
    return found


def command_faults(page: Path) -> list[str]:
    """Calls of commands or options that do not exist."""
    faults = []
    for words in commands(page.read_text()):
        options = {name for parameter in main.params for name in parameter.opts} | {"-h", "--help"}
        if words and not words[0].startswith("-"):
            command = main.commands.get(words[0])
            if not isinstance(command, click.Command):
                faults.append(f"{page.name}: there is no command gatewright {words[0]}")
                continue
            options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            options |= {"-h", "--help"}
        for word in words:
            name = word.split("=")[0]
            if re.match(r"--?[a-z]", name) and name not in options:
                faults.append(f"{page.name}: gatewright {words[0]} has no option {name}")
    return faults


def faults() -> list[str]:
    """Everything that is wrong with the documentation."""
    found = []
    generated = {
        "isa": isa_page(),
        "registers": registers_page(),
        "formats": formats_page(),
        "commands": commands_page(main),
    }
    for name, text in generated.items():
        if (ROOT / "docs" / f"{name}.md").read_text() != text:
            found.append(f"docs/{name}.md is not what gatewright isa prints; run make isa")
    if zoo_table([card(name) for name in names()]) not in (ROOT / "docs" / "training.md").read_text():
        found.append("docs/training.md lacks the table that gatewright zoo --markdown prints")
    nav = (ROOT / "mkdocs.yml").read_text().split("\nnav:\n")[1]
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = page.relative_to(ROOT / "docs").as_posix()
        if not re.search(rf"^ +- (?:.*: )?{re.escape(name)}$", nav, re.MULTILINE):
            found.append(f"docs/{name} is not in the nav of mkdocs.yml")
    pages = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    for page in [*(p for p in pages if p.exists()), *sorted((ROOT / "docs").rglob("*.md"))]:
        found += link_faults(page) + command_faults(page)
    return found


if __name__ == "__main__":
    wrong = faults()
    print("\n".join(wrong) or "the documentation is in order")
    sys.exit(bool(wrong))
