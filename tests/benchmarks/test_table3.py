"""The table of the paper's FPGA on small images: what its rows say, and what it refuses to print."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gated_cases, scale_sim, table3
from benchmarks.gated_cases import Case, Measured, Refused, drams, measure, rows_of
from benchmarks.published import PAPER
from benchmarks.scale_sim import ScaleSimLayer
from benchmarks.synthetic_networks import Aimed, aim_for_ratio
from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.noise import noise_images
from gatewright.sim.fast.machine import simulate

ARCH = PRESETS["ultra96"]
CASE = Case("R18-60", "independent", "equal", images=8, seed=1, size=64)

KEYS = (
    "network masks mode dram_bytes_per_cycle dram_shared images seed synthetic theoretical realised ratio ratio_p5 "
    "ratio_p95 utilisation_dense cycles_dense cycles_gated_mean images_per_second"
)


@pytest.fixture(scope="module")
def aimed() -> Aimed:
    images = noise_images(8, 64, 1, IMAGENET, 8.0)
    return aim_for_ratio(NetworkSpec(18, "dual", 0.42, 1000, 64, "resnet-imagenet"), images, 1 - 0.582, 1)


def test_macs_are_those_of_the_torch_network_and_cycles_those_of_a_run(aimed: Aimed) -> None:
    measured = measure(CASE, ARCH, drams(ARCH.dram, [8, 12]))
    assert isinstance(measured, Measured)
    assert measured.dense_macs == aimed.made.network.dense_macs()
    assert measured.macs.tolist() == aimed.macs.tolist()
    assert measured.macs.mean() / measured.dense_macs == pytest.approx(1 - 0.582, rel=0.01)
    slow = replace(ARCH, dram=replace(ARCH.dram, beats=1, per_cycles=2))
    for number, memory in ((0, slow), (1, ARCH)):
        program = Compiler(aimed.graph, memory).compile(aimed.decisions(5), aimed.inputs[5])
        assert measured.cycles[number, 5] == simulate(program).cycles
    assert (measured.cycles[0] > measured.cycles[1]).all() and measured.dense_cycles[0] > measured.dense_cycles[1]


def test_rows_say_what_was_measured() -> None:
    macs = np.array([400, 600, 500, 500])
    cycles = np.array([[5000, 6000, 5500, 5500], [4400, 6600, 5500, 5500]])
    found = Measured(replace(CASE, images=4), 1000, macs, [10_000, 11_000], cycles, 0.1, {})
    low, high = rows_of(found, ARCH, drams(ARCH.dram, [8, 12])[:2])
    assert list(low) == KEYS.split()[:8] + [name for name in low if name in KEYS.split()[8:]]
    assert set(low) == set(KEYS.split())
    assert (low["dram_bytes_per_cycle"], high["dram_bytes_per_cycle"]) == (8, 12)
    assert low["theoretical"] == 2 and low["realised"] == pytest.approx(10_000 / 5500)
    assert low["ratio"] == pytest.approx(10_000 / 5500 / 2)
    # Images 0 and 1 keep 2 of 2.5 and 1.667 of 1.667; the percentiles are between the extremes.
    assert 0.8 < low["ratio_p5"] < 0.9 and 0.9 < low["ratio_p95"] < 1  # type: ignore[operator]
    assert high["ratio_p5"] == high["ratio_p95"] == pytest.approx(1)
    assert high["utilisation_dense"] == pytest.approx(1000 / 11_000 / 256)
    assert high["images_per_second"] == pytest.approx(300e6 / 5500)
    assert high["synthetic"] is True


def test_the_whole_table() -> None:
    listed = table3.cases(["R18-60"], 8, 1, quick=True, size=64)
    assert [(case.masks, case.mode) for case in listed] == [("independent", "equal"), ("clustered", "equal")]
    contents, refused = table3.measure_all(listed, ARCH, [12], workers=1)
    rows = json.loads(json.dumps(contents))["rows"]
    assert not refused and {row["network"] for row in rows} == {"R18", "R18-60"}
    for row in rows:
        assert set(row) == set(KEYS.split()) and row["synthetic"]
        promised = 1 if row["masks"] == "none" else PAPER["R18-60"].theoretical
        assert row["theoretical"] == pytest.approx(promised, rel=0.01)
        assert 0.3 < row["ratio"] <= 1
    lines = table3.text_of(contents).splitlines()
    assert lines[0].startswith("SYNTHETIC")
    for case in contents["cases"]:  # type: ignore[attr-defined]
        assert sum(case["cycles_by_cause"].values()) == pytest.approx(1)
    assert sum("useful macs" in line for line in lines) == 2
    assert sum(line.startswith("R18 ") for line in lines) >= 1
    assert any("R34-70  theoretical 3.05  board 2.26  ratio 0.741" in line for line in lines)


def test_other_logits_than_the_references_end_the_table(aimed: Aimed, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(program: object, memories: object) -> tuple[np.ndarray, list[int]]:
        return np.zeros(1000, np.int32), [1]

    monkeypatch.setattr(gated_cases, "aim_for_ratio", lambda *arguments: aimed)
    monkeypatch.setattr(gated_cases, "cycles_by_dram", wrong)
    with pytest.raises(AssertionError, match="R18-60, independent masks, equal, dense: the logits differ"):
        measure(CASE, ARCH, drams(ARCH.dram, [12]))


def test_what_does_not_fit_is_a_line_of_the_table(aimed: Aimed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gated_cases, "aim_for_ratio", lambda *arguments: aimed)
    result = measure(CASE, replace(ARCH, scratchpad_kib=8), drams(ARCH.dram, [12]))
    assert isinstance(result, Refused) and "missing; raise scratchpad_kib" in result.why


def test_scale_sim_gets_the_same_work(aimed: Aimed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = scale_sim.scale_sim_layers(aimed.graph)
    assert sum(layer.macs for layer in layers) == aimed.made.network.dense_macs()
    assert layers[0] == ScaleSimLayer("conv1", 69, 69, 7, 7, 3, 64, 2)  # 31 steps of 2, and 7

    # A stand-in that reports 1,000 cycles for each layer.
    report = (
        "import pathlib, sys\n"
        "config, work, count = sys.argv[1:]\n"
        "for number in range(int(count)):\n"
        "    folder = pathlib.Path(work, str(number), 'table3')\n"
        "    folder.mkdir()\n"
        "    head = 'LayerID, Total Cycles (incl. prefetch), Total Cycles,\\n'\n"
        "    (folder / 'COMPUTE_REPORT.csv').write_text(head + '0, 9, 1000,\\n')\n"
        "print(2.5, 17)\n"
    )
    monkeypatch.setattr(scale_sim, "environment", lambda folder, requirements: Path(sys.executable))
    monkeypatch.setattr(scale_sim, "_RUN", report)
    two = [ScaleSimLayer("a", 6, 6, 3, 3, 16, 32, 1), ScaleSimLayer("fc", 1, 1, 1, 1, 16, 10, 1)]
    result = scale_sim.run_scale_sim(two, ARCH, tmp_path)
    assert (result.cycles, result.seconds, result.memory_mib) == (2000, 2.5, 17)
    assert result.utilisation == pytest.approx((16 * 9 * 16 * 32 + 160) / (2000 * 256))
    assert "a,6,6,3,3,16,32,1,1:1," in (tmp_path / "scalesim" / "0" / "topology.csv").read_text()
    assert "ArrayHeight = 16" in (tmp_path / "scalesim" / "config.cfg").read_text()
