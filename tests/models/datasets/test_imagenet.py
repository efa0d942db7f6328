from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets import folder
from gatewright.models.datasets.imagenet import IMAGENET, load_photographs, read_photograph
from gatewright.models.datasets.images import ImageSet


def noise(height: int, width: int, seed: int = 1) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, pixels: npt.NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")
    return path


def plain(path: Path, value: int) -> Path:
    """A grey picture whose colour tells it from others."""
    return save(path, np.full((256, 256, 3), value, np.uint8))


def greys(images: ImageSet) -> list[int]:
    assert (images.images == images.images[:, :1, :1, :1]).all()
    return [int(value) for value in images.images[:, 0, 0, 0]]


@pytest.mark.parametrize(("height", "width", "top", "left"), [(256, 320, 16, 48), (310, 256, 43, 16)])
def test_the_middle_of_a_photograph_is_cut_out(tmp_path: Path, height: int, width: int, top: int, left: int) -> None:
    pixels = noise(height, width)
    found = read_photograph(save(tmp_path / "a.png", pixels))
    assert found.dtype == np.uint8 and np.array_equal(found, pixels[top : top + 224, left : left + 224])


def test_the_shorter_edge_is_scaled_with_a_triangle_as_wide_as_the_scale(tmp_path: Path) -> None:
    """By two: weights 1, 3, 3, 1 of 8 around each new pixel; a picture that is not antialiased would have 1, 1."""
    pixels = noise(512, 640)
    weighted = np.pad(pixels.astype(np.float64), ((1, 1), (1, 1), (0, 0)), mode="edge")
    for axis in (0, 1):
        taps = [weighted.take(range(tap, weighted.shape[axis] - 3 + tap, 2), axis) for tap in range(4)]
        weighted = (taps[0] + 3 * taps[1] + 3 * taps[2] + taps[3]) / 8
    assert weighted.shape == (256, 320, 3)
    found = read_photograph(save(tmp_path / "a.png", pixels))
    assert np.abs(found - weighted[16:240, 48:272]).max() <= 1


def test_odd_sizes_are_rounded_as_torchvision_does(tmp_path: Path) -> None:
    """The longer edge is cut to whole pixels (500 x 256 / 333 = 384.4), the crop's corner rounded."""
    picture = Image.fromarray(noise(333, 500))
    expected = picture.resize((384, 256), Image.Resampling.BILINEAR).crop((80, 16, 304, 240))
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read_photograph(tmp_path / "a.png"), np.asarray(expected))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_other_colour_spaces_become_rgb_and_contents_decide_the_format(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(np.full((256, 256, 3), 255, np.uint8)).convert(mode)
    picture.save(tmp_path / "a.txt", "JPEG" if mode == "CMYK" else "PNG")
    found = read_photograph(tmp_path / "a.txt")
    assert found.shape == (224, 224, 3) and (found >= 254).all()


def test_normalisation_is_that_of_public_networks() -> None:
    images = noise(4, 4)[None]
    got = IMAGENET.normalise(images)
    for colour, (mean, deviation) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        assert np.abs(got[:, colour] - (images[:, :, :, colour] / 255.0 - mean) / deviation).max() < 1e-5


def test_photographs_in_the_folder_itself_have_no_labels_and_no_accuracy(tmp_path: Path) -> None:
    for name, value in (("b", 2), ("a", 1), (".c", 3)):
        plain(tmp_path / f"{name}.png", value)
    images = load_photographs(tmp_path, "test")
    assert greys(images) == [1, 2] and images.labels.tolist() == [-1, -1] and images.indices.tolist() == [0, 1]
    assert not images.labelled
    with pytest.raises(
        GatewrightError, match=r"the images \(photographs\) have no labels, so there is no accuracy; sort"
    ):
        images.accuracy(np.zeros(2, np.int64), 1000)


def test_named_classes_are_numbered_in_sorted_order_and_come_in_turn(tmp_path: Path) -> None:
    for name, value in (("dog/a", 20), ("cat/a", 10), ("cat/b", 11), ("cat/c", 12), ("eel/a", 30)):
        plain(tmp_path / f"{name}.png", value)
    images = load_photographs(tmp_path, "train")
    assert greys(images) == [10, 20, 30, 11, 12] and images.labels.tolist() == [0, 1, 2, 0, 0]
    assert images.source.classes == ("cat", "dog", "eel")
    assert images.accuracy(np.array([0, 1, 0, 0, 1]), 3) == 60
    with pytest.raises(GatewrightError, match="the images are of 3 classes and the network knows 1000"):
        images.accuracy(np.zeros(5, np.int64), 1000)
    first = load_photographs(tmp_path, "train", 4)
    assert greys(first) == [10, 20, 30, 11]
    assert len(load_photographs(tmp_path, "train", 9)) == 5
    assert len(IMAGENET.test_images(tmp_path, 2)) == 2
    with pytest.raises(GatewrightError, match="cannot take 9 images from a set of 5"):
        IMAGENET.test_images(tmp_path, 9)


def test_folders_called_by_numbers_are_the_classes_of_these_numbers(tmp_path: Path) -> None:
    for name, value in (("207/a", 1), ("9/a", 2), ("999/a", 3)):
        plain(tmp_path / f"{name}.png", value)
    images = load_photographs(tmp_path, "test")
    assert dict(zip(greys(images), images.labels.tolist(), strict=True)) == {1: 207, 2: 9, 3: 999}
    assert images.accuracy(images.labels, 1000) == 100
    with pytest.raises(GatewrightError, match="an image is of class 999; the network has 999"):
        images.accuracy(images.labels, 999)


def test_the_usual_folders_of_splits_are_taken_and_any_other_folder_has_none(tmp_path: Path) -> None:
    plain(tmp_path / "train" / "0" / "a.png", 1)
    plain(tmp_path / "val" / "0" / "a.png", 2)
    assert greys(load_photographs(tmp_path, "train")) == [1] and greys(load_photographs(tmp_path, "test")) == [2]
    inner = tmp_path / "val"
    assert greys(load_photographs(inner, "train")) == greys(load_photographs(inner, "test")) == [2]


def bomb(width: int, height: int) -> bytes:
    """A small PNG that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def truncated() -> bytes:
    stream = BytesIO()
    Image.fromarray(noise(256, 256)).save(stream, "JPEG")
    return stream.getvalue()[:2000]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: b"", "cannot identify image"),
        (lambda: b"notes about the pictures", "cannot identify image"),
        (truncated, "image file is truncated"),
        (lambda: bomb(20_000, 20_000), r"400000000 pixels.*decompression bomb"),
        (lambda: bomb(10_000, 10_000), r"100000000 pixels.*decompression bomb"),
        (lambda: bomb(10_000, 1), "10000x1 pixels would become 2560000x256"),
        (lambda: bomb(300, 300), "truncated"),
    ],
    ids=["empty", "text", "truncated", "bomb", "smaller bomb", "line", "no pixels"],
)
def test_files_that_are_no_photographs_are_named(tmp_path: Path, content: Callable[[], bytes], reason: str) -> None:
    plain(tmp_path / "0" / "a.png", 1)
    (tmp_path / "0" / "b.jpg").write_bytes(content())
    with pytest.raises(
        GatewrightError, match=rf"0/b\.jpg is not a photograph that can be read \(.*{reason}.*JPEG, PNG"
    ):
        load_photographs(tmp_path, "test")


def test_folders_that_cannot_be_read_one_way_only_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(message: str, split: str = "test", folder: str = ".") -> None:
        with pytest.raises(GatewrightError, match=message):
            load_photographs(tmp_path / folder, split)

    refused("holds no photographs")
    refused("unknown split 'valid'", split="valid")
    refused("no folder of photographs at .*absent", folder="absent")
    plain(tmp_path / "0" / "a.png", 1)
    refused("no folder of photographs at .*a.png", folder="0/a.png")
    plain(tmp_path / "0" / "b.png", 1)
    monkeypatch.setattr(folder, "MOST_PHOTOGRAPHS", 1)
    refused("holds 2 photographs, more than the 1 that are read at a time")
    plain(tmp_path / "notes.png", 1)
    refused("holds notes.png beside sub folders")
    (tmp_path / "notes.png").unlink()
    plain(tmp_path / "0" / "deeper" / "a.png", 1)
    refused("deeper is a folder inside a class's")


def test_nothing_ships_and_the_error_says_what_to_give() -> None:
    with pytest.raises(GatewrightError, match="no photographs for ImageNet networks ship with the package; .*--data"):
        IMAGENET.test_images(None)
