"""Avnet's Ultra96-V2: a Zynq UltraScale+ ZU3EG with 2 GiB of LPDDR4."""

from __future__ import annotations

from gatewright.boards.board import Board, Resources

BOARD = Board(
    name="ultra96",
    title="Ultra96-V2",
    chip="ZU3EG",
    machine="ultra96",
    capacity=Resources(lut=70_560, lutram=28_800, ff=141_120, carry8=8_820, bram36=216, dsp=360),
    goals={"lut": 0.70, "bram36": 0.95, "dsp": 0.85},
)
