"""The cocotb side of ``bench.sv``: the machine with the DRAM model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb

from gatewright.verify.host import Host, run_jobs


@cocotb.test()
async def lockstep(dut: Any) -> None:
    """Every job of the folder; the comparison is made by the monitor and, afterwards, by whoever reads its files."""

    def prepare(job: dict[str, int], folder: Path) -> None:
        dut.image_beats.value, dut.stall.value = job["beats"], job["stall"]

    await run_jobs(Host(dut), prepare)
