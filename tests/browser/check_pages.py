"""What holds for every page, in a narrow and a wide window, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator

from tests.browser.chromium import Opened, address, open_page

WIDTHS = (390, 1400)
SCHEMES = ("light", "dark")
PROBES = ("scrolls", "cut", "small", "pictures", "labels", "faint", "pale")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A run for each page that was made."""
    if "path" in metafunc.fixturenames:
        folder: Path = metafunc.config.getoption("--pages")
        paths = sorted(folder.rglob("*.html"))
        assert paths, f"no pages in {folder}: python -m tests.browser.pages makes them"
        metafunc.parametrize(
            "path", paths, ids=lambda path: str(path.relative_to(folder).with_suffix("")), scope="module"
        )


@pytest.fixture(
    scope="module",
    params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES],
    ids=lambda window: f"{window[0]}-{window[1]}",
)
def opened(request: pytest.FixtureRequest, browser: Browser, path: Path) -> Iterator[Opened]:
    width, scheme = request.param
    found = open_page(browser, address(path), width, scheme)
    yield found
    pictures = request.config.getoption("--pictures")
    if pictures is not None:
        name = f"{path.parent.name}-{path.stem}-{width}-{scheme}.png"
        found.page.screenshot(path=pictures / name, full_page=True)
    found.page.context.close()


def test_the_page_is_whole_readable_and_asks_for_nothing(opened: Opened, path: Path) -> None:
    faults = [f"{what}: {fault}" for what in PROBES for fault in opened.faults(what)]
    faults += opened.said
    faults += [f"asks for {url}" for url in opened.asked if unquote(urlparse(url).path) != str(path.resolve())]
    assert not faults, "\n" + "\n".join(faults)


def test_axe_finds_nothing(opened: Opened) -> None:
    found = Axe().run(opened.page)
    assert found.violations_count == 0, found.generate_report()


def test_keys_lead_everywhere_and_are_seen(opened: Opened) -> None:
    names = opened.faults("number")
    reached: set[int] = set()
    faults = []
    for _ in range(len(names) + 4):
        opened.page.keyboard.press("Tab")
        focus = opened.page.evaluate("document.activeElement === document.body")
        if focus:
            break
        there = opened.faults("focused")
        reached.add(there["place"])  # type: ignore[call-overload, index]
        faults += [f"no ring: {there['name']}"] if not there["ring"] else []  # type: ignore[call-overload, index]
        faults += [f"out of sight: {there['name']}"] if not there["inside"] else []  # type: ignore[call-overload, index]
    faults += [f"not reached: {name}" for place, name in enumerate(names) if place not in reached]
    assert not faults, "\n" + "\n".join(faults)


def test_enter_follows_links(opened: Opened, path: Path) -> None:
    """Within the page to what is then in sight; elsewhere to a file that is there. One link for each target."""
    page = opened.page
    links: dict[str, Locator] = {}
    for link in page.locator("a[href]:visible").all():
        links.setdefault(link.get_attribute("href") or "", link)
    for target, link in links.items():
        if not target.startswith("#"):
            assert (path.parent / unquote(urlparse(target).path)).is_file(), f"{target} leads nowhere"
            continue
        link.press("Enter")
        assert unquote(urlparse(page.url).fragment) == target[1:]
        top = page.locator(f"[id='{target[1:]}']").evaluate("e => e.getBoundingClientRect().top")
        assert -1 <= top < page.evaluate("innerHeight"), f"{target} is out of sight: {top}"
