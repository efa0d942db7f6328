"""Sets of labelled images, and what a data set is: where its images come from, and how networks want them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gatewright.contract.errors import GatewrightError

UNLABELLED = -1
"""The label of an image whose class is not known."""


class Loader(Protocol):
    """Reads a split from what a user has."""

    def __call__(self, path: str | Path, split: str, count: int | None = None) -> ImageSet:
        """The split ``train`` or ``test``; with a ``count`` its first images only, or all if there are fewer."""


@dataclass(frozen=True)
class DataSet:
    """A data set.

    ``classes`` are their names, none where they have numbers only. ``mean`` and ``std`` are those of pixels from 0
    to 1, per channel. ``load`` reads a split; ``sample`` reads the first test images, which ship with the package, or
    raises a ``GatewrightError`` where none do. ``test_name`` is how messages call the images of the split ``test``.
    """

    name: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    load: Loader
    sample: Callable[[], ImageSet]
    test_name: str

    def normalise(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """uint8 [N, H, W, C] to the networks' float input [N, C, H, W]."""
        scaled = (images.astype(np.float32) / 255 - np.asarray(self.mean, np.float32)) / np.asarray(
            self.std, np.float32
        )
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))

    def test_images(self, path: str | Path | None, count: int | None = None) -> ImageSet:
        """The first ``count`` images (all without one) of the test split at a path; without a path, of the sample.

        A count of more than there are is an error.
        """
        images = self.sample() if path is None else self.load(path, "test", count)
        return images if count is None else images.head(count)

    def test_image(self, path: str | Path | None, position: int) -> ImageSet:
        """As ``test_images``, the one at a position, counted from 0; one that is not there is an error."""
        return (self.sample() if path is None else self.load(path, "test", position + 1)).one(position)


@dataclass(frozen=True)
class ImageSet:
    """Images [N, height, width, channels] uint8 (RGB if 3) of a data set, labels [N] int64, index in their split [N].

    A label is a class, or ``UNLABELLED``.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    source: DataSet

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> bool:
        """Whether the class of every image is known."""
        return bool((self.labels != UNLABELLED).all())

    def check_size(self, size: int) -> None:
        """Raise a ``GatewrightError`` unless the images are squares of ``size`` pixels, as a network takes them."""
        height, width = self.images.shape[1:3]
        if (height, width) != (size, size):
            raise GatewrightError(f"the network takes {size}x{size} images; these are {height}x{width}")

    def check_labels(self, classes: int) -> None:
        """Raise a ``GatewrightError`` unless the labels are those of a network of so many classes."""
        if not self.labelled:
            raise GatewrightError(
                f"the images ({self.source.name}) have no labels, so there is no accuracy; sort photographs into a "
                "folder for each class"
            )
        if self.source.classes and len(self.source.classes) != classes:
            raise GatewrightError(
                f"the images are of {len(self.source.classes)} classes and the network knows {classes}, so that labels "
                "do not fit; a folder of photographs may have sub folders called by the classes' numbers"
            )
        if len(self) and self.labels.max() >= classes:
            raise GatewrightError(
                f"an image is of class {self.labels.max()}; the network has {classes}, counted from 0"
            )

    def accuracy(self, predicted: npt.NDArray[np.int64], classes: int) -> float:
        """Percent of the images for which a network of ``classes`` classes predicted [N] the label.

        Images without labels, and labels of other classes, are a ``GatewrightError``.
        """
        self.check_labels(classes)
        return float((predicted == self.labels).mean() * 100)

    def head(self, count: int) -> ImageSet:
        """The first ``count`` images; asking for more than there are is an error."""
        if not 1 <= count <= len(self):
            raise GatewrightError(f"cannot take {count} images from a set of {len(self)}; ask for 1 to {len(self)}")
        return self._part(slice(count))

    def behind(self, first: int) -> ImageSet:
        """Without the first so many images, of which at least one must be left."""
        if not 0 <= first < len(self):
            raise GatewrightError(f"there is no image {first}: the set has {len(self)}, counted from 0")
        return self._part(slice(first, None))

    def every(self, step: int) -> ImageSet:
        """Every ``step``-th image, the ``step``-th first."""
        return self._part(slice(step - 1, None, step))

    def one(self, position: int) -> ImageSet:
        """The image at a position, counted from 0; one that is not there is an error."""
        if not 0 <= position < len(self):
            raise GatewrightError(f"there is no image {position}: the set has {len(self)}, counted from 0")
        return self._part(slice(position, position + 1))

    def normalised(self) -> npt.NDArray[np.float32]:
        """The networks' float input [N, channels, height, width]."""
        return self.source.normalise(self.images)

    def shown(self, position: int) -> npt.NDArray[np.uint8] | None:
        """An image as a person sees it, [height, width, 3]; None if its channels are no colours."""
        image = self.images[position]
        return image.repeat(3, 2) if image.shape[2] == 1 else image if image.shape[2] == 3 else None

    def _part(self, part: slice) -> ImageSet:
        return ImageSet(self.images[part], self.labels[part], self.indices[part], self.source)
