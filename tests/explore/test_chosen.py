"""What is done for points of the front: measured figures replace the model's, and nothing that was made is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gatewright.contract.errors import GatewrightError
from gatewright.explore import checked
from gatewright.explore.checked import NetworkVerified
from gatewright.explore.machines import machine
from gatewright.explore.objectives import Area
from gatewright.explore.outcome import Outcome, Refusal, point_name
from gatewright.explore.search import Wanted, finish
from gatewright.explore.space import NetworkUse, Space

SPACE = Space(
    (NetworkUse("net", images=2),),
    {"board": ("ultra96",), "columns": (4, 8, 12)},
    ("latency", "lut"),
    boards=("ultra96",),
)


def outcome(number: int, columns: int, lut: int, cycles: int) -> Outcome:
    arch = machine(SPACE, {"board": "ultra96", "columns": columns}, point_name(number))
    area = Area(lut, 10_000, 100, 100)
    return Outcome(number, {"board": "ultra96", "columns": columns}, arch, area, {"net": (cycles, cycles + 2)})


POINTS = [
    outcome(0, 4, 20_000, 300_000),
    outcome(1, 8, 30_000, 200_000),
    outcome(2, 12, 40_000, 100_000),
    Outcome(3, {"board": "ultra96", "columns": 16}, None, None, refused=Refusal("machine", "none <such>", 1.0)),
]


def files(out: Path, name: str, area: Area) -> None:
    (out / "points" / name).mkdir(parents=True)
    figures = {"lut": area.lut, "ff": area.ff, "bram36": area.bram36, "dsp": area.dsp, "source": area.source}
    (out / "points" / name / "synth.json").write_text(json.dumps(figures))


def test_a_synthesis_replaces_the_model_and_the_front_is_made_again(tmp_path: Path) -> None:
    files(tmp_path, "p0000", Area(31_000, 10_000, 100, 100, "synth"))
    files(tmp_path, "p0002", Area(50_000, 10_000, 100, 100, "synth"))
    result = finish(SPACE, POINTS, [], tmp_path, Wanted(), 1, print)
    # The slowest is larger than the middle one now; the fastest is over the goals of its board.
    assert [one.name for one in result.front] == ["p0001"]
    refused = [one for one in result.outcomes if one.refused is not None]
    assert [one.name for one in refused] == ["p0002", "p0003"]
    assert refused[0].refused is not None
    assert refused[0].refused.reason == "over the goals of ultra96: LUT 50,000 of 49,392"
    data = json.loads((tmp_path / "explore.json").read_text())
    assert data["refused"] == {"board": 1, "machine": 1} and data["front"] == ["p0001"]
    assert data["points"][0]["area"]["source"] == "synth"
    page = (tmp_path / "explore.html").read_text()
    assert "none &lt;such&gt;" in page and "synthesised" in page


def test_chosen_points_are_verified_once_and_shown_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    class Work:
        name, inputs = "net", (0, 0)

    def verify(work: object, arch: object, images: int) -> NetworkVerified:
        ran.append(arch.name)  # type: ignore[attr-defined]
        different = "image 0: cycle 7" if arch.name == "p0002" else None  # type: ignore[attr-defined]
        return NetworkVerified("net", images, 1234, 56, 78, 9, different)

    monkeypatch.setattr(checked, "_verify", verify)
    works = [Work()]
    result = finish(SPACE, POINTS, works, tmp_path, Wanted(verifies=2), 1, print)  # type: ignore[arg-type]
    assert ran == ["p0000", "p0002"]  # both ends of the front
    assert {number: one.same for number, one in result.verified.items()} == {0: True, 2: False}
    page = (tmp_path / "explore.html").read_text()
    assert "0 differences in 56 instructions" in page and "a difference: image 0: cycle 7" in page
    result = finish(SPACE, POINTS, works, tmp_path, Wanted(), 1, print)  # type: ignore[arg-type]
    assert len(ran) == 2 and result.verified.keys() == {0, 2}
    finish(SPACE, POINTS, works, tmp_path, Wanted(verify_images=2), 1, print)  # type: ignore[arg-type]
    assert len(ran) == 4


def test_a_result_that_was_damaged_is_named(tmp_path: Path) -> None:
    files(tmp_path, "p0001", Area(30_000, 10_000, 100, 100, "synth"))
    (tmp_path / "points" / "p0001" / "synth.json").write_text('{"lut": 3}')
    with pytest.raises(GatewrightError, match="synth.json: missing key.*; delete the file, and it is made again"):
        finish(SPACE, POINTS, [], tmp_path, Wanted(), 1, print)


def test_every_point_of_the_page_can_be_opened(tmp_path: Path) -> None:
    space = replace(SPACE, objectives=("latency", "lut", "dsp"))
    finish(space, POINTS, [], tmp_path, Wanted(), 1, print)
    page = (tmp_path / "explore.html").read_text()
    assert page.count("<svg") == 6  # for each pair of objectives one for a wide window and one for a narrow one
    for one in POINTS[:3]:
        assert page.count(f'href="#{one.name}"') >= 4  # in every picture and in the tables
        assert f'id="{one.name}"' in page and f'href="points/{one.name}.toml"' in page
        assert (tmp_path / "points" / f"{one.name}.toml").is_file()
    assert not (tmp_path / "points" / "p0003.toml").exists()
