"""Where parameter entries lie: each has a number that an instruction's field holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise
from gatewright.contract.arch import PRESETS

ENTRIES = 128
EDGE = 8


class Pooled(nn.Module):
    """1x1 convolutions of some widths, and a coarse average beside the last one's map."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        channels = [3, *widths]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(channels, widths, strict=False))
        self.branch = nn.Conv2d(widths[-1], 8, 1)
        self.out = nn.Conv2d(widths[-1] + 8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.relu(conv(x))
        y = F.relu(self.branch(F.adaptive_avg_pool2d(x, 2)))
        y = F.interpolate(y, size=(EDGE, EDGE), mode="bilinear", align_corners=True)
        out: Tensor = self.out(torch.cat([x, y], 1))
        return out


@pytest.mark.parametrize("last", range(1, 13))
def test_the_entry_behind_a_poolings_is_never_the_next_pages(last: int) -> None:
    torch.manual_seed(0)
    network = Pooled([7, *[13] * 8, last]).eval()
    images = np.random.default_rng(0).standard_normal((2, 3, EDGE, EDGE)).astype(np.float32)
    graph = capture(network, (3, EDGE, EDGE))
    arch = replace(PRESETS["ultra96"], parameter_entries=ENTRIES)
    layout = Compiler(quantise(graph, calibrate(graph, images)), arch).image.parameter_layout
    assert max(layout.entry.values()) < ENTRIES, layout.entry
