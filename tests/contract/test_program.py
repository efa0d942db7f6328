from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from gatewright.contract import program as program_module
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from tests.contract.saved_programs import assert_equal, edit_header
from tests.support.listings import random_program


@pytest.mark.parametrize("seed", range(5))
def test_round_trip_keeps_everything(tmp_path: Path, seed: int) -> None:
    program = random_program(seed)
    program.save(tmp_path / "new" / "p.safetensors")
    assert_equal(Program.load(tmp_path / "new" / "p.safetensors"), program)


def test_instructions_are_stored_as_the_machine_reads_them(tmp_path: Path) -> None:
    program = random_program(1)
    program.save(tmp_path / "p.safetensors")
    stored = load_file(tmp_path / "p.safetensors")["instructions"].tobytes()
    assert stored == program.image[64 : 64 + len(stored)].tobytes()


def test_saving_leaves_no_partial_file_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    random_program(1).save(path)
    random_program(2).save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["p.safetensors"]
    assert_equal(Program.load(path), random_program(2))


def test_a_program_that_cannot_be_encoded_does_not_touch_the_file(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    random_program(1).save(path)
    broken = random_program(2)
    broken.code[3, 0] = 0
    with pytest.raises(GatewrightError, match="instruction 3: illegal opcode 0"):
        broken.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["p.safetensors"]
    assert_equal(Program.load(path), random_program(1))


def test_an_interrupted_write_does_not_touch_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.safetensors"
    random_program(1).save(path)

    def interrupted(tensors: object, partial: Path, metadata: object) -> None:
        partial.write_bytes(b"half a fi")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(program_module, "save_file", interrupted)
    with pytest.raises(GatewrightError, match="cannot write .*No space left"):
        random_program(2).save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.safetensors"]
    assert_equal(Program.load(path), random_program(1))


def test_every_corrupted_byte_of_the_tensors_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    program = random_program(1, (2,))
    program.save(path)
    good = path.read_bytes()
    for position in range(len(good) - 64 - len(program.image), len(good)):
        bad = bytearray(good)
        bad[position] ^= 0x10
        path.write_bytes(bad)
        with pytest.raises(GatewrightError, match=r"program .*p\.safetensors is damaged.*compile it again"):
            Program.load(path)


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, -1])
def test_truncation_is_noticed(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "p.safetensors"
    random_program(1).save(path)
    good = path.read_bytes()
    path.write_bytes(good[: int(kept * len(good)) if isinstance(kept, float) else kept])
    with pytest.raises(GatewrightError, match=r"p\.safetensors is damaged or not a safetensors file"):
        Program.load(path)


@pytest.mark.parametrize("metadata", [None, {"format": "gatewright-checkpoint-2"}, {"other": "x"}])
def test_another_format_or_version_is_named(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "p.safetensors"
    save_file({"image": np.zeros(4, np.uint8)}, path, metadata)
    with pytest.raises(GatewrightError, match=r"is not a gatewright-program-2 file; its format is"):
        Program.load(path)


def test_a_changed_header_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    random_program(1).save(path)
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    changed = metadata["program"].replace('"boot_count": ', '"boot_count": 1')
    assert changed != metadata["program"]
    save_file(load_file(path), path, {**metadata, "program": changed})
    with pytest.raises(GatewrightError, match="damaged: its checksum is wrong"):
        Program.load(path)


@pytest.mark.parametrize(
    ("change", "remove", "message"),
    [
        ({}, "arch", "damaged.*arch"),
        ({}, "input_layout", "damaged.*input_layout"),
        ({"surprise": 1}, None, "damaged.*surprise"),
        ({"gates": [{"name": "s"}]}, None, "damaged"),
        ({"input_region": 3}, None, "damaged"),
        ({"arch": {"rows": 99}}, None, "rows = 99 must be"),
        ({"arch": {"rowz": 8}}, None, "unknown key arch.rowz"),
        ({"arch": {"rows": 8, "columns": 8}}, None, "missing key arch.name, arch.clock_mhz, arch.load_vectors"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], remove: str | None, message: str
) -> None:
    path = tmp_path / "p.safetensors"
    random_program(1).save(path)
    edit_header(path, change, remove)
    with pytest.raises(GatewrightError, match=message):
        Program.load(path)


@pytest.mark.parametrize(
    "tensors",
    [
        {"image": np.zeros(64, np.int8)},
        {"image": np.zeros((8, 8), np.uint8)},
        {"surprise": np.zeros(4, np.uint8)},
        {"instructions": np.zeros(0, np.uint8)},
        {"instructions": np.zeros(47, np.uint8)},
        {"instructions": np.zeros(64, np.complex64)},
    ],
    ids=["int8", "a matrix", "one too many", "none", "not whole", "complex"],
)
def test_tensors_of_other_shapes_are_refused(tmp_path: Path, tensors: dict[str, Any]) -> None:
    path = tmp_path / "p.safetensors"
    random_program(2).save(path)
    edit_header(path, {}, tensors=tensors)
    with pytest.raises(GatewrightError, match="holds .*as lists of bytes|damaged: (it has no|instructions are)"):
        Program.load(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"boot_count":', '"boot_count": 9, "boot_count":', "key 'boot_count' is there twice"),
        ('"boot_count": 9', '"boot_count": NaN', "NaN is no number"),
        ('"boot_count": 9', f'"boot_count": {"9" * 5000}', "is not JSON"),
        ('"boot_count": 9', f'"boot_count": {"[" * 100_000}', "is not JSON"),
        ('"macs": {', '"macs": {"\\ud800": 1, ', "damaged"),
    ],
)
def test_json_that_says_something_twice_or_nothing_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "p.safetensors"
    random_program(2).save(path)
    edit_header(path, {}, text=lambda text: text.replace(old, new))
    with pytest.raises(GatewrightError, match=message):
        Program.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GatewrightError, match=r"no program at .*absent\.safetensors"):
        Program.load(tmp_path / "absent.safetensors")


def test_mnemonics_of_rows() -> None:
    program = random_program(3)
    assert [program.opcode_name(i) for i in range(len(program.code))] == [
        ["", "LOAD", "GATHER", "MATMUL", "EPILOGUE", "INDEX", "STORE", "NEXT", "EXIT", "END", "SKIP"][row[0]]
        for row in program.code.tolist()
    ]
