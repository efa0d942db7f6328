from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import Opcode
from gatewright.contract.program import Program
from gatewright.verify.kit.programs import make_program, row
from tests.contract.saved_programs import assert_equal, edit_header
from tests.support.listings import CODE_ADDRESS, random_program

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


def test_a_skip_that_leaves_out_what_is_not_there_or_the_end_is_refused(tmp_path: Path) -> None:
    skip, end = row(Opcode.SKIP, instructions=2), row(Opcode.END)
    make_program(PRESETS["4x4"], [skip, row(Opcode.INDEX), row(Opcode.INDEX), end]).save(tmp_path / "p")
    for rows, message in (
        ([row(Opcode.INDEX), skip, end], r"instruction 1 \(SKIP\) leaves out 2 instructions, but 1 follow"),
        ([skip, row(Opcode.INDEX), end, end], r"instruction 0 \(SKIP\) leaves out 2 instructions, among them END at 2"),
    ):
        with pytest.raises(GatewrightError, match=message):
            make_program(PRESETS["4x4"], rows).save(tmp_path / "p")
