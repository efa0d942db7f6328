"""Small exported programs, and edits of their archives."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
SAMPLES = "data/sample_inputs/model.pt"


class Gated(nn.Module):
    """A gated network of no family: 2x2 tiles of 4x4 pixels, ``mask`` spelled with ``ge``."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(channels, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.body, self.second = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.gate, self.head = nn.Conv2d(8, 1, 3, padding=1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        mask = torch.ge(self.gate(nn.functional.adaptive_avg_pool2d(x, 2)), 0).to(x.dtype)
        mask = nn.functional.interpolate(mask, scale_factor=4)
        y = self.second(self.body(x).relu() * mask) * mask
        logits: Tensor = self.head((x + y).relu().mean((2, 3)))
        return logits


def gated(channels: int = 3) -> Gated:
    torch.manual_seed(3)
    return Gated(channels).eval()


def export(network: nn.Module, path: Path, *inputs: Tensor, **options: Any) -> Path:
    """Save a network's program; without inputs for one 8x8 image."""
    torch.export.save(torch.export.export(network, inputs or (torch.zeros(1, 3, 8, 8),), **options), path)
    return path


def write_arrays(folder: Path, count: int, channels: int = 3, size: int = 8) -> Path:
    """Images as .npy."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(5)
    for number in range(count):
        np.save(folder / f"{number:03}.npy", rng.integers(0, 256, (size, size, channels), dtype=np.uint8))
    return folder


def edit(path: Path, edits: Mapping[str, Callable[[Any], Any]], added: Mapping[str, bytes] | None = None) -> Path:
    """Write an archive again with records edited: JSON as data, others as bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            folder, _, record = name.partition("/")
            content: Any = old.read(name)
            if record in edits and record.endswith(".json"):
                data = json.loads(content)
                content = json.dumps(edits[record](data) or data)
            elif record in edits:
                content = edits[record](content)
            new.writestr(name, content)
        for record, content in (added or {}).items():
            new.writestr(f"{folder}/{record}", content)
    path.write_bytes(made.getvalue())
    return path
