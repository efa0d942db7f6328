from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from gatewright.contract import program as program_module
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import Opcode
from gatewright.contract.program import Program
from gatewright.verify.kit.programs import make_program, row
from tests.support.listings import CODE_ADDRESS, random_program


def assert_equal(left: Program, right: Program) -> None:
    for field in fields(Program):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype and np.array_equal(a, b), field.name
        else:
            assert a == b, field.name


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


def edit_header(
    path: Path,
    update: dict[str, object],
    remove: str | None = None,
    change: Callable[[dict[str, Any]], object] = lambda header: None,
    text: Callable[[str], str] = lambda text: text,
    tensors: dict[str, Any] | None = None,
) -> None:
    """Edit a program's header, its text, or its tensors, and make the checksum right again."""
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    header = json.loads(metadata["program"])
    header.update(update)
    change(header)
    if remove is not None:
        del header[remove]
    edited = text(json.dumps(header))
    tensors = {**load_file(path), **(tensors or {})}
    checksum = zlib.crc32(edited.encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].tobytes(), checksum)
    save_file(tensors, path, {**metadata, "program": edited, "checksum": str(checksum)})


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


Change = Callable[[dict[str, Any]], object]
"""Edits a header in place."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda h: h["outputs"][0]["region"].update(size=1 << 33),
            r"outputs.0.region.size = 8589934592 must be less",
        ),
        (
            lambda h: h["outputs"][0].update(channels=1 << 70),
            r"outputs.0.channels = 1180591620717411303424 must be less",
        ),
        (lambda h: h["outputs"][0]["region"].update(size=13), "output 'logits' has 16 bytes, its region 13"),
        (lambda h: h["outputs"][0].update(width=2), "1x2 is no shape of logits"),
        (lambda h: h["outputs"][0].update(kind="map"), "output 'logits' has 4 bytes, its region 16"),
        (lambda h: h["outputs"][0].update(scale=0.0), "output 'logits': scale = 0.0 is no unit"),
        (lambda h: h["outputs"].append(h["outputs"][0]), "output 'logits' is there twice"),
        (
            lambda h: h["outputs"][0]["region"].update(address=1 << 31),
            "'logits' ends at byte 2147483664 of an image of",
        ),
        (
            lambda h: h["outputs"][0]["region"].update(address=16),
            "input at bytes 0 to 32 overlaps output from byte 16 on",
        ),
        (lambda h: h["outputs"][0]["region"].update(kind="input"), "its region is of kind input"),
        (lambda h: h["input_region"].update(address=None), "input_region.address = None must be a valid integer"),
        (
            lambda h: h["input_region"].update(address=-16),
            "input_region.address = -16 must be greater than or equal to 0",
        ),
        (lambda h: h["input_region"].update(kind="magic"), "input_region.kind = 'magic' must be 'input', "),
        (lambda h: h["regions"][0].update(size=1e3), "regions.0.size = 1000.0 must be a valid integer"),
        (lambda h: h.update(code_address=1 << 64), "code_address = 18446744073709551616 must be less than"),
        (lambda h: h.update(code_address=96), "instruction 0 is another one in the image"),
        (lambda h: h.update(code_address=72), "code_address = 72 is not a multiple of 16"),
        (lambda h: h.update(boot_count=10), "boot_count = 10, but page 0 has 9 instructions"),
        (lambda h: h.update(page_starts=[0, 9, 9]), "do not rise"),
        (lambda h: h.update(page_starts=[]), "page_starts"),
        (lambda h: h["layers"].pop(), "layers names 20 layers, for 21 instructions"),
        (lambda h: h["layer_kinds"].pop("stem"), "layer_kinds lacks 'stem'"),
        (lambda h: h["layer_kinds"].update(stem="gait"), "layer_kinds.stem = 'gait' must be 'gated', 'ungated'"),
        (lambda h: h["macs"].update(stem=-1), "macs.stem = -1 must be"),
        (lambda h: h["macs"].update(other=1), "layer_kinds lacks 'other'"),
        (lambda h: h["arch"]["dram"].pop("latency"), "missing key arch.dram.latency"),
        (lambda h: h["arch"].update(rows="8"), "arch.rows = '8' must be a valid integer"),
        (lambda h: h["placements"][0].update(address=1 << 18), "ends at byte 263168 of a scratchpad of 262144"),
        (lambda h: h["placements"][0].update(last_write=21), "last_write = 21 of 21 instructions"),
        (lambda h: h["placements"][0].update(height=0), "0x8x16 is no shape"),
        (lambda h: h["placements"][0].update(kind="logits"), "8x8x16 logits, which no output has"),
        (lambda h: h["placements"][0].update(tensor="mid"), "placement 'mid' is there twice"),
        (lambda h: h["placements"][1].update(kind="map"), "a map is compact if it has a channel gate"),
        (lambda h: h["placements"][1].update(channel_gate="s"), "the program has no channel gate 's'"),
        (lambda h: h["placements"][1].update(spatial_gate="x"), "the program has no spatial gate 'x'"),
        (lambda h: h["placements"][1].update(channels=17), "17 channels, its gate 'c' 16 bits"),
        (lambda h: h["placements"][1].update(height=1), "are no tiles of 1x8 pixels"),
        (lambda h: h["gates"][0].update(decision=[1, 0, 1, 1]), "its table is not that of its decisions"),
        (lambda h: h["gates"][0].update(decision=[1, 0, 0, 2]), "decisions are 0 or 1"),
        (lambda h: h["gates"][0].update(decision=[1, 0, 0]), "has 4 bits, but 3 decisions"),
        (lambda h: h["gates"][0].update(mask=3), "instruction 0 has {'mask': 1,.*not {'mask': 3"),
        (lambda h: h["gates"][0].update(mask=99), "4 bits of mask 99"),
        (lambda h: h["gates"][0].update(index_instruction=40), "index_instruction = 40 of 21"),
        (lambda h: h["gates"][0].update(index_instruction=20), "is no INDEX|not {'mask'"),
        (lambda h: h["gates"][0].update(kind="channel"), "INDEX of a channel gate has no grid_width"),
        (lambda h: h["gates"][1].update(name="s"), "gate 's' is there twice"),
        (
            lambda h: h.update(input_layout=dict(height=2, width=2, channels=2, rows=1, padding=0)),
            "does not fill the 32",
        ),
        (
            lambda h: h.update(input_layout=dict(height=2, width=8, channels=2, rows=1)),
            "missing key input_layout.padding",
        ),
    ],
)
def test_a_header_whose_parts_disagree_is_refused(tmp_path: Path, change: Change, message: str) -> None:
    path = tmp_path / "p.safetensors"
    random_program(2).save(path)
    edit_header(path, {})
    assert_equal(Program.load(path), random_program(2))
    edit_header(path, {}, change=change)
    with pytest.raises(GatewrightError, match=message) as caught:
        Program.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_an_instruction_that_differs_from_the_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    program = random_program(2)
    program.save(path)
    edit_header(path, {}, tensors={"instructions": np.frombuffer(encode(random_program(3).code), np.uint8)})
    with pytest.raises(GatewrightError, match=r"damaged: .*(instruction \d+ is another one in the image|INDEX)"):
        Program.load(path)
    program.image[CODE_ADDRESS + 48 * 5] ^= 1
    with pytest.raises(GatewrightError, match="instruction 5 is another one in the image"):
        program.save(tmp_path / "q.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["p.safetensors"]


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


def test_a_skip_that_leaves_out_what_is_not_there_or_the_end_is_refused(tmp_path: Path) -> None:
    skip, end = row(Opcode.SKIP, instructions=2), row(Opcode.END)
    make_program(PRESETS["4x4"], [skip, row(Opcode.INDEX), row(Opcode.INDEX), end]).save(tmp_path / "p")
    for rows, message in (
        ([row(Opcode.INDEX), skip, end], r"instruction 1 \(SKIP\) leaves out 2 instructions, but 1 follow"),
        ([skip, row(Opcode.INDEX), end, end], r"instruction 0 \(SKIP\) leaves out 2 instructions, among them END at 2"),
    ):
        with pytest.raises(GatewrightError, match=message):
            make_program(PRESETS["4x4"], rows).save(tmp_path / "p")


def test_mnemonics_of_rows() -> None:
    program = random_program(3)
    assert [program.opcode_name(i) for i in range(len(program.code))] == [
        ["", "LOAD", "GATHER", "MATMUL", "EPILOGUE", "INDEX", "STORE", "NEXT", "EXIT", "END", "SKIP"][row[0]]
        for row in program.code.tolist()
    ]
