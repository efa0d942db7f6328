"""Live programs beside replayed ones, on small images: what is measured, and that a run goes on where one stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import live
from benchmarks.gated_cases import Case
from gatewright.contract.arch import PRESETS
from gatewright.sim.fast.machine import simulate

ARCH = PRESETS["ultra96"]
CASE = Case("R18-60", "independent", "equal", images=4, seed=1, size=64)


def test_images_that_are_there_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "live.json"
    first = live.measure_image(0, CASE, ARCH)
    assert (
        first["cycles_live"]
        == simulate(live.compiled(CASE, ARCH).live, live.compiled(CASE, ARCH).aimed.inputs[0]).cycles
    )
    others = [{**first, "seed": 2, "cycles_live": 1}, *({**first, "image": n, "cycles_live": 7} for n in (1, 2, 3))]
    out.write_text(json.dumps(others))
    rows = live.measure_case(CASE, ARCH, out, workers=1)
    assert [(row["image"], row["cycles_live"]) for row in rows] == [(1, 7), (2, 7), (3, 7), (0, first["cycles_live"])]
    assert json.loads(out.read_text()) == [*others, first]
    monkeypatch.setattr(live, "measure_image", lambda *_, **__: pytest.fail("it is there"))
    assert live.measure_case(CASE, ARCH, out, workers=1) == rows
    assert live.mean_of(rows)["cycles_live"] == (21 + first["cycles_live"]) / 4


def test_what_differs_from_the_reference_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made = live.compiled(CASE, ARCH)
    other = made.aimed.inputs[1]
    monkeypatch.setattr(live, "simulate", lambda program, sample, observe: simulate(program, other, observe=observe))
    with pytest.raises(Exception, match="image 0, live"):
        live.measure_image(0, CASE, ARCH)
