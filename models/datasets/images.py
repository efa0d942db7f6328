"""Sets of labelled images, and what a data set is: where its images come from, and how networks want them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gatewright.contract.errors import GatewrightError


@dataclass(frozen=True)
class DataSet:
    """A data set.

    ``mean`` and ``std`` [3] are those of pixels from 0 to 1, per channel. ``load`` reads a split (``train`` or
    ``test``) from what a user downloaded; ``sample`` reads the first test images, which ship with the package.
    """

    name: str
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    load: Callable[[str | Path, str], ImageSet]
    sample: Callable[[], ImageSet]

    def normalise(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """uint8 [N, H, W, 3] to the networks' float input [N, 3, H, W]."""
        scaled = (images.astype(np.float32) / 255 - np.asarray(self.mean, np.float32)) / np.asarray(
            self.std, np.float32
        )
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))

    def test_images(self, path: str | Path | None) -> ImageSet:
        """The test split at a path; without one, the sample."""
        return self.sample() if path is None else self.load(path, "test")


@dataclass(frozen=True)
class ImageSet:
    """Images [N, height, width, 3] uint8 RGB of a data set, labels [N] int64, and their index in the full split [N]."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    source: DataSet

    def __len__(self) -> int:
        return len(self.labels)

    def head(self, count: int) -> ImageSet:
        """The first ``count`` images; asking for more than there are is an error."""
        if not 1 <= count <= len(self):
            raise GatewrightError(f"cannot take {count} images from a set of {len(self)}; ask for 1 to {len(self)}")
        return self._part(slice(count))

    def one(self, position: int) -> ImageSet:
        """The image at a position, counted from 0; one that is not there is an error."""
        if not 0 <= position < len(self):
            raise GatewrightError(f"there is no image {position}: the set has {len(self)}, counted from 0")
        return self._part(slice(position, position + 1))

    def normalised(self) -> npt.NDArray[np.float32]:
        """The networks' float input [N, 3, height, width]."""
        return self.source.normalise(self.images)

    def _part(self, part: slice) -> ImageSet:
        return ImageSet(self.images[part], self.labels[part], self.indices[part], self.source)
