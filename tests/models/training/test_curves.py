from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatewright.contract.errors import GatewrightError
from gatewright.models.training.curves import draw_curves, read_metrics


def record(epoch: int, gated: bool) -> dict[str, object]:
    densities = [0.5 + 0.01 * epoch, 0.25] if gated else [1.0, 1.0]
    return {
        "epoch": epoch,
        "loss": 1.0 / epoch,
        "gating_loss": 0.1 / epoch,
        "train_top1": 80.0,
        "learning_rate": 0.1,
        "seconds": 2.5,
        "top1": 79.0,
        "mac_ratio": 0.5 + 0.01 * epoch if gated else 1.0,
        "spatial_density": densities,
        "channel_density": densities,
    }


@pytest.mark.parametrize("gated", [False, True])
def test_the_same_log_gives_the_same_picture(tmp_path: Path, gated: bool) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text("".join(json.dumps(record(epoch, gated)) + "\n" for epoch in (1, 2, 3)))
    for name in ("a.svg", "b.svg"):
        draw_curves(read_metrics(log), "a run", tmp_path / "pictures" / name)
    first, second = ((tmp_path / "pictures" / name).read_text() for name in ("a.svg", "b.svg"))
    assert first == second
    assert ("channel gates" in first) is gated


def log(*changes: dict[str, object]) -> str:
    """A log with an epoch for each of the changes; None takes a key away."""
    epochs = [{**record(epoch, True), **change} for epoch, change in enumerate(changes, start=1)]
    return "".join(json.dumps({k: v for k, v in epoch.items() if v is not None}) + "\n" for epoch in epochs)


MEASURED = dict.fromkeys(["top1", "mac_ratio", "spatial_density", "channel_density"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "its 0 epochs"),
        ("{", "line 1 is not JSON"),
        ("[]\n", "must be"),
        ("\n", "line 1 is not JSON"),
        ("\x80", "codec|line 1"),
        (None, "No such file"),
        (log({"epoch": "one"}), "line 1: epoch = 'one' must be a valid integer"),
        (log({}, {"epoch": 3}), "its 2 epochs are not counted from 1 on"),
        (log({}, {"loss": True}), "line 2: loss = True must be a valid number"),
        (log({"loss": float("nan")}), "NaN is no number"),
        (log({"seconds": None}), "line 1: missing key seconds"),
        (log({"colour": 1}), "line 1: unknown key colour"),
        (log({"top1": 101}), "top1 = 101.* must be less than or equal to 100"),
        (log({"spatial_density": [0.5, "x"]}), "spatial_density.1 = 'x' must be a valid number"),
        (log({}, {"spatial_density": [0.5]}), "different numbers of blocks"),
        (log({"top1": None}), "or one not wholly"),
        (log(MEASURED, MEASURED), "no epoch was evaluated"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "metrics.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(GatewrightError, match=r"metrics\.jsonl is not the log of a training run.*" + message):
        read_metrics(path)


def test_epochs_without_a_test_are_left_out_of_the_curves(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(log({}, MEASURED, {}))
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert [record["epoch"] for record in records if "top1" in record] == [1, 3]
    draw_curves(records, "a run", tmp_path / "curves.svg")


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GatewrightError, match="cannot draw"):
        draw_curves([record(1, True), record(2, True)], "a run", tmp_path / "curves.xyz")
