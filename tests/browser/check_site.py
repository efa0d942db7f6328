"""The documentation's site (make site): every page in a narrow and a wide window; keys, search and links."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser.chromium import Opened, open_page

SITE = Path(__file__).resolve().parents[2] / "build" / "site"
PROBES = ("scrolls", "cut", "small", "pictures", "faint")
RULES = {"rules": {"landmark-unique": {"enabled": False}}}
"""All of axe's but one: the theme's menus are landmarks, and several have one name."""
WINDOWS = ((390, "light"), (1400, "dark"))
LOOKED_AT = (
    "index",
    "first-answer",
    "isa",
    "timing",
    "equality",
    "afternoon",
    "papers/dgnet",
    "source/examples/space.toml",
)
"""Pages of each kind: axe's rules are tried on these, and they have pictures."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The site's address on this machine: its search needs a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(SITE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        paths = [path for path in SITE.rglob("*.html") if "source" not in path.parts and path.name != "404.html"]
        assert paths, f"no site in {SITE}: make site"
        metafunc.parametrize("name", sorted(str(path.relative_to(SITE).with_suffix("")) for path in paths))


def _open(browser: Browser, served: str, name: str, width: int, scheme: str) -> Opened:
    opened = open_page(browser, f"{served}/{name}.html", width, scheme)
    opened.page.wait_for_load_state("networkidle")
    return opened


def _faults(opened: Opened, served: str) -> list[str]:
    faults = [f"{what}: {fault}" for what in PROBES for fault in opened.faults(what)]
    return [*faults, *opened.said, *(f"asks for {url}" for url in opened.asked if not url.startswith(f"{served}/"))]


@pytest.mark.parametrize(("width", "scheme"), WINDOWS)
def test_a_page_is_whole_and_readable(browser: Browser, served: str, name: str, width: int, scheme: str) -> None:
    opened = _open(browser, served, name, width, scheme)
    faults = _faults(opened, served)
    opened.page.context.close()
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize("scheme", ("light", "dark"))
@pytest.mark.parametrize("width", (390, 1400))
@pytest.mark.parametrize("kind", LOOKED_AT)
def test_axe_finds_nothing(
    browser: Browser, served: str, request: pytest.FixtureRequest, kind: str, width: int, scheme: str
) -> None:
    opened = _open(browser, served, kind, width, scheme)
    pictures = request.config.getoption("--pictures")
    if pictures is not None:
        opened.page.screenshot(path=pictures / f"site-{kind.replace('/', '-')}-{width}-{scheme}.png", full_page=False)
    found = Axe().run(opened.page, options=RULES)
    opened.page.context.close()
    assert found.violations_count == 0, found.generate_report()


def _start(browser: Browser, served: str) -> Page:
    return _open(browser, served, "index", 1400, "light").page


def test_keys_lead_to_a_page_and_back(browser: Browser, served: str) -> None:
    """Tab to the first link of the text that leads elsewhere, Enter, and the browser's way back."""
    page = _start(browser, served)
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('article a[href=\"first-answer.html\"]')"):
            break
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.url == f"{served}/first-answer.html"
    assert page.locator("article h1").inner_text().startswith("The first answer")
    page.go_back()
    assert page.url == f"{served}/index.html"
    page.context.close()


def test_the_first_key_skips_the_menu(browser: Browser, served: str) -> None:
    page = _start(browser, served)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className").split()[0] == "md-skip"
    page.keyboard.press("Enter")
    assert "#" in page.url
    page.context.close()


@pytest.mark.parametrize(
    ("words", "leads_to"), [("waterfall", "flow"), ("scratchpad_kib", "your-own-machine"), ("EPILOGUE", "isa")]
)
def test_search_by_keys_finds(browser: Browser, served: str, words: str, leads_to: str) -> None:
    page = _start(browser, served)
    page.keyboard.press("/")
    page.keyboard.type(words)
    page.wait_for_selector(".md-search-result__item a")
    found = page.eval_on_selector_all(".md-search-result__item a", "links => links.map(link => link.href)")
    assert any(f"/{leads_to}.html" in link for link in found), found
    page.keyboard.press("ArrowDown")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.locator("article h1").count() == 1
    page.context.close()
