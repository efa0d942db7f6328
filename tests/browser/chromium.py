"""A headless Chromium as fixtures: a plugin of pytest (``-p tests.browser.chromium --pages FOLDER``)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PROBE = Path(__file__).with_name("probe.js").read_text()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("browser")
    group.addoption("--pages", type=Path, required=True, help="Folder that tests.browser.pages has filled.")
    group.addoption("--pictures", type=Path, help="Folder for a picture of each page.")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium: no copy of one is downloaded."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    assert program, f"none of {', '.join(PROGRAMS)} is installed (Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        # As root, as in a container, Chromium does not start with its sandbox; the pages are our own.
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@dataclass
class Opened:
    """A page, what its console said, and what it asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def faults(self, what: str) -> list[str]:
        """What one function of probe.js has to say."""
        found: list[str] = self.page.evaluate(f"({{{PROBE}}}).{what}()")
        return found


@cache
def address(path: Path) -> str:
    return path.resolve().as_uri()


def open_page(browser: Browser, url: str, width: int, scheme: str, height: int = 900) -> Opened:
    """The page at ``url`` in a window of its own, loaded; the caller closes its context."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    opened = Opened(context.new_page())

    def asked(request: Request) -> None:
        opened.asked.append(request.url)

    opened.page.on("console", lambda message: opened.said.append(f"{message.type}: {message.text}"))
    opened.page.on("pageerror", lambda error: opened.said.append(f"error: {error}"))
    opened.page.on("request", asked)
    opened.page.goto(url, wait_until="load")
    return opened
