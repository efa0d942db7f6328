"""Unit tests of RTL blocks: build a component with Verilator once, run a module of cocotb tests on it.

A pytest test calls ``run_bench(component, "tests.hw.control.bench_queue", env={"SEED": "3"})``; the bench module holds
``@cocotb.test()`` coroutines. Inside, ``Bench(dut, component)`` drives and samples ports as integers or, for ports
with an Amaranth layout, through ``pack`` and ``unpack``. Interface members are ports named ``member__signal``.

Builds are kept in ``build/blocks/<hash of the Verilog>``, so a bench with other seeds does not build again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amaranth.lib import data, wiring
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from gatewright.hw.verilog.text import verilog_text
from gatewright.verify.tools import environment, tool_environment

ROOT = Path(__file__).resolve().parents[2]
BUILDS = ROOT / "build" / "blocks"
TOP = "block"
VERILATOR_ARGUMENTS = [
    "-O3",
    "-CFLAGS",
    "-O0",  # a bench runs for seconds; compiling its C++ for speed takes six times as long
    "--output-split",
    "0",  # split designs need a precompiled header that the wheel's makefile does not name
    "--no-public-flat-rw",  # everything public costs most of the speed; ports are public through the .vlt file
    "-Wno-fatal",
    "-Wno-WIDTHEXPAND",
    "-Wno-WIDTHTRUNC",
]


def build(component: wiring.Component, name: str = TOP, verilog: str | None = None) -> Path:
    """The folder of the component's simulator, built unless it is there already; of other Verilog with its ports."""
    text = verilog_text(component, name) if verilog is None else verilog
    key = hashlib.sha256(text.encode() + repr(VERILATOR_ARGUMENTS).encode()).hexdigest()[:16]
    folder = BUILDS / key
    BUILDS.mkdir(parents=True, exist_ok=True)
    with (BUILDS / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            shutil.rmtree(folder, ignore_errors=True)  # what a build that failed has left
            folder.mkdir()
            (folder / "block.v").write_text(text)
            public = [f'public_flat_rw -module "{name}" -var "{port}"' for port in _ports(component)]
            (folder / "ports.vlt").write_text("`verilator_config\n" + "\n".join(public) + "\n")
            with environment(tool_environment()):
                get_runner("verilator").build(
                    sources=[folder / "ports.vlt", folder / "block.v"],
                    hdl_toplevel=name,
                    build_dir=folder / "sim",
                    build_args=VERILATOR_ARGUMENTS,
                    log_file=folder / "build.log",
                    always=True,
                )
            (folder / "built").touch()
    return folder


def _ports(component: wiring.Component) -> list[str]:
    names = ["__".join(str(part) for part in path) for path, _, _ in component.signature.flatten(component)]
    return ["clk", "rst", *names]


def run_bench(
    component: wiring.Component, module: str, *, env: Mapping[str, str] | None = None, verilog: str | None = None
) -> None:
    """Run every cocotb test of ``module`` on the component; an assertion in it fails the caller.

    ``verilog``: what to run in its place, with the same ports; its module is ``block``.
    """
    folder = build(component, verilog=verilog)
    run = folder / f"run-{os.getpid()}"
    run.mkdir(exist_ok=True)
    runner = get_runner("verilator")
    log = run / "run.log"
    # Through os.environ, since the runner lets this process's variables win over its extra_env: a terminal's COLUMNS
    # or a PYTHONPATH of the caller would replace the bench's.
    variables = {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **(env or {})}
    try:
        with environment(variables):
            results = runner.test(
                test_module=module,
                hdl_toplevel=TOP,
                hdl_toplevel_lang="verilog",
                build_dir=folder / "sim",
                test_dir=run,
                results_xml=str(run / "results.xml"),
                log_file=log,
            )
        tests, failures = get_results(results)
    except (SystemExit, RuntimeError, subprocess.CalledProcessError) as error:
        raise AssertionError(f"{module} did not finish: {error}\n{_tail(log)}") from error
    assert tests > 0, f"{module} holds no cocotb test"
    assert failures == 0, f"{module}: {failures} of {tests} tests failed; env {dict(env or {})}\n{_tail(log)}"


def _tail(log: Path, lines: int = 60) -> str:
    return "\n".join(log.read_text().splitlines()[-lines:]) if log.exists() else ""


def pack(layout: data.Layout, values: Mapping[str, Any] | list[Any] | int) -> int:
    """An integer with the bits of a layout from nested dicts, lists and integers; what is not named is 0."""
    if isinstance(values, int):
        return values
    bits = 0
    items = values.items() if isinstance(values, Mapping) else enumerate(values)
    for key, value in items:
        place = layout[key]
        inner = place.shape
        raw = pack(inner, value) if isinstance(inner, data.Layout) else int(value)
        bits |= (raw & ((1 << place.width) - 1)) << place.offset
    return bits


def unpack(layout: data.Layout, bits: int, key: Any) -> int:
    """The unsigned integer of one member of a layout's bits."""
    place = layout[key]
    return (bits >> place.offset) & ((1 << place.width) - 1)


class Bench:
    """A running block: ``set`` inputs, ``get`` outputs, ``step`` clock cycles.

    ``set`` takes effect in the cycle that begins with the next ``step``'s previous edge: the pattern is set inputs,
    ``await settle()``, look at outputs of this cycle, ``await step()``. Each access costs time, so look at few ports.
    """

    def __init__(self, dut: Any) -> None:
        from cocotb.clock import Clock

        self.dut = dut
        self.cycle = 0
        Clock(dut.clk, 10, "step", impl="gpi").start()

    async def reset(self) -> None:
        """Hold reset for two cycles, with all inputs at 0; the cycle count begins behind it."""
        from cocotb.triggers import FallingEdge

        self.dut.rst.value = 1
        for _ in range(3):
            await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        self.cycle = 0

    def set(self, **values: int) -> None:
        """Drive input ports, from now on."""
        for name, value in values.items():
            getattr(self.dut, name).value = value

    async def settle(self) -> None:
        """Wait until combinational outputs follow the inputs that were just set."""
        from cocotb.triggers import ReadOnly, Timer

        await ReadOnly()
        await Timer(1, "step")

    def get(self, name: str) -> int:
        """An output port as an unsigned integer."""
        return int(getattr(self.dut, name).value)

    async def step(self, cycles: int = 1) -> None:
        """Go to the middle (falling edge) of the next cycle: registers have their new values."""
        from cocotb.triggers import FallingEdge

        for _ in range(cycles):
            await FallingEdge(self.dut.clk)
            self.cycle += 1
