"""The cocotb side of ``protocol_bench.sv``: a memory from cocotbext-axi that holds back every channel at random."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotbext.axi import AxiBus, AxiRam

from gatewright.contract.arch import BEAT_BYTES
from gatewright.verify.host import Host, run_jobs
from gatewright.verify.memory_files import read_words

CALM = 64
"""Cycles for which a channel keeps its share of pauses."""


def _pauses(seed: int) -> Iterator[bool]:
    """Pauses of a channel: its share changes now and then, and is sometimes none."""
    generator = random.Random(seed)
    while True:
        share = generator.choice((0.0, 0.0, 0.3, 0.6, 0.9))
        for _ in range(CALM):
            yield generator.random() < share


@cocotb.test()
async def protocol(dut: Any) -> None:
    """Every job of the folder, in order and bytes; the DRAM's contents are written for the comparison."""
    memory = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=1 << 24)
    channels = (
        memory.write_if.aw_channel,
        memory.write_if.w_channel,
        memory.write_if.b_channel,
        memory.read_if.ar_channel,
        memory.read_if.r_channel,
    )

    def prepare(job: dict[str, int], folder: Path) -> None:
        memory.write(job["base"] % memory.size, read_words(folder / "dram.bin", BEAT_BYTES).tobytes())
        for number, channel in enumerate(channels):
            channel.set_pause_generator(_pauses(job["stall"] * len(channels) + number))

    def collect(job: dict[str, int], folder: Path) -> None:
        raw = bytes(memory.read(job["base"] % memory.size, job["beats"] * BEAT_BYTES))
        (folder / "dram_out.bin").write_bytes(raw)

    await run_jobs(Host(dut), prepare, collect)
