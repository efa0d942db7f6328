"""Two reports, or counters and a program: told apart by what they are, and compared to the cycle."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from gatewright.cli.main import main
from gatewright.contract.arch import PRESETS
from gatewright.measure.comparison import compare_reports
from gatewright.measure.sharing import sharing_row
from gatewright.measure.summary import build_report
from gatewright.report.comparison import render_comparison
from gatewright.report.pictures import waterfall_picture
from gatewright.report.write import write_report
from tests.measure import synthetic
from tests.report.test_html import _Checker

NAMES = ("first", "second & last")


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, words)])


def _report(slower: int = 0, arch: str = "ultra96") -> dict[str, Any]:
    """Of made-up runs; ``slower`` cycles more of one layer and cause in each image."""
    records = synthetic.image_records(12)
    if slower:
        records = [replace(record, run=_slowed(record.run, slower)) for record in records]
    sharing = [sharing_row("alone", 1000, [1000], 300, 2000, 2.0)]
    return build_report(
        replace(PRESETS["ultra96"], name=arch), synthetic.NETWORK, synthetic.dense_run(), records,
        synthetic.flip_rates(), sharing,
    )  # fmt: skip


def _slowed(run: Any, cycles: int) -> Any:
    first, *others = run.layers
    cause = next(iter(first.parts))
    parts = {**first.parts, cause: first.parts[cause] + cycles * run.peak}
    changed = replace(first, cycles=first.cycles + cycles, parts=parts)
    return replace(run, cycles=run.cycles + cycles, layers=(changed, *others))


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return compare_reports(_report(), _report(500, "other"), NAMES)


def test_a_report_beside_itself_has_no_difference() -> None:
    same = compare_reports(_report(), _report(), NAMES)
    assert same["changed"] == []
    assert all(row["a"] == row["b"] for row in same["figures"] + same["causes"])
    assert all(row["a_gated"] == row["b_gated"] for row in same["layers"])
    assert (same["images"]["faster"], same["images"]["slower"], same["images"]["both"]) == (0, 0, 12)


def test_what_is_slower_is_found_in_its_layer_cause_and_images(found: dict[str, Any]) -> None:
    assert {row["name"]: (row["a"], row["b"]) for row in found["changed"]} == {"arch.name": ("ultra96", "other")}
    figures = {row["key"]: row for row in found["figures"]}
    assert figures["cycles_gated_mean"]["b"] - figures["cycles_gated_mean"]["a"] == pytest.approx(500)
    differences = [row["b_gated"] - row["a_gated"] for row in found["layers"]]
    assert differences[0] == pytest.approx(500) and not any(differences[1:])
    assert sum(row["b"] - row["a"] for row in found["causes"]) == pytest.approx(500)
    assert sum(abs(row["b"] - row["a"]) > 1e-6 for row in found["causes"]) == 1
    assert found["images"]["slower"] == 12


def test_the_page_is_well_formed_and_its_pictures_are_xml(found: dict[str, Any]) -> None:
    page = render_comparison(found)
    checker = _Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == [] and len(set(checker.ids)) == len(checker.ids)
    assert {link[1:] for link in checker.links} <= set(checker.ids)
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 8  # causes, two waterfalls, the spread, each for a wide and a narrow window
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.findtext("title") and root.findtext("desc")
        assert not re.search(r"\bnan\b|\binf\b", picture)
    assert "second &amp; last takes 500 cycles an image more than first" in page
    assert 'id="sharing"' in page and 'id="exits"' not in page


def test_a_waterfall_of_97_percent_can_be_read() -> None:
    """The axis begins near the values: a step of a hundredth is wider than a letter. The page says where it begins."""
    steps = [
        {"title": title, "meaning": "", "cycles": 1.0, "speedup_before": before, "speedup_after": after,
         "speedup_lost": before - after}
        for title, before, after in (("A", 2.39, 2.37), ("B", 2.37, 2.33), ("C", 2.33, 2.32))
    ]  # fmt: skip
    root = ElementTree.fromstring(waterfall_picture({"theoretical": 2.39, "realised": 2.32, "steps": steps}, 50))
    bars = [(float(r.get("x", "")), float(r.get("width", "")), r.get("class")) for r in root.findall("rect")]
    assert [style for *_, style in bars] == ["theory", "loss", "loss", "loss", "gated"]
    (x0, w0, _), *middle, (x4, w4, _) = bars
    assert x0 == x4 and all(width > 50 for _, width, _ in middle)
    assert [width for _, width, _ in middle] == pytest.approx([many * middle[2][1] for many in (2, 4, 1)], rel=0.01)
    assert x0 + w0 == pytest.approx(middle[0][0] + middle[0][1], abs=0.02)
    assert x4 + w4 == pytest.approx(middle[2][0], abs=0.02)
    assert "the axis begins at 2.3" in (root.findtext("desc") or "")
    assert any("the axis begins at 2.3" in (text.text or "") for text in root.findall("text"))


def test_the_command_tells_files_apart(tmp_path: Path) -> None:
    write_report(_report(), tmp_path / "one" / "report")
    write_report(_report(500), tmp_path / "two" / "report")
    result = call(tmp_path / "one" / "report", tmp_path / "two" / "report" / "report.json", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "two/report takes 500 cycles an image more than one/report" in result.output
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["names"] == ["one/report", "two/report"]
    assert (tmp_path / "out" / "comparison.html").is_file()

    for path, text in (("text", "hello"), ("list.json", "[]"), ("other.json", '{"format": "x"}')):
        (tmp_path / path).write_text(text)
        refused = call(tmp_path / "one" / "report", tmp_path / path)
        assert refused.exit_code == 2 and "give two reports, or counters and a program" in refused.stderr
    assert "there is no file" in call(tmp_path / "one" / "report", tmp_path / "nothing").stderr
    (tmp_path / "new.json").write_text('{"format": "gatewright-report-2"}')
    assert "of a newer Gatewright" in call(tmp_path / "new.json", tmp_path / "one" / "report").stderr
    (tmp_path / "cut.json").write_text('{"format": "gatewright-report-1"}')
    assert "lacks arch, network" in call(tmp_path / "cut.json", tmp_path / "one" / "report").stderr
    both = call(tmp_path / "one" / "report", tmp_path / "two" / "report", "--fit", tmp_path / "fit.toml")
    assert both.exit_code == 2 and "of counters, and these are reports" in both.stderr
