"""Figures of others, as printed in their sources: what a table of ours stands beside."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperNetwork:
    """A network of DGNet (Li et al., ICCV 2021).

    ``removed`` is the share of MACs that table 2 says was removed on average over ImageNet's validation set;
    ``board`` is the speedup on the paper's FPGA (table 3: Ultra96, 16x16 weight stationary, dynamic index module),
    ``cpu`` that on its processor (im2col without masked rows and columns), None for a network that it does not name.
    ``family`` is that of a ``NetworkSpec``, ``title`` its name without gates.
    """

    depth: int
    removed: float
    board: float | None
    family: str = "resnet-imagenet"
    cpu: float | None = None

    @property
    def title(self) -> str:
        return f"R{self.depth}" if self.family == "resnet-imagenet" else self.family

    @property
    def theoretical(self) -> float:
        """The speedup that the MACs promise."""
        return 1 / (1 - self.removed)


PAPER = {
    "R18-60": PaperNetwork(18, 0.582, 1.87, cpu=1.24),
    "R34-60": PaperNetwork(34, 0.593, 1.93, cpu=1.21),
    "R34-70": PaperNetwork(34, 0.672, 2.26, cpu=1.41),
    "R50-60": PaperNetwork(50, 0.596, None),
    "M2-50": PaperNetwork(53, 0.440, None, "mobilenet-v2"),
}

PAPER_SOURCE = "DGNet, ICCV 2021: MACs table 2, board table 3"

OTHERS = (
    (
        "DPACS, ZCU102, ResNet-18 50%-50%",
        "1.77 over serial dense, 1.26 over parallel dense",
        "ASPLOS 2023",
    ),
    (
        "DPACS, ZCU102, ResNet-18 75%-75%",
        "2.66 over serial dense, 1.46 over parallel dense",
        "ASPLOS 2023",
    ),
    ("DPU B1600, Ultra96, 287 MHz, ResNet-18 dense", "74 images/s, 59% of its peak", "Xilinx"),
    ("DPU 2 x B4096, ZCU104, 300 MHz, ResNet-18 dense", "410 images/s, 61% of its peak", "Vitis AI model zoo"),
)
"""What, figure, source."""
