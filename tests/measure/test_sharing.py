"""The figures of images alone and in flight, and their table in the report."""

from __future__ import annotations

import pytest

from gatewright.contract.arch import PRESETS
from gatewright.measure.sharing import sharing_row
from gatewright.measure.summary import build_report
from gatewright.report.html import render_html
from tests.measure import synthetic


def test_a_row_by_hand() -> None:
    row = sharing_row("two", 3_000_000, [1_600_000, 1_700_000, 1_800_000], 300, 2_000_000, 2.5)
    assert row["images"] == 3 and row["cycles_image"] == 1_000_000
    assert row["images_per_second"] == pytest.approx(300)
    assert row["speedup"] == pytest.approx(2) and row["kept"] == pytest.approx(0.8)
    assert row["latency_mean"] == pytest.approx(1_700_000) and row["latency_most"] == 1_800_000


def test_the_report_shows_it_where_it_was_asked_for() -> None:
    common = PRESETS["ultra96"], synthetic.NETWORK, synthetic.dense_run(), list(synthetic.image_records(3))
    rows = [sharing_row("2 in flight", 987_654, [1_000_001], 300, 2_000_000, 2.5)]
    with_it = build_report(*common, synthetic.flip_rates(), rows)
    without = build_report(*common, synthetic.flip_rates())
    assert with_it["sharing"] == rows and "latency_mean" in with_it["units"]
    page = render_html(with_it)
    assert 'id="sharing"' in page and "987\u202f654" in page and "1\u202f000\u202f001" in page
    assert 'id="sharing"' not in render_html(without) and "latency_mean" not in without["units"]
