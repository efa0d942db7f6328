from __future__ import annotations

import json
import subprocess
import sys
from math import prod
from pathlib import Path

import pytest

from benchmarks import zigzag
from benchmarks.environments import PEAK_MIB, checked, environment, peak_mib
from benchmarks.peers import Row, table
from benchmarks.scale_sim import ScaleSimLayer
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError

LAYERS = [ScaleSimLayer("a", 6, 6, 3, 3, 16, 32, 1), ScaleSimLayer("fc", 1, 1, 1, 1, 16, 10, 1)]


def test_zigzag_gets_the_same_work_and_the_same_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A stand-in that reports 1,000 cycles for each layer.
    report = (
        "import json, sys\n"
        "layers = json.loads(open(sys.argv[1]).read())\n"
        "print('a line of its own')\n"
        "print(json.dumps({'cycles': [1000.0] * len(layers), 'seconds': 2.5, 'memory_mib': 17}))\n"
    )
    monkeypatch.setattr(zigzag, "environment", lambda folder, requirements: Path(sys.executable))
    monkeypatch.setattr(zigzag, "_RUN", report)
    arch = PRESETS["12x20"]
    result = zigzag.run_zigzag(LAYERS, arch, tmp_path)
    macs = sum(layer.macs for layer in LAYERS)
    assert (result.cycles, result.seconds, result.memory_mib) == (2000, 2.5, 17)
    assert result.utilisation == pytest.approx(macs / (2000 * arch.peak_macs))
    layers = json.loads((tmp_path / "zigzag" / "layers.json").read_text())
    assert [prod(layer["loop_sizes"]) for layer in layers] == [layer.macs for layer in LAYERS]
    described = json.loads((tmp_path / "zigzag" / "accelerator.yaml").read_text())
    assert described["operational_array"]["sizes"] == [20, 12]
    assert described["memories"]["scratchpad"]["size"] == 8 * 1024 * arch.scratchpad_kib
    (mapping,) = json.loads((tmp_path / "zigzag" / "mapping.yaml").read_text())
    assert mapping["spatial_mapping"] == {"D1": ["K, 20"], "D2": ["C, 12"]}


def test_memory_is_that_of_the_process_alone() -> None:
    """A child of a large process does not begin with its parent's."""
    kept = bytearray(200 << 20)
    kept[::4096] = b"x" * len(kept[::4096])
    child = subprocess.run(
        [sys.executable, "-c", f"{PEAK_MIB}print(peak_mib())"], check=True, capture_output=True, text=True
    )
    assert peak_mib() >= 200 > int(child.stdout)


def test_a_tool_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GatewrightError, match="cannot run"):
        checked([str(tmp_path / "missing")])
    with pytest.raises(GatewrightError, match="failed: .*no such thing"):
        checked([sys.executable, "-c", "raise SystemExit('no such thing')"])
    (tmp_path / ".installed").touch()
    assert environment(tmp_path, ("nothing==0",)) == tmp_path / "bin" / "python"


def test_the_table_has_a_row_for_each_tool() -> None:
    lines = table([Row("one", 1234, 0.5, 1.25, 2048, "yes")]).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    assert lines[2] == "| one | 1,234 | 50.0% | 1.25 | 2,048 | yes |"
