"""The report's figures are what they are called, have units, and appear whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program_parts import Region
from gatewright.measure.bounds import Holder
from gatewright.measure.causes import Cause
from gatewright.measure.gate_statistics import cost_map
from gatewright.measure.records import GateDecision, record_run
from gatewright.measure.summary import build_report
from gatewright.measure.traffic import DramTraffic, dram_traffic
from gatewright.report.write import write_report
from tests.measure import hand_run, synthetic

ARCH = PRESETS["ultra96"]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return build_report(
        ARCH, synthetic.NETWORK, synthetic.dense_run(), synthetic.image_records(20), synthetic.flip_rates()
    )


def test_a_run_is_recorded_by_layer() -> None:
    run = record_run(hand_run.hand_program(), hand_run.hand_result())
    assert (run.cycles, run.peak, run.macs) == (442, 16, 90 + 16 + 120)
    assert {layer.name: layer.cycles for layer in run.layers} == hand_run.LAYER_CYCLES
    assert run.utilisation == (90 + 16 + 120) / (442 * 16)
    layers = {layer.name: layer for layer in run.layers}
    assert (layers["conv1"].macs, layers["conv1"].dram_bytes, layers["conv1"].dram_cycles) == (90, 96, 8)
    assert layers["boot"].dram_bytes == 12 * 48  # twelve instructions
    assert layers["boot"].dram_cycles == 48  # 36 beats, 3 in 4 cycles
    assert layers["conv1"].array_cycles == 10
    (gate,) = run.gates
    np.testing.assert_array_equal(gate.decision, [[True, False], [True, True]])
    assert record_run(hand_run.hand_program(), hand_run.hand_result(), macs=1000).macs == 1000


def test_bytes_of_a_run_are_all_that_it_reads_and_writes() -> None:
    assert dram_traffic(hand_run.hand_program(), hand_run.hand_result()) == DramTraffic(12 * 48 + 96, 16)


def test_weights_read_ahead_belong_to_the_layer_whose_they_are() -> None:
    program = hand_run.hand_program()
    program.regions = [Region("conv2.hidden", "weights", 0, 96)]
    layers = {layer.name: layer for layer in record_run(program, hand_run.hand_result()).layers}
    assert (layers["conv1"].dram_bytes, layers["conv2"].dram_bytes) == (0, 96)
    assert layers["conv2"].cycles == hand_run.LAYER_CYCLES["conv2"] + 93  # the stall on them, and their dispatch


def test_layers_keep_the_networks_order_and_are_all_listed() -> None:
    program = hand_run.hand_program()
    program.layer_kinds = {"end": "control", "conv1": "gated", "idle": "gated", **hand_run.KINDS}
    program.regions = [Region("idle", "weights", 0, 96)]  # with every channel off, its weights are all that is left
    run = record_run(program, hand_run.hand_result())
    assert [layer.name for layer in run.layers] == ["boot", "conv1", "idle", "gate", "conv2", "fc", "end"]
    idle = run.layers[2]
    assert (idle.cycles, idle.dram_bytes, idle.macs) == (93, 96, 0)
    del program.layer_kinds["gate"]
    with pytest.raises(GatewrightError, match="layer gate no kind"):
        record_run(program, hand_run.hand_result())


def test_gates_stand_among_the_dense_runs_layers(report: dict[str, Any]) -> None:
    names = [row["name"] for row in report["layers"]]
    assert names == [layer.name for layer in synthetic.image_records(1)[0].run.layers]


def test_summary_figures(report: dict[str, Any]) -> None:
    dense, images = synthetic.dense_run(), synthetic.image_records(20)
    found = report["summary"]
    cycles = sorted(image.run.cycles for image in images)
    speedups = [dense.cycles / c for c in (image.run.cycles for image in images)]
    ratios = [dense.macs / image.run.macs for image in images]
    kept = [s / r for s, r in zip(speedups, ratios, strict=True)]
    assert found["images"] == 20
    assert found["cycles_gated_mean"] == pytest.approx(sum(cycles) / 20)
    percentiles = {5: cycles[0], 50: cycles[9], 95: cycles[18], 99: cycles[19]}
    assert {p: found[f"cycles_gated_p{p}"] for p in percentiles} == percentiles
    assert found["speedup_realised_mean"] == pytest.approx(sum(speedups) / 20)
    assert found["speedup_theoretical_mean"] == pytest.approx(sum(ratios) / 20)
    assert found["realised_over_theoretical_mean"] == pytest.approx(sum(kept) / 20)
    assert found["realised_over_theoretical_of_means"] == pytest.approx(sum(speedups) / sum(ratios))
    assert found["speedup_realised_of_means"] == pytest.approx(dense.cycles / (sum(cycles) / 20))
    assert found["frames_per_second_dense"] == pytest.approx(300e6 / dense.cycles)
    assert found["frames_per_second_gated"] == pytest.approx(300e6 * 20 / sum(cycles))
    assert found["top1_int8"] == sum(image.predicted_int8 == image.label for image in images) / 20
    assert found["top1_float"] == sum(image.predicted_float == image.label for image in images) / 20
    assert found["utilisation_dense"] == dense.utilisation


def test_waterfalls_start_and_end_at_the_speedups(report: dict[str, Any]) -> None:
    for row in report["images"]:
        assert row["waterfall"][0]["speedup_before"] == row["speedup_theoretical"]
        assert row["waterfall"][-1]["speedup_after"] == row["speedup_realised"]
    mean = report["waterfall"]
    lost = sum(step["speedup_lost"] for step in mean["steps"])
    assert mean["theoretical"] == report["summary"]["speedup_theoretical_mean"]
    assert mean["realised"] == mean["steps"][-1]["speedup_after"] == report["summary"]["speedup_realised_mean"]
    assert mean["theoretical"] - lost == pytest.approx(mean["realised"], abs=1e-12)


def test_layers_and_causes_sum_to_the_cycles(report: dict[str, Any]) -> None:
    for side in ("dense", "gated_mean"):
        total = report["summary"][f"cycles_{side}"]
        assert sum(row[f"cycles_{side}"] for row in report["layers"]) == pytest.approx(total)
        assert sum(row[f"cycles_{side}"] for row in report["cycles_by_cause"]) == pytest.approx(total)
        for row in report["layers"]:
            assert sum(row[f"cycles_by_cause_{side}"].values()) == pytest.approx(row[f"cycles_{side}"])


def test_the_dense_run_is_read_with_the_gated_networks_kinds(report: dict[str, Any]) -> None:
    # The dense program calls every layer ungated; only those without a gate in the gated one count as such.
    dense = synthetic.dense_run()
    fixed = {layer.name: layer for layer in dense.layers if layer.kind == "ungated"}
    ungated = ("conv1", "layer2.0.downsample", "layer3.0.downsample", "fc")
    expected = sum(n for name in ungated for cause, n in fixed[name].parts.items() if cause != Cause.USEFUL) / 256
    rows = {row["cause"]: row for row in report["cycles_by_cause"]}
    assert rows["ungated_layers"]["cycles_dense"] == pytest.approx(expected)
    assert rows["pipeline"]["cycles_dense"] > 0


def test_gates_are_counted_over_images() -> None:
    masks = [[1, 1, 0, 0], [1, 0, 0, 1], [1, 0, 0, 1]]
    images = [
        replace(image, run=replace(image.run, gates=(GateDecision("g", "channel", np.array(mask, np.bool_)),)))
        for image, mask in zip(synthetic.image_records(3), masks, strict=True)
    ]
    report = build_report(ARCH, synthetic.NETWORK, synthetic.dense_run(), images, {"g": 0.25})
    (row,) = report["gates"]
    assert (row["always_on"], row["always_off"], row["input_dependent"]) == (0.25, 0.25, 0.5)
    assert row["density_mean"] == pytest.approx(6 / 12)
    assert report["summary"]["gate_flip_rate"] == 0.25
    with pytest.raises(GatewrightError, match="flip rates"):
        build_report(ARCH, synthetic.NETWORK, synthetic.dense_run(), images, {"other": 0.25})
    images[1] = synthetic.image_records(1)[0]
    with pytest.raises(GatewrightError, match="other gates"):
        build_report(ARCH, synthetic.NETWORK, synthetic.dense_run(), images, {"g": 0.25})


def test_the_overall_flip_rate_is_weighted_by_decisions() -> None:
    gates = (
        GateDecision("a", "channel", np.ones(3, np.bool_)),
        GateDecision("b", "spatial", np.ones((1, 1), np.bool_)),
    )
    images = [replace(image, run=replace(image.run, gates=gates)) for image in synthetic.image_records(2)]
    report = build_report(ARCH, synthetic.NETWORK, synthetic.dense_run(), images, {"a": 0.0, "b": 0.4})
    assert report["summary"]["gate_flip_rate"] == pytest.approx(0.1)


def test_the_cost_map_adds_enlarged_masks() -> None:
    gates = [
        GateDecision("a", "spatial", np.array([[1, 0], [0, 0]], np.bool_)),
        GateDecision("b", "spatial", np.ones((4, 4), np.bool_)),
        GateDecision("c", "channel", np.ones(7, np.bool_)),
    ]
    np.testing.assert_array_equal(cost_map(gates, 4, 4), [[2, 2, 1, 1], [2, 2, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])


def _numbers(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, key)
    elif not isinstance(value, str | bool) and value is not None:
        yield key, value


def test_every_number_is_plain_and_has_a_unit(report: dict[str, Any]) -> None:
    numbers = list(_numbers({k: v for k, v in report.items() if k != "units"}, ""))
    assert {type(value) for _, value in numbers} == {int, float}
    assert {key for key, _ in numbers} <= set(report["units"])
    assert set(report["units"]) <= {key for key, _ in numbers} | set(Cause) | set(Holder)


def test_reports_are_written_whole(report: dict[str, Any], tmp_path: Path) -> None:
    json_path, html_path = write_report(report, tmp_path / "deep" / "folder")
    assert json.loads(json_path.read_text("utf-8")) == report
    assert html_path.read_text("utf-8").startswith("<!doctype html>")
    assert sorted(p.name for p in json_path.parent.iterdir()) == ["report.html", "report.json"]


def test_a_failure_leaves_the_old_report(
    report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(report, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full_disk(self: Path, text: str, encoding: str) -> int:
        if "html" in self.name:
            raise OSError(28, "No space left on device")
        self.write_bytes(text.encode(encoding))
        return len(text)

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(GatewrightError, match="No space left"):
        write_report({**report, "network": {**report["network"], "name": "changed"}}, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_report_that_cannot_be_rendered_writes_nothing(report: dict[str, Any], tmp_path: Path) -> None:
    broken = {**report, "summary": {**report["summary"], "top1_int8": float("nan")}}
    with pytest.raises(ValueError, match="JSON"):
        write_report(broken, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_report_into_a_file_is_refused(report: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"x")
    with pytest.raises(GatewrightError, match="taken is a file"):
        write_report(report, tmp_path / "taken")


def test_bad_input_is_named() -> None:
    dense, images = synthetic.dense_run(), synthetic.image_records(1)
    with pytest.raises(GatewrightError, match="at least one image"):
        build_report(ARCH, synthetic.NETWORK, dense, [], {})
    with pytest.raises(GatewrightError, match="lacks checkpoint"):
        build_report(ARCH, {"name": "n", "target_density": 0.5}, dense, images, synthetic.flip_rates())
    with pytest.raises(GatewrightError, match="8x8"):
        build_report(PRESETS["8x8"], synthetic.NETWORK, dense, images, synthetic.flip_rates())
    bad = [replace(images[0], image=np.zeros((3, 32, 32), np.uint8))]
    with pytest.raises(GatewrightError, match="image 0"):
        build_report(ARCH, synthetic.NETWORK, dense, bad, synthetic.flip_rates())


def test_a_network_without_a_target_density_has_a_page(report: dict[str, Any], tmp_path: Path) -> None:
    """Checkpoints of the public release, and static networks, do not know one."""
    _, known = write_report(report, tmp_path / "known")
    _, unknown = write_report(report | {"network": report["network"] | {"target_density": None}}, tmp_path / "unknown")
    assert "Target density" in known.read_text()
    assert "Target density" not in unknown.read_text()
