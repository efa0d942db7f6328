from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from gatewright.contract.errors import GatewrightError
from gatewright.models.training.curves import read_metrics
from gatewright.models.zoo import catalogue as zoo
from gatewright.models.zoo.table import zoo_table

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
    "gate_flips": {},
    "mac_ratio": 1.0,
    "gate_densities": {},
    "spatial_dependent": None,
    "channel_dependent": None,
    "blocks_closed": 0,
    "exit_shares": [],
    "cycles_arch": "ultra96",
    "cycles_images": 256,
    "cycles_dense": 1000,
    "cycles_gated": None,
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
        ({"seed": "remove"}, "resnet8.json: missing key seed; a card has name, command"),
        ({"colour": "red"}, "unknown key colour; a card has name, command"),
        ({"seed": "0"}, "seed = '0' must be a valid integer"),
        ({"top1_float": 190.1}, "top1_float = 190.1 must be less than or equal to 100"),
        ({"gate_flips": {"a": None}}, "gate_flips.a = None must be a valid number"),
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
    with pytest.raises(GatewrightError, match=r"zoo card .*resnet8\.json is (missing|not JSON)"):
        zoo.card("resnet8", folder)


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_that_ships_is_the_one_on_its_card(name: str) -> None:
    assert zoo.is_intact(name)


def row(**changes: object) -> list[str]:
    card = zoo.Card(**{**CARD, "sha256": "", **changes})  # type: ignore[arg-type]
    lines = zoo_table([card]).splitlines()
    (found,) = [line for line in lines if f"`{card.name}`" in line]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_the_table_puts_a_network_beside_the_papers() -> None:
    """Figures of the paper's table 1."""
    gated = {
        "name": "dgnet-resnet20-0.4",
        "mac_ratio": 0.47,
        "top1_int8": 90.0,
        "gate_flip_rate": 0.0031,
        "spatial_dependent": 0.4074,
    }
    assert row(**gated, cycles_gated=502.5) == [
        "`dgnet-resnet20-0.4`",
        "91.90±0.23, 52.4%",
        "90.10",
        "90.00",
        "53.0%",
        "40.7%, -",
        "0.31%",
        "1,000, 502",
        "1.990",
        "24",
    ]
    assert row() == ["`resnet8`", "-", "90.10", "-", "-", "-", "-", "1,000", "-", "24"]


def test_the_table_names_what_is_missing() -> None:
    table = zoo_table([])
    assert "| `dgnet-resnet110-0.3` | 93.87±0.09, 67.2% | not trained |" in table
    assert len(table.splitlines()) == 2 + 6


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_ships_with_the_log_of_its_training(name: str) -> None:
    records = read_metrics(zoo.metrics_path(zoo.find(name)))
    assert len(records) == zoo.card(name).epochs


def test_a_network_of_the_zoo_is_called_as_it_is_there(tmp_path: Path) -> None:
    assert zoo.name_of(zoo.find("dgnet-resnet20-alive"), "dgnet-resnet20-0.48") == "dgnet-resnet20-alive"
    assert zoo.name_of(tmp_path / "model.safetensors", "dgnet-resnet20-0.48") == "dgnet-resnet20-0.48"
