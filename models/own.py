"""A network that is none of ours: what is known of it, and how its images are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import numpy as np
import numpy.typing as npt
from annotated_types import Interval

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.folder import load_folder, read_crop
from gatewright.models.datasets.images import DataSet, ImageSet

Resize = Literal["cover", "stretch"] | Annotated[int, Interval(ge=1, le=1 << 15)]
"""How a photograph is brought to a network's size: scaled until it covers it, and its middle cut out; scaled to it,
whatever becomes of its shape; or scaled until its shorter edge has so many pixels, and its middle cut out."""


@dataclass(frozen=True)
class OwnSpec:
    """As ``NetworkSpec``, for a network that comes as an exported program: ``data`` reads images of its size."""

    name: str
    classes: int
    data: DataSet
    target_density: float | None = None
    synthetic: bool = False

    @property
    def classifies(self) -> bool:
        """Whether it has a classifier."""
        return self.classes > 0


def own_images(
    shape: tuple[int, int, int], mean: tuple[float, ...], std: tuple[float, ...], resize: Resize = "cover"
) -> DataSet:
    """The images of a network that takes ``shape`` (channels, height, width).

    A file is a photograph or an array (``read_image``). ``mean`` and ``std`` are those of pixels from 0 to 1, one for
    each channel; ``resize`` is how photographs are brought to the size. A shorter edge that the network's size does not
    fit into is a ``GatewrightError``.
    """
    channels, height, width = shape
    if isinstance(resize, int) and resize < max(height, width):
        raise GatewrightError(
            f"images are resized to {resize} pixels at the shorter edge, and {height}x{width} "
            "are to be cut out of them; "
            f"take at least {max(height, width)}"
        )

    def load(path: str | Path, split: str, count: int | None = None) -> ImageSet:
        return load_folder(
            path, split, count, (height, width, channels), lambda file: read_image(file, shape, resize), source
        )

    def sample() -> NoReturn:
        raise GatewrightError("no images for your own network ship with the package; give a folder of them: --data")

    source = DataSet("images", (), mean, std, load=load, sample=sample, test_name="images")
    return source


def read_image(path: Path, shape: tuple[int, int, int], resize: Resize = "cover") -> npt.NDArray[np.uint8]:
    """One image [height, width, channels] of the ``shape`` (channels, height, width).

    ``.npy`` is a uint8 array of this very size; for one channel [height, width] will do. Any other file is a
    photograph, for 3 channels (RGB) or 1 (grey): scaled (bilinear) and cut as ``resize`` says. What cannot be read is a
    ``GatewrightError`` that names it.
    """
    channels, height, width = shape
    if path.suffix == ".npy":
        return _read_array(path, shape)
    if channels not in (1, 3):
        raise GatewrightError(f"{path}: a network of {channels} channels takes .npy files, uint8 [H, W, {channels}]")

    def scaled(wide: int, high: int) -> tuple[int, int]:
        if resize == "stretch":
            return width, height
        factor = max(width / wide, height / high) if resize == "cover" else resize / min(wide, high)
        return max(width, round(wide * factor)), max(height, round(high * factor))

    return read_crop(path, height, width, scaled, "RGB" if channels == 3 else "L").reshape(height, width, channels)


def _read_array(path: Path, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    channels, height, width = shape
    try:
        # Mapped: a header that promises more than the file has is refused before memory is taken. No pickles.
        array = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, SyntaxError, LookupError, TypeError, EOFError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise GatewrightError(
            f"{path} is not an array that can be read ({reason}); write it with numpy.save"
        ) from error
    fits = array.shape == (height, width, channels) or (channels == 1 and array.shape == (height, width))
    if array.dtype != np.uint8 or not fits:
        raise GatewrightError(
            f"{path} is {array.dtype} {list(array.shape)}; the network takes uint8 [{height}, {width}, {channels}], "
            "pixels from 0 to 255"
        )
    return np.array(array).reshape(height, width, channels)
