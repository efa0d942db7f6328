"""The host's side in a cocotb bench: AXI4-Lite accesses, and the order of things around one program.

Signals are driven and sampled at the clock's falling edge, so that no order within a time step matters.
Between start and end Python only waits for ``finished``: everything else is done by the Verilog around the machine,
and in ``bench.sv`` the clock by ``main.cpp``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge, SimTimeoutError, Timer, with_timeout

from gatewright.contract.registers import CONTROL, INTERRUPT_ENABLE, REGISTERS, STATUS, UNIT_NAMES
from gatewright.verify.runner import CLOCK_STEPS

OFFSETS = {register.name: register.offset for register in REGISTERS}

START, INTERRUPT_ON = CONTROL.bit("START").mask, INTERRUPT_ENABLE.bit("ENABLE").mask
DONE, ERROR, READY = (STATUS.bit(name).mask for name in ("DONE", "ERROR", "READY"))

IMAGE_REGISTERS = ("IMAGES", *(f"{ring}_{n}" for ring in ("INPUT", "OUTPUT") for n in ("OFFSET", "STRIDE", "SLOTS")))
"""What a job has under these names is written before the start."""

RESULTS = (
    *("ID", "STATUS", "ERROR_CODE", "ERROR_INSTRUCTION", "ERROR_ENTRY", "CYCLES", "INSTRUCTIONS", "IMAGE"),
    *(f"COMPLETED_{name}" for name in UNIT_NAMES),
)
"""What is read behind each program; behind the first one, and where something differs, all registers are."""

PAUSE = 64
"""Clock cycles between two looks at a machine that is not ready yet: each look is Python, and takes as long as many."""

PATIENCE = 20_000
"""Clock cycles in which the machine must answer its host."""


class Host:
    """The master of the machine's control port. ``dut`` has the ports of ``machine.sv``."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        Clock(dut.clk, CLOCK_STEPS, "step", impl="gpi").start()  # toggles without Python
        self._first = True
        for name in ("awvalid", "wvalid", "bready", "arvalid", "rready"):
            getattr(dut, f"s_axi_{name}").value = 0

    async def reset(self) -> None:
        """Hold reset for four clock cycles."""
        self.dut.load.value = self.dut.dump.value = 0
        self.dut.rst.value = 1
        for _ in range(4):
            await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        await FallingEdge(self.dut.clk)

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        for _ in range(PATIENCE):
            await ReadOnly()  # what is combinational follows what was just driven
            if condition():
                return
            await FallingEdge(self.dut.clk)
        raise AssertionError(f"the machine does not answer: {what} in {PATIENCE} clock cycles")

    def _is(self, name: str) -> bool:
        return bool(int(getattr(self.dut, name).value))

    async def write(self, name: str, value: int) -> None:
        """Write a register by name."""
        dut = self.dut
        dut.s_axi_awaddr.value, dut.s_axi_wdata.value, dut.s_axi_wstrb.value = OFFSETS[name], value, 0xF
        dut.s_axi_awvalid.value = dut.s_axi_wvalid.value = dut.s_axi_bready.value = 1
        left = ["aw", "w"]
        for _ in range(PATIENCE):
            await ReadOnly()
            taken = [channel for channel in left if self._is(f"s_axi_{channel}ready")]
            await FallingEdge(dut.clk)
            for channel in taken:
                getattr(dut, f"s_axi_{channel}valid").value = 0
                left.remove(channel)
            if not left:
                break
        assert not left, f"the machine does not take a write of {name}: no {' or '.join(left)}ready"
        await self._until(lambda: self._is("s_axi_bvalid"), f"no bvalid for {name}")
        response = int(dut.s_axi_bresp.value)
        await FallingEdge(dut.clk)
        dut.s_axi_bready.value = 0
        assert response == 0, f"the write of {name} is answered with {response}"

    async def read(self, name: str) -> int:
        """Read a register by name."""
        dut = self.dut
        dut.s_axi_araddr.value = OFFSETS[name]
        dut.s_axi_arvalid.value = dut.s_axi_rready.value = 1
        await self._until(lambda: self._is("s_axi_arready"), f"no arready for {name}")
        await FallingEdge(dut.clk)
        dut.s_axi_arvalid.value = 0
        await self._until(lambda: self._is("s_axi_rvalid"), f"no rvalid for {name}")
        value, response = int(dut.s_axi_rdata.value), int(dut.s_axi_rresp.value)
        await FallingEdge(dut.clk)
        dut.s_axi_rready.value = 0
        assert response == 0, f"the read of {name} is answered with {response}"
        return value

    async def _rises(self, name: str, limit: int) -> None:
        """Wait for a port that becomes 1 within so many clock cycles, while the machine runs."""
        if not self._is(name):
            try:
                await with_timeout(RisingEdge(getattr(self.dut, name)), limit * CLOCK_STEPS, "step")
            except SimTimeoutError as error:
                raise AssertionError(f"the machine was started and nothing ended in {limit} cycles: {name}") from error

    async def _pulse(self, name: str) -> None:
        getattr(self.dut, name).value = 1
        await FallingEdge(self.dut.clk)
        getattr(self.dut, name).value = 0
        await FallingEdge(self.dut.clk)

    async def run(self, job: dict[str, int], folder: Path) -> bool:
        """Run one program and leave ``registers.json``, ``result.txt`` and the memories; whether it was as expected."""
        dut = self.dut
        dut.image.value, dut.base.value = job["number"], job["base"]
        await self._pulse("load")
        await self.write("BASE", job["base"])
        await self.write("CODE_ADDRESS", job["code_address"])
        await self.write("BOOT_COUNT", job["boot_count"])
        for name in IMAGE_REGISTERS:
            await self.write(name, job[name])
        await self.write("INTERRUPT_ENABLE", INTERRUPT_ON)
        for _ in range(PATIENCE):
            if await self.read("STATUS") & READY:
                break
            await Timer(PAUSE * CLOCK_STEPS, "step")
            await FallingEdge(dut.clk)
        else:
            raise AssertionError("STATUS does not become ready")
        begin = time.process_time()
        await self.write("CONTROL", START)
        await self._rises("finished", job["limit"])
        seconds = time.process_time() - begin
        await FallingEdge(dut.clk)
        different = self._is("different")
        if job.get("error"):
            # The monitor cannot follow a program that is meant to stop the machine: only the registers tell.
            await self._rises("interrupt", job["limit"])
            different = False
        if not different:
            await self._until(lambda: self._is("interrupt"), "no interrupt after the end")
            await FallingEdge(dut.clk)
        names = OFFSETS if self._first or different else RESULTS
        self._first = False
        registers = {name: await self.read(name) for name in names}
        interrupt = self._is("interrupt")
        await self.write("STATUS", DONE | ERROR)
        await FallingEdge(dut.clk)
        notes = {"interrupt": interrupt, "interrupt_after_clear": self._is("interrupt"), "seconds": seconds}
        if not job.get("error"):  # of those nobody looks at the memories
            await self._pulse("dump")
        (folder / "registers.json").write_text(json.dumps({"registers": registers, **notes}))
        return not different


Step = Callable[[dict[str, int], Path], None]


def _nothing(job: dict[str, int], folder: Path) -> None:
    pass


async def run_jobs(host: Host, prepare: Step, collect: Step = _nothing) -> None:
    """Run the jobs of ``jobs.json`` in the folder $GATEWRIGHT_JOB one after the other, up to the first difference.

    ``prepare(job, folder)`` fills the memory before a job, ``collect(job, folder)`` reads it afterwards.
    """
    folder = Path(os.environ["GATEWRIGHT_JOB"])
    await host.reset()
    for job in json.loads((folder / "jobs.json").read_text()):
        place = folder / f"image_{job['number']}"
        prepare(job, place)
        as_expected = await host.run(job, place)
        collect(job, place)
        if not as_expected:
            break
