"""The page is one file that needs nothing else, is well formed, and says what the data says."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from gatewright.contract.arch import PRESETS
from gatewright.measure.records import ImageRecord
from gatewright.measure.summary import build_report
from gatewright.report.gate_pictures import RAMP, cost_png
from gatewright.report.html import render_html
from gatewright.report.pictures import waterfall_picture
from gatewright.report.svg import ticks
from tests.measure import synthetic

VOID = {"meta", "br", "img", "link", "input", "hr"}


def _report(images: Sequence[ImageRecord], flips: dict[str, float]) -> dict[str, Any]:
    return build_report(PRESETS["ultra96"], synthetic.NETWORK, synthetic.dense_run(), list(images), flips)


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return _report(synthetic.image_records(70), synthetic.flip_rates())


@pytest.fixture(scope="module")
def page(report: dict[str, Any]) -> str:
    return render_html(report)


class _Checker(HTMLParser):
    """Tags balance, ids are unique, links within the page lead somewhere; collects what is referred to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in values:
            self.ids.append(str(values["id"]))
        self.links += [str(values[name]) for name in ("href", "src", "xlink:href") if name in values]
        if tag == "img":
            self.images.append(values)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_needs_nothing_else(page: str) -> None:
    checker = _Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert len(set(checker.ids)) == len(checker.ids)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in checker.links)
    assert {link[1:] for link in checker.links if link.startswith("#")} <= set(checker.ids)
    assert len(checker.images) == 12  # the three with the least work and the three with the most, and their maps
    assert all(image["alt"] for image in checker.images)
    assert "url(" not in page
    assert "<script" not in page
    assert "@import" not in page


def test_every_picture_is_xml_with_a_title_and_a_description(page: str) -> None:
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 17  # nine, of which all but that of the layers are there for a narrow window, too
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.get("role") == "img"
        assert root.findtext("title")
        assert root.findtext("desc")
        assert not re.search(r"\bnan\b|\binf\b|fill=\"#", picture)


def test_names_are_escaped(page: str) -> None:
    assert "resnet20 &lt;dual&gt;" in page
    assert "<dual>" not in page


def test_the_headline_is_the_summary(report: dict[str, Any], page: str) -> None:
    found = report["summary"]
    for figure in (
        f"{found['speedup_realised_mean']:.2f}\u00d7",
        f"{found['speedup_theoretical_mean']:.2f}\u00d7",
        f"{100 * found['realised_over_theoretical_mean']:.1f}\u202f%",
        f"{found['cycles_gated_mean']:,.0f}".replace(",", "\u202f"),
        f"{100 * found['gate_flip_rate']:.2f}\u202f%",
    ):
        assert f"<dd>{figure}<small>" in page
    assert "The first 64 of 70 images" in page


def test_a_network_without_gates_has_a_page_without_them() -> None:
    images = [replace(image, run=replace(image.run, gates=(), blocks=())) for image in synthetic.image_records(1)]
    dense = replace(synthetic.dense_run(), blocks=())
    page = render_html(build_report(PRESETS["ultra96"], synthetic.NETWORK, dense, images, {}))
    assert not [name for name in ("gates", "blocks", "classes", "maps") if f'id="{name}"' in page]
    assert 'href="#blocks"' not in page
    assert "All 1 image." in page


def test_identical_runs_make_a_page() -> None:
    image = synthetic.image_records(1)[0]
    page = render_html(_report([image, replace(image, index=1)], synthetic.flip_rates()))
    assert page.count("<svg") == 17


def test_bars_of_the_waterfall_join_up() -> None:
    steps = [
        {
            "title": "A",
            "meaning": "",
            "cycles": 100.0,
            "speedup_before": 2.0,
            "speedup_after": 1.5,
            "speedup_lost": 0.5,
        },
        {
            "title": "B",
            "meaning": "",
            "cycles": -9.0,
            "speedup_before": 1.5,
            "speedup_after": 1.6,
            "speedup_lost": -0.1,
        },
    ]
    root = ElementTree.fromstring(waterfall_picture({"theoretical": 2.0, "realised": 1.6, "steps": steps}, 1))
    bars = [(float(r.get("x", "")), float(r.get("width", "")), r.get("class")) for r in root.findall("rect")]
    assert [style for *_, style in bars] == ["theory", "loss", "gain", "gated"]
    (x0, w0, _), (x1, w1, _), (x2, w2, _), (x3, w3, _) = bars
    assert x0 == x3
    assert x0 + w0 == pytest.approx(x1 + w1, abs=0.02)
    assert x1 == pytest.approx(x2, abs=0.02)
    assert x2 + w2 == pytest.approx(x3 + w3, abs=0.02)
    assert w0 / w3 == pytest.approx(2.0 / 1.6, rel=1e-3)


def test_the_cost_map_uses_the_whole_ramp() -> None:
    uri = cost_png([[0, 6], [3, 6]], 6)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))
    np.testing.assert_array_equal(pixels[0, 0], RAMP[0])
    np.testing.assert_array_equal(pixels[0, 1], RAMP[-1])
    np.testing.assert_array_equal(pixels[1, 0], RAMP[3])


@pytest.mark.parametrize("top", [0, 0.004, 0.9, 1, 3.4, 99, 12_345, 10**9])
def test_ticks_cover_the_range_in_even_round_steps(top: float) -> None:
    marks = ticks(top)
    assert marks[0] == 0
    assert marks[-1] >= top
    assert 2 <= len(marks) <= 8
    assert np.allclose(np.diff(marks), marks[1])
