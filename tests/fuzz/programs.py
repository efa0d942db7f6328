"""Damaged program files: refused, or read as the original, or as another program that runs to its end or a fault."""

from __future__ import annotations

import json
import zlib
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import FORMATS, OPERAND_COLUMN, Opcode
from gatewright.contract.program import Program
from gatewright.listing.assembler import assemble, disassemble
from gatewright.report.timeline import write_timeline
from gatewright.sim.fast import run
from gatewright.sim.fast.machine import simulate
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.generate.random_programs import random_network
from tests.fuzz.damage import Random, cut, damage_json, flip_bits, pick
from tests.support.graphs import random_inputs, resnet_graph

INSTRUCTIONS = 5000
"""A damaged program may loop; after so many instructions the simulator calls it endless."""

MACHINES = (PRESETS["4x4"], ArchConfig(name="5x7", rows=5, columns=7))


@cache
def originals() -> list[Program]:
    """A gated network for two machines, and random programs with every unit, table and page."""
    small = {"weight_kib": 64, "scratchpad_kib": 64, "parameter_entries": 1024}
    graph = resnet_graph(8, gated=True, size=16)
    sample = random_inputs(graph, 1, seed=0)
    decisions = {name: decided[0] for name, decided in run_reference(graph, sample).decisions.items()}
    found = [Compiler(graph, arch).compile(decisions, sample[0]) for arch in MACHINES]
    for seed in range(4):
        found += [make(seed, replace(MACHINES[seed % 2], **small))[1] for make in (random_network, random_corners)]
    for program in found:  # some of the generator's images hold garbage where the code is never reached
        data = np.frombuffer(encode(program.code), np.uint8)
        program.image[program.code_address : program.code_address + len(data)] = data
    return found


def run_program(rng: Random, folder: Path) -> str:
    """Damage one of the originals, read it, and run what is accepted. Returns what became of it."""
    original = pick(rng, originals())
    path, again = folder / "p.safetensors", folder / "q.safetensors"
    original.save(path)
    _damage(rng, path, original)
    try:
        program = Program.load(path)
    except GatewrightError as error:
        assert "\n" not in str(error), error
        return "refused"
    program.save(again)
    assert same(Program.load(again), program), "saving and reading gives another program"
    assert np.array_equal(assemble(disassemble(program)).code, program.code)
    if same(program, original):
        return "accepted, equal"
    with patch.object(run, "instruction_limit", return_value=INSTRUCTIONS):
        try:
            result = simulate(program, observe=True)
        except GatewrightError as error:
            assert "\n" not in str(error), error
            return "accepted, another that ends in a fault"
    assert {name: values.nbytes for name, values in result.outputs.items()} == {
        o.name: o.bytes for o in program.outputs
    }
    write_timeline(program, result, folder / "trace.json")
    return "accepted, another that ends"


def same(left: Program, right: Program) -> bool:
    """Whether two programs are equal in everything."""
    return all(
        np.array_equal(getattr(left, field.name), getattr(right, field.name))
        if isinstance(getattr(left, field.name), np.ndarray)
        else getattr(left, field.name) == getattr(right, field.name)
        for field in fields(Program)
    )


def _damage(rng: Random, path: Path, original: Program) -> None:
    kind = int(rng.integers(20))
    if kind < 2:
        path.write_bytes(flip_bits(rng, path.read_bytes()))
        return
    if kind < 3:
        path.write_bytes(cut(rng, path.read_bytes()))
        return
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    tensors: dict[str, Any] = load_file(path)
    if kind < 11:
        metadata["program"] = damage_json(rng, json.loads(metadata["program"]))
    elif kind < 15:
        _edit_instruction(rng, tensors, original)
    elif kind < 17:
        tensors["image"] = np.frombuffer(flip_bits(rng, tensors["image"].tobytes()), np.uint8)
    elif kind < 19:
        _edit_tensor(rng, tensors)
    else:
        metadata = {**metadata, pick(rng, list(metadata)): pick(rng, ["", "1", "gatewright-program-0"])}
    text = metadata["program"]
    checksum = zlib.crc32(text.encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].tobytes(), checksum)
    save_file(tensors, path, {**metadata, "checksum": str(checksum)})


def _edit_instruction(rng: Random, tensors: dict[str, Any], original: Program) -> None:
    """A legal edit of a field, or bits of the bytes; mostly in the image, too."""
    code = original.code.copy()
    row = int(rng.integers(len(code)))
    if rng.integers(4):
        items = FORMATS[Opcode(int(code[row, 0]))].fields
        if items:
            at = int(rng.integers(len(items)))
            limit = 1 << items[at].bits
            code[row, OPERAND_COLUMN + at] = pick(rng, [0, 1, limit - 1, int(rng.integers(limit))])
        else:
            code[row, 2 * int(rng.integers(3)) + 2] = int(rng.integers(1 << 16))
        data = encode(code)
    else:
        data = flip_bits(rng, encode(code))
    tensors["instructions"] = np.frombuffer(data, np.uint8)
    if rng.integers(8):
        image = tensors["image"].copy()
        image[original.code_address : original.code_address + len(data)] = tensors["instructions"]
        tensors["image"] = image


def _edit_tensor(rng: Random, tensors: dict[str, Any]) -> None:
    name = pick(rng, ["instructions", "image"])
    array = tensors[name]
    tensors[name] = pick(
        rng,
        [
            array[: int(rng.integers(len(array) + 1))],
            array[: len(array) // 48 * 48].reshape(-1, 48),
            array.astype(np.int8),
            array[: len(array) // 4 * 4].view(np.float32),
            array[: len(array) // 8 * 8].view(np.complex64),
            array.astype(np.int64),
            np.concatenate([array, array]),
            array[:0],
        ],
    )
    if rng.integers(6) == 0:
        tensors[pick(rng, ["image2", "a"])] = array
    if rng.integers(6) == 0:
        del tensors[name]
