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


@pytest.mark.parametrize("content", ["", "{", "[]\n", '{"epoch": "one"}\n', None])
def test_what_is_no_log_is_refused(tmp_path: Path, content: str | None) -> None:
    log = tmp_path / "metrics.jsonl"
    if content is not None:
        log.write_text(content)
    with pytest.raises(GatewrightError, match=r"metrics\.jsonl is not the log of a training run"):
        read_metrics(log)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GatewrightError, match="cannot draw"):
        draw_curves([record(1, True), record(2, True)], "a run", tmp_path / "curves.xyz")
