"""The page's sections about work: what they show of which network, and that pictures say what the data says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from gatewright.contract.arch import PRESETS
from gatewright.measure.records import BlockWork, GateDecision, ImageRecord
from gatewright.measure.summary import build_report
from gatewright.report.block_pictures import block_picture, strip_picture
from gatewright.report.class_pictures import class_picture
from gatewright.report.html import render_html
from gatewright.report.svg import NARROW, WIDE
from tests.measure import synthetic

ANIMALS = ("cat", "dog", "frog", "hen", "cow", "ape", "eel", "fox", "owl", "<ox>")


def report_of(images: Sequence[ImageRecord], classes: Sequence[str] = ANIMALS) -> dict[str, Any]:
    gates, dense = {gate.name: 0.0 for image in images for gate in image.run.gates}, synthetic.dense_run()
    if images[0].exit is not None:
        dense = replace(dense, blocks=tuple(replace(block, macs=100) for block in images[0].run.blocks))
    return build_report(PRESETS["ultra96"], synthetic.NETWORK, dense, list(images), gates, classes=classes)


def with_exit(image: ImageRecord, number: int) -> ImageRecord:
    """With one exit, and behind it a layer gate, seen by images that do not leave there."""
    gates = (
        GateDecision("x", "exit", np.array([number == 0])),
        GateDecision("l", "spatial", np.ones((1, 1), np.bool_)),
    )
    blocks = (BlockWork("behind x", (), ("fc",), 100 * number), BlockWork("b", ("l",), ("c",), 60 * number))
    run = replace(image.run, gates=gates[: 1 + number], blocks=blocks, macs=1000 + 160 * number)
    return replace(image, run=run, exit=number)


@pytest.fixture(scope="module")
def exits() -> dict[str, Any]:
    return report_of([with_exit(image, n % 3 != 0) for n, image in enumerate(synthetic.image_records(12))])


def section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">.*?</section>', page, re.DOTALL)
    assert found, name
    return found[0]


def cells(picture: str) -> list[str]:
    """What a heat map's cells say under the pointer."""
    root = ElementTree.fromstring(picture)
    return [rect.findtext("title", "") for rect in root.findall("rect")]


def test_blocks_are_drawn_to_scale() -> None:
    row = {
        **{"name": "b", "macs_dense": 2_000_000, "executed_mean": 0.5, "executed_p5": 0.25, "executed_p95": 0.75},
        **{"executed_least": 0.0, "executed_most": 1.0},
    }
    for width in (WIDE, NARROW):
        root = ElementTree.fromstring(block_picture([row], width))
        (bar,) = root.findall("rect")
        left, half = float(bar.get("x", "")), float(bar.get("width", ""))
        points = [float(point.get("cx", "")) for point in root.findall("circle")]
        assert points == pytest.approx([left, left + 2 * half], abs=0.02)
        spread = next(line for line in root.findall("line") if line.get("class") == "mean")
        ends = [float(spread.get(key, "")) for key in ("x1", "x2")]
        assert ends == pytest.approx([left + half / 2, left + 1.5 * half], abs=0.02)
        assert "50%" in "".join(root.itertext()) and points[1] < width - 40


def test_a_strip_has_a_column_for_each_block() -> None:
    root = ElementTree.fromstring(strip_picture(7, ["a", "b", "c"], [0.0, 0.25, 1.0]))
    tall = [float(rect.get("height", "")) for rect in root.findall("rect") if rect.get("class") == "gated"]
    assert tall == [0, 25, 100] and root.findtext("desc") == "a 0%; b 25%; c 100%"


def test_classes_have_their_names_and_counts() -> None:
    images = synthetic.image_records(70)
    report = report_of(images)
    page = render_html(report)
    found = cells(class_picture(report, "gates"))
    mean = np.mean([image.run.gates[0].decision.mean() for image in images if image.label == 9])
    count = sum(image.label == 9 for image in images)
    assert f"{images[0].run.gates[0].name}, <ox>: {mean:.0%} ({count} images)" in found
    assert len(found) == len(report["gates"]) * 10
    shown = section(page, "maps")
    assert "&lt;ox&gt;" in page and "<ox>" not in page and "Least work" in shown and "Most work" in shown
    few = sum(one["images"] < 10 for one in report["by_class"]["classes"])
    assert 0 < few < 10 and f"{few} of 10 classes" in section(page, "classes")


def test_frames_are_where_a_class_is_beyond_chance() -> None:
    def one(n: int) -> ImageRecord:
        gate = GateDecision("g", "channel", np.array([n >= 30, n % 2 == 0]))
        image = synthetic.image_records(1)[0]
        return replace(image, index=n, label=int(n >= 30), run=replace(image.run, gates=(gate,)))

    report = report_of([one(n) for n in range(60)])
    root = ElementTree.fromstring(class_picture(report, "gates"))
    assert [rect.get("class") for rect in root.findall("rect")] == ["heat h2 framed", "heat h8 framed"]
    assert [text.text for text in root.findall("text") if "strong" in str(text.get("class"))] == ["25", "75"]
    words = section(render_html(report), "classes")
    assert "2 of 2 cells do" in words and "fewer than" not in words


@pytest.mark.parametrize(("width", "columns"), [(WIDE, 20), (NARROW, 10)])
def test_of_many_classes_those_with_the_most_images_are_shown(width: float, columns: int) -> None:
    images = synthetic.image_records(40)
    labels = [*range(100, 130), *range(120, 130)]
    report = report_of([replace(image, label=label) for image, label in zip(images, labels, strict=True)], ())
    found = cells(class_picture(report, "gates", width))
    shown = {int(text.split(", ")[1].partition(":")[0]) for text in found}
    assert len(shown) == columns and set(range(120, 130)) <= shown
    assert "report.json has all 30" in section(render_html(report), "classes")


def test_without_labels_there_is_no_picture_of_classes_and_no_error() -> None:
    images = [replace(image, label=None) for image in synthetic.image_records(3)]
    dense, about = synthetic.dense_run(), synthetic.NETWORK | {"no_accuracy": "the images have no labels"}
    report = build_report(PRESETS["ultra96"], about, dense, images, synthetic.flip_rates())
    page = render_html(report)
    assert report["by_class"] is None and 'id="classes"' not in page and "#classes" not in page
    assert section(page, "blocks") and "taken for" not in section(page, "maps")


def test_exits_have_their_share_of_each_class(exits: dict[str, Any]) -> None:
    page = render_html(exits)
    rows = exits["by_class"]["exits"]
    labels = [image.label for image in synthetic.image_records(12)]
    for place, one in enumerate(exits["by_class"]["classes"]):
        own = [n for n, label in enumerate(labels) if label == one["label"]]
        early = sum(n % 3 == 0 for n in own) / len(own)
        assert [row["share_by_class"][place] for row in rows] == pytest.approx([early, 1 - early])
    assert len(cells(class_picture(exits, "exits"))) == 2 * len(exits["by_class"]["classes"])
    assert "leaves at x" in section(page, "maps") and "leaves at the end" in section(page, "maps")
    assert "as many MACs as 3 others" in section(page, "maps")


def test_layer_gates_and_exits_show_work_by_block_beside_an_image(exits: dict[str, Any]) -> None:
    shown = section(render_html(exits), "maps")
    strips = re.findall(r"<svg.*?</svg>", shown, re.DOTALL)
    descriptions = [ElementTree.fromstring(strip).findtext("desc") for strip in strips]
    assert descriptions == ["behind x 0%; b 0%"] * 3 + ["behind x 100%; b 60%"] * 3
    assert shown.count("<img") == 6 and "cost map" not in shown


def test_every_number_of_a_network_with_exits_has_a_unit(exits: dict[str, Any]) -> None:
    def keys(value: object, key: str = "") -> set[str]:
        if isinstance(value, dict):
            return set().union(*(keys(inner, name) for name, inner in value.items() if name != "units"))
        if isinstance(value, list):
            return set().union(*(keys(inner, key) for inner in value))
        return {key} if isinstance(value, int | float) and not isinstance(value, bool) else set()

    assert keys(exits) <= set(exits["units"])
