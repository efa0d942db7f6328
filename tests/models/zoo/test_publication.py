"""A network comes into the zoo whole, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gatewright import flow, zoo_publication
from gatewright.contract.errors import GatewrightError
from gatewright.flow import ranges_path
from gatewright.models.checkpoints.checkpoint import save_checkpoint
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.zoo.catalogue import FOLDER, Card, card, is_intact
from gatewright.zoo_publication import Origin, publish
from tests.support.cifar import canonical_files, write_folder

FILES = {"mine.json", "mine.metrics.jsonl", "mine.ranges.json", "mine.safetensors"}


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (folder := tmp_path / "zoo").mkdir()
    monkeypatch.setattr(zoo_publication, "FOLDER", folder)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A checkpoint, and a log beside it."""
    spec = NetworkSpec(8)
    save_checkpoint(path := tmp_path / "run" / "model.safetensors", spec.build(), spec)
    shutil.copy(FOLDER / "dgnet-resnet20-0.4.metrics.jsonl", path.with_name("metrics.jsonl"))
    return path


def test_data_that_is_not_there_changes_nothing(zoo: Path, run: Path) -> None:
    with pytest.raises(GatewrightError, match="absent"):
        publish(run, Path("absent"), Origin("", 0, "", "mine"))
    assert not list(zoo.iterdir())


@pytest.mark.parametrize("name", ["a/b", "../b", "/b", "."])
def test_a_path_is_no_name(zoo: Path, run: Path, name: str) -> None:
    with pytest.raises(GatewrightError, match="cannot be a network's name"):
        publish(run, Path("absent"), Origin("", 0, "", name))


def test_all_files_come_at_the_end(zoo: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_folder(run.with_name("data"), canonical_files())

    def interrupted(blank: Card, path: Path, test_set: ImageSet) -> Card:
        raise KeyboardInterrupt

    def ranges(checkpoint: Path, train_set: ImageSet) -> None:
        shutil.copy(FOLDER / "resnet20.ranges.json", ranges_path(checkpoint))

    monkeypatch.setattr(flow, "write_ranges", ranges)
    monkeypatch.setattr(zoo_publication, "_measured", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish(run, data, Origin("", 0, "", "mine"))
    assert not list(zoo.iterdir())
    monkeypatch.setattr(zoo_publication, "_measured", lambda blank, path, test_set: blank)
    made = publish(run, data, Origin("", 0, "", "mine"))
    assert {file.name for file in zoo.iterdir()} == FILES
    assert card("mine", zoo) == made and is_intact("mine", zoo)
