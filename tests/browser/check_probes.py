"""Every probe finds the fault that is planted for it, and none in a page without one."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.check_pages import PROBES
from tests.browser.chromium import address, open_page

FINE = """<figure><svg viewBox="0 0 300 80" width="300" height="80">
<rect x="10" y="10" width="40" height="20" fill="#2f5bd0"/>
<text x="10" y="60" font-size="14" fill="#111">label</text></svg></figure><p>words</p>"""

SPOILT = {
    "scrolls": '<div style="width: 900px; background: #ddd">wide</div>',
    "cut": '<div style="width: 60px; overflow: hidden; white-space: nowrap">words that do not fit their frame</div>',
    "small": '<p style="font-size: 10px">small letters</p>',
    "pictures": '<svg viewBox="0 0 9 9" width="90" height="90"></svg>',
    "labels": """<svg viewBox="0 0 200 60" width="200" height="60"><rect width="9" height="9"/>
<text x="10" y="30" font-size="14">one label</text><text x="20" y="32" font-size="14">another</text></svg>""",
    "faint": '<p style="color: #bbbbbb">faint words</p>',
    "pale": """<figure><svg viewBox="0 0 90 90" width="90" height="90">
<rect width="40" height="40" fill="#eeeeee"/></svg></figure>""",
}


def _page(body: str) -> str:
    start = '<!doctype html><html lang="en"><title>t</title><body style="color: #111; background: #fff">'
    return f"{start}{body}</body></html>"


def _found(browser: Browser, path: Path, body: str) -> dict[str, list[str]]:
    path.write_text(_page(body))
    opened = open_page(browser, address(path), 390, "light")
    found = {probe: opened.faults(probe) for probe in PROBES}
    opened.page.context.close()
    return found


def test_a_page_without_faults_has_none(browser: Browser, tmp_path: Path) -> None:
    assert not any(_found(browser, tmp_path / "fine.html", FINE).values())


def test_every_probe_has_its_fault() -> None:
    assert sorted(SPOILT) == sorted(PROBES)


@pytest.mark.parametrize("probe", PROBES)
def test_a_planted_fault_is_found_by_its_probe_alone(probe: str, browser: Browser, tmp_path: Path) -> None:
    found = _found(browser, tmp_path / "spoilt.html", FINE + SPOILT[probe])
    assert [name for name, faults in found.items() if faults] == [probe]
