"""Wheel and sdist hold the package as the tree has it, and nothing else."""

from __future__ import annotations

import email
import re
import tarfile
from email.message import Message
from pathlib import Path

import pytest

from gatewright import __version__
from tests.packaging.build import ROOT, build, contents, tree_files, wheel_of


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def wheel(built: tuple[Path, Path]) -> dict[str, bytes]:
    return contents(built[0])


@pytest.fixture(scope="module")
def metadata(wheel: dict[str, bytes]) -> Message:
    return email.message_from_bytes(wheel[f"gatewright-{__version__}.dist-info/METADATA"])


def test_wheel_holds_every_file_of_the_package_and_no_other(wheel: dict[str, bytes]) -> None:
    packed = {name for name in wheel if not name.startswith(f"gatewright-{__version__}.dist-info/")}
    tree = tree_files()
    assert sorted(tree.keys() - packed) == [], "not in the wheel: add the kind of file to package-data"
    assert sorted(packed - tree.keys()) == [], "in the wheel alone"
    assert [name for name, path in tree.items() if wheel[name] != path.read_bytes()] == []


def test_linked_folders_and_their_data_are_there_as_files(wheel: dict[str, bytes]) -> None:
    for name in (
        "gatewright/hw/hls/cpp/top.cpp",
        "gatewright/models/zoo/dgnet-resnet20-0.4.safetensors",
        "gatewright/verify/sv/bench.sv",
        "gatewright/vivado/templates/component.xml.j2",
        "gatewright/report/report.css",
        "gatewright/boards/ultra96.toml",
        "gatewright/data/cifar10_test_256.png",
        "gatewright/py.typed",
    ):
        assert len(wheel[name]) == tree_files()[name].stat().st_size


def test_sdist_alone_gives_the_same_wheel(built: tuple[Path, Path], wheel: dict[str, bytes], tmp_path: Path) -> None:
    again = contents(wheel_of(built[1], tmp_path))
    assert again.keys() == wheel.keys()
    assert [name for name in wheel if again[name] != wheel[name]] == []


def test_sdist_has_no_tests_and_no_links(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        members = archive.getmembers()
    assert [m.name for m in members if m.issym() or m.islnk()] == []
    top = {Path(m.name).parts[1] for m in members if len(Path(m.name).parts) > 1}
    texts = {"README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "MANIFEST.in", "pyproject.toml"}
    assert top == texts | {"gatewright", "gatewright.egg-info", "PKG-INFO", "setup.cfg"}


def test_metadata_say_what_it_is(metadata: Message) -> None:
    assert metadata["Name"] == "gatewright"
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text()
    assert "Typing :: Typed" in (metadata.get_all("Classifier") or [])
    assert {"dev", "docs", "proofs"} <= set(metadata.get_all("Provides-Extra") or [])


def test_command_is_installed(wheel: dict[str, bytes]) -> None:
    text = wheel[f"gatewright-{__version__}.dist-info/entry_points.txt"].decode()
    assert "gatewright = gatewright.cli.main:main" in text


def test_version_is_said_once_and_the_changelog_knows_it() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert __version__ not in (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[0]
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased" or headings[0].startswith(f"{__version__} ")
