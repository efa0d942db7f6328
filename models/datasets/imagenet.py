"""ImageNet's normalisation and crop, for a folder of photographs.

No photograph and no class's name ships with the package.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.folder import load_folder, read_crop
from gatewright.models.datasets.images import DataSet, ImageSet

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

SHORTER_EDGE = 256
"""Pixels of a photograph's shorter edge before the crop."""

EDGE = 224
"""Pixels of the crop's edges."""


def load_photographs(path: str | Path, split: str, count: int | None = None) -> ImageSet:
    """Read a folder of photographs as ``load_folder`` does, each as ``read_photograph`` does."""
    return load_folder(path, split, count, (EDGE, EDGE, 3), read_photograph, replace(IMAGENET, name="photographs"))


def read_photograph(path: Path) -> npt.NDArray[np.uint8]:
    """The 224x224 in the middle of a photograph whose shorter edge is scaled to 256 (bilinear), [224, 224, 3] RGB."""
    return read_crop(path, EDGE, EDGE, _scaled)


def _scaled(width: int, height: int) -> tuple[int, int]:
    shorter = min(width, height)
    return SHORTER_EDGE * width // shorter, SHORTER_EDGE * height // shorter


def _no_sample() -> NoReturn:
    raise GatewrightError("no photographs for ImageNet networks ship with the package; give a folder of them: --data")


IMAGENET = DataSet(
    "ImageNet",
    (),
    IMAGENET_MEAN,
    IMAGENET_STD,
    load=load_photographs,
    sample=_no_sample,
    test_name="photographs",
)
"""Classes are numbers here; a folder with a named sub folder for each class gives them names."""
