"""Programs of random legal instructions: not meant to run, but to be stored, listed and read back."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import load_arch
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import COLUMNS, FORMATS, Opcode, column
from gatewright.contract.program import Program
from gatewright.contract.program_parts import GateRecord, Output, Placement, Region
from gatewright.verify.kit.programs import row

CODE_ADDRESS = 64


def random_program(seed: int, page_lengths: tuple[int, ...] = (9, 5, 7)) -> Program:
    """A program with every kind of metadata, random fields, and its pages in the image after 64 bytes of data."""
    rng = random.Random(seed)
    count = sum(page_lengths)
    code = np.zeros((count, COLUMNS), np.int64)
    for position in range(count):
        opcode = rng.choice(list(Opcode))
        values = [int(opcode)]
        for _ in range(3):
            values += [rng.randrange(7), rng.randrange(2**16)] if rng.random() < 0.6 else [0, 0]
        values += [
            rng.choice([0, 31 % 2**f.bits, 2**f.bits - 1, rng.randrange(2**f.bits)]) for f in FORMATS[opcode].fields
        ]
        code[position, : len(values)] = values
    gates, placements = [], [Placement("stem", "map", 16, 8, 8, 16, min(3, count - 1))]
    if count > 1:
        channels = tuple(rng.randrange(2) for _ in range(16))
        on = tuple(position for position, bit in enumerate(channels) if bit)
        gates = [
            GateRecord("s", "spatial", 1, 4, (1, 0, 0, 1), (0, 257), 0),
            GateRecord("c", "channel", 2, 16, channels, on, 1),
        ]
        code[:2] = row(Opcode.INDEX, mask=1, bits=4, grid_width=2), row(Opcode.INDEX, mask=2, bits=16)
        placements.append(Placement("mid", "compact", 0, 8, 8, 16, 1, "s", "c"))
    _end_ranges(rng, code)
    data = np.frombuffer(rng.randbytes(CODE_ADDRESS), np.uint8)
    trailing = np.frombuffer(rng.randbytes(48), np.uint8)
    return Program(
        arch=load_arch("8x8"),
        code=code,
        image=np.concatenate([data, np.frombuffer(encode(code), np.uint8), trailing]),
        code_address=CODE_ADDRESS,
        boot_count=page_lengths[0],
        input_region=Region("image", "input", 0, 32),
        outputs=[Output("logits", "logits", Region("logits", "output", 32, 16), 1, 1, 4, 0.5)],
        regions=[Region("image", "input", 0, 32), Region("code", "code", CODE_ADDRESS, 48 * count)],
        placements=placements,
        gates=gates,
        layers=[rng.choice(["stem", "layer1.0.conv1"]) for _ in range(count)],
        layer_kinds={"stem": "ungated", "layer1.0.conv1": "gated"},
        macs={"stem": 12345, "layer1.0.conv1": 678},
        page_starts=[sum(page_lengths[:page]) for page in range(len(page_lengths))],
    )


def _end_ranges(rng: random.Random, code: npt.NDArray[np.int64]) -> None:
    """SKIPs leave out what lies in front of the next END, or of the program's end, at most."""
    ends = [number for number, opcode in enumerate(code[:, 0]) if opcode == Opcode.END]
    for number in np.flatnonzero(code[:, 0] == Opcode.SKIP):
        behind = next((end for end in ends if end > number), len(code))
        code[number, column(Opcode.SKIP, "instructions")] = rng.randrange(behind - int(number))
