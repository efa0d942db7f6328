"""A folder of pictures, with labels or without: which files there are, and of which class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.images import UNLABELLED, DataSet, ImageSet
from gatewright.models.datasets.pictures import PICTURE_FAULTS, open_picture

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""By a file's contents, whatever it is called."""

LARGEST_CLASS = 65_534
"""A folder that is called by a larger number is no class's."""

MOST_PHOTOGRAPHS = 50_000
"""That are read at a time: those of ImageNet's validation set, 7.5 GB."""

SPLITS = {"train": "train", "test": "val"}
"""What the folders of splits are called where a data set is unpacked as usual."""


def load_folder(
    path: str | Path,
    split: str,
    count: int | None,
    shape: tuple[int, int, int],
    read: Callable[[Path], npt.NDArray[np.uint8]],
    source: DataSet,
) -> ImageSet:
    """Read a folder of photographs.

    Photographs that lie in the folder itself have no labels. With a sub folder for each class the label is the
    class: the sub folder's name, if all are called by numbers; its place in sorted order otherwise, and then every
    class of the network must be there. Their order takes one of each class in turn, so that the first ones are of many
    classes. Names that begin with a dot are passed over.

    Parameters
    ----------
    path
        The folder. If it holds the folders ``train`` and ``val``, the split is one of these; otherwise it has no
        splits, and stands for either.
    split
        ``train`` or ``test``.
    count
        Read the first photographs only, or all if there are fewer.
    shape
        Height, width and channels of what ``read`` makes of a file.
    read
        Reads one file as pixels; a fault is a ``GatewrightError`` that names it.
    source
        What the images are of; where sub folders have names, these become the classes.

    Raises
    ------
    GatewrightError
        There is no photograph; ``read`` refuses one; photographs lie beside sub folders; more than
        ``MOST_PHOTOGRAPHS`` are to be read.
    """
    folder = Path(path)
    if split not in SPLITS:
        raise GatewrightError(f"unknown split {split!r} of a folder of photographs; use train or test")
    if not folder.is_dir():
        raise GatewrightError(f"no folder of photographs at {folder}")
    if all((folder / name).is_dir() for name in SPLITS.values()):
        folder = folder / SPLITS[split]
    classes, labelled = _files(folder)
    labelled = labelled if count is None else labelled[:count]
    if not labelled:
        raise GatewrightError(f"{folder} holds no photographs")
    if len(labelled) > MOST_PHOTOGRAPHS:
        raise GatewrightError(
            f"{folder} holds {len(labelled):,} photographs, more than the {MOST_PHOTOGRAPHS:,} that are read at a time;"
            " put fewer into a folder of their own"
        )
    images = np.empty((len(labelled), *shape), np.uint8)
    for position, (_, file) in enumerate(labelled):
        images[position] = read(file)
    labels = np.array([label for label, _ in labelled], np.int64)
    return ImageSet(images, labels, np.arange(len(labels), dtype=np.int64), replace(source, classes=classes))


def read_crop(
    path: Path, height: int, width: int, scaled: Callable[[int, int], tuple[int, int]], mode: str = "RGB"
) -> npt.NDArray[np.uint8]:
    """The middle [height, width] of a photograph after bilinear scaling; with a last axis of 3 for ``RGB``, none for
    ``L`` (grey).

    ``scaled`` gives the scaled width and height for those of the file. What is no picture of ``FORMATS``, damaged or
    of too many pixels is a ``GatewrightError`` that names it.
    """
    try:
        with path.open("rb") as file:
            picture = open_picture(file, FORMATS)
            size = scaled(*picture.size)
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and size[0] * size[1] > limit:  # a line of a picture grows to a bomb of its own
                raise ValueError("{}x{} pixels would become {}x{}".format(*picture.size, *size))
            whole = picture.convert(mode).resize(size, Image.Resampling.BILINEAR)
    except PICTURE_FAULTS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise GatewrightError(
            f"{path} is not a photograph that can be read ({reason}); formats are {', '.join(FORMATS)}"
        ) from error
    left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
    return np.asarray(whole.crop((left, top, left + width, top + height)))


def _files(folder: Path) -> tuple[tuple[str, ...], list[tuple[int, Path]]]:
    """The classes by their sub folders' names (none where they are numbers), and each photograph with its label."""
    inside = _listed(folder)
    folders = [entry for entry in inside if entry.is_dir()]
    if not folders:
        return (), [(UNLABELLED, file) for file in inside]
    if len(folders) != len(inside):
        file = next(entry for entry in inside if not entry.is_dir())
        raise GatewrightError(
            f"{folder} holds {file.name} beside sub folders; a folder of photographs holds photographs, or a sub "
            "folder for each class"
        )
    names = tuple(entry.name for entry in folders)
    numbered = all(name.isascii() and name.isdigit() and int(name) <= LARGEST_CLASS for name in names)
    rows = []
    for position, entry in enumerate(folders):
        files = _listed(entry)
        deeper = next((file for file in files if file.is_dir()), None)
        if deeper is not None:
            raise GatewrightError(f"{deeper} is a folder inside a class's; a class's folder holds photographs only")
        rows.append([(int(entry.name) if numbered else position, file) for file in files])
    in_turn = [entry for entry in chain.from_iterable(zip_longest(*rows)) if entry is not None]
    return () if numbered else names, in_turn


def _listed(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
