"""What the DGNet paper reports on CIFAR-10: facts of its table 1, to compare with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperResult:
    """Mean and deviation of top-1 over three runs, and MACs saved; all in percent."""

    top1: float
    deviation: float
    macs_saved: float

    @property
    def goal(self) -> float:
        """The mean less its own deviation: what counts here as reaching the paper."""
        return self.top1 - self.deviation


PAPER = {
    "dgnet-resnet20-0.5": PaperResult(92.27, 0.15, 42.7),
    "dgnet-resnet20-0.4": PaperResult(91.90, 0.23, 52.4),
    "dgnet-resnet32-0.5": PaperResult(93.21, 0.14, 43.4),
    "dgnet-resnet32-0.4": PaperResult(92.96, 0.06, 54.4),
    "dgnet-resnet110-0.4": PaperResult(94.33, 0.06, 56.1),
    "dgnet-resnet110-0.3": PaperResult(93.87, 0.09, 67.2),
}
"""By the name that the network has in the zoo; the number at its end is the target density."""


def row_of(name: str) -> str:
    """The name in ``PAPER`` of what a network of the zoo is to be compared with: one trained longer has a suffix."""
    return name.removesuffix("-long")
