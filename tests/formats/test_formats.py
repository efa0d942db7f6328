"""Every reader takes files of the versions that it says, with what they held, and says of others what to do."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import CHECKPOINT, FORMATS, PROGRAM, FileFormat
from gatewright.driver import program as driver_program
from gatewright.driver.registers import COUNTERS_FORMAT, PROGRAM_FORMAT
from tests.formats.__main__ import EXPECTED, FILES
from tests.formats.kinds import MAKERS, READERS

BY_KIND = {one.kind: one for one in FORMATS}
CASES = [
    (folder.name, name) for folder in sorted(FILES.iterdir()) for name in json.loads((folder / EXPECTED).read_text())
]


def missing(expected: object, found: object, path: str = "") -> list[str]:
    """Where what was held once is no longer there; more may be there."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [line for key, value in expected.items() for line in missing(value, found.get(key), f"{path}.{key}")]
    return [] if expected == found else [f"{path[1:]}: {expected!r} became {found!r}"]


@pytest.mark.parametrize(("folder", "name"), CASES)
def test_files_of_every_version_hold_what_they_held(folder: str, name: str) -> None:
    kind, _, version = folder.rpartition("-")
    path, one = FILES / folder / name, BY_KIND[kind]
    if int(version) not in one.versions:
        with pytest.raises(GatewrightError, match=rf"{folder}.*, only {one.name}; {re.escape(one.fix)}"):
            READERS[kind](path)
        return
    expected = json.loads((FILES / folder / EXPECTED).read_text())[name]
    found = json.loads(json.dumps(READERS[kind](path)))
    wrong = missing(expected, found)
    assert not wrong, (
        f"{folder}/{name} is read otherwise: {wrong}; raise the version (docs/formats.md), or mend the reader"
    )


def test_every_version_that_is_read_or_written_has_files() -> None:
    there = {folder.name for folder in FILES.iterdir()}
    needed = {f"{one.kind}-{version}" for one in FORMATS for version in one.versions}
    assert needed <= there, f"python -m tests.formats adds {sorted(needed - there)}"
    assert {name.rpartition("-")[0] for name in there} == set(BY_KIND) == set(MAKERS) == set(READERS)


def with_format(path: Path, text: str | None, folder: Path) -> Path:
    """A copy of a file that says another format, with what lies beside it."""
    copy = folder / path.name
    for beside in path.parent.iterdir():
        shutil.copy(beside, folder / beside.name)
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata())
        save_file(tensors, copy, metadata | {"format": text} if text else {"other": "x"})
    elif path.suffix == ".toml":
        lines = [line for line in path.read_text().splitlines() if not line.startswith("format")]
        copy.write_text("\n".join([f'format = "{text}"' if text else "", *lines]))
    else:
        data = json.loads(path.read_text())
        data.pop("format", None)
        copy.write_text(json.dumps({"format": text, **data} if text else data))
    return copy


def example(one: FileFormat) -> Path:
    """A file of the present version."""
    if one is CHECKPOINT:
        from gatewright.models.zoo.catalogue import FOLDER

        return FOLDER / "exits-resnet20.safetensors"
    return next(FILES / folder / name for folder, name in CASES if folder == f"{one.kind}-{one.version}")


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.kind)
def test_a_newer_version_and_another_kind_are_refused_with_what_to_do(one: FileFormat, tmp_path: Path) -> None:
    newer = f"gatewright-{one.kind}-{one.version + 1}"
    with pytest.raises(
        GatewrightError, match=f"newer Gatewright: its format is {newer}, .*install the newer one, or ."
    ):
        READERS[one.kind](with_format(example(one), newer, tmp_path))
    for other in ("gatewright-other-1", f"gatewright-{one.kind}-0", f"gatewright-{one.kind}", "7"):
        with pytest.raises(GatewrightError, match=f"is not a {one.name} file; its format is '{other}'; ."):
            READERS[one.kind](with_format(example(one), other, tmp_path))


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.kind)
def test_a_file_that_says_nothing_is_of_the_version_in_the_table_or_refused(one: FileFormat, tmp_path: Path) -> None:
    if one.unmarked is None:
        with pytest.raises(GatewrightError, match=f"is not a {one.name} file; its format is None; ."):
            READERS[one.kind](with_format(example(one), None, tmp_path))
    else:
        folder = next(folder for folder, _ in CASES if folder == f"{one.kind}-{one.unmarked}")
        name = next(name for other, name in CASES if other == folder)
        found = READERS[one.kind](with_format(FILES / folder / name, None, tmp_path))
        assert not missing(json.loads((FILES / folder / EXPECTED).read_text())[name], json.loads(json.dumps(found)))


def test_the_driver_writes_and_reads_the_same_versions() -> None:
    assert PROGRAM.name == PROGRAM_FORMAT
    assert BY_KIND["counters"].name == COUNTERS_FORMAT


def test_the_driver_refuses_another_version(tmp_path: Path) -> None:
    path = with_format(example(PROGRAM), "gatewright-program-9", tmp_path)
    with pytest.raises(driver_program.WrongProgramError, match=r"has format 'gatewright-program-9'.*compile it again"):
        driver_program.load_program(path)


def test_older_versions_that_are_read_are_explained() -> None:
    for one in FORMATS:
        assert one.version == max(one.versions) and bool(one.older) == (len(one.versions) > 1)
        assert one.unmarked is None or one.unmarked in one.versions


def test_a_value_that_is_gone_is_noticed() -> None:
    assert missing({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}) == []
    assert missing({"a": {"b": 1}}, {"a": {"c": 1}}) == ["a.b: 1 became None"]


Maker = Callable[[Path], list[str]]


@pytest.mark.parametrize("kind", ["ranges", "counters", "card", "arch", "board", "report"])
def test_what_is_written_today_is_of_todays_version(kind: str, tmp_path: Path) -> None:
    for name in MAKERS[kind](tmp_path):
        text = (tmp_path / name).read_text()
        assert BY_KIND[kind].name in text or BY_KIND[kind].unmarked == BY_KIND[kind].version
        found: Any = READERS[kind](tmp_path / name)
        assert found == READERS[kind](FILES / f"{kind}-{BY_KIND[kind].version}" / name) or kind == "report"
