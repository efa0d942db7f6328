from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from gatewright.errors import GatewrightError
from gatewright.models import zoo

CARD = {
    "name": "resnet8",
    "command": "gatewright train --depth 8",
    "data": "CIFAR-10",
    "seed": 0,
    "epochs": 24,
    "hardware": "2 cores",
    "wall_time_s": 1300.0,
    "top1_float": 90.1,
    "top1_int8": None,
    "gate_flip_rate": 0.0,
    "mac_ratio": 1.0,
    "gate_densities": {},
}


def make_zoo(folder: Path, content: bytes = b"weights", **changes: object) -> Path:
    folder.mkdir()
    (folder / "resnet8.safetensors").write_bytes(content)
    card = {**CARD, "sha256": hashlib.sha256(content).hexdigest(), **changes}
    (folder / "resnet8.json").write_text(json.dumps({k: v for k, v in card.items() if v != "remove"}))
    return folder


def test_names_cards_and_files(tmp_path: Path) -> None:
    folder = make_zoo(tmp_path / "zoo")
    assert zoo.names(folder) == ["resnet8"]
    assert zoo.find("resnet8", folder) == folder / "resnet8.safetensors"
    assert zoo.card("resnet8", folder).top1_float == 90.1
    assert zoo.is_intact("resnet8", folder)


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    folder = make_zoo(tmp_path / "zoo")
    (folder / "resnet8.safetensors").write_bytes(b"Weights")
    assert not zoo.is_intact("resnet8", folder)


def test_a_path_is_found_and_a_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_zoo(tmp_path / "zoo")
    own = tmp_path / "own.pth.tar"
    own.write_bytes(b"")
    assert zoo.find(own, folder) == own
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet8").write_bytes(b"")
    assert zoo.find("resnet8", folder) == folder / "resnet8.safetensors"


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(GatewrightError, match=r"'resnet9'; the zoo has resnet8"):
        zoo.find("resnet9", make_zoo(tmp_path / "zoo"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(GatewrightError, match="the zoo has no networks"):
        zoo.find("resnet9", tmp_path / "empty")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": "remove"}, r"missing fields \['seed'\], unknown fields \[\]"),
        ({"colour": "red"}, r"missing fields \[\], unknown fields \['colour'\]"),
        ({"name": "resnet20"}, "is about 'resnet20', not 'resnet8'"),
    ],
)
def test_cards_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(GatewrightError, match=message):
        zoo.card("resnet8", make_zoo(tmp_path / "zoo", **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", None])
def test_cards_that_cannot_be_read_are_named(tmp_path: Path, content: bytes | None) -> None:
    folder = make_zoo(tmp_path / "zoo")
    (folder / "resnet8.json").unlink()
    if content is not None:
        (folder / "resnet8.json").write_bytes(content)
    with pytest.raises(GatewrightError, match=r"zoo card .*resnet8\.json is missing or not JSON"):
        zoo.card("resnet8", folder)


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_that_ships_is_the_one_on_its_card(name: str) -> None:
    assert zoo.is_intact(name)
