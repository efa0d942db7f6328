"""Damaged files of activation ranges, and of architectures."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gatewright.compiler.compile import Compiler
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.graph import FloatGraph
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise
from gatewright.compiler.quantise.ranges import read_ranges, save_ranges
from gatewright.contract.arch import PRESETS, load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.sim.fast.machine import simulate
from tests.compiler.networks import lively_resnet, random_images
from tests.fuzz.damage import EXTREMES, Random, cut, damage_json, flip_bits, other_value, pick
from tests.support.graphs import random_inputs, resnet_graph

SIZE = 16


@cache
def calibrated() -> tuple[FloatGraph, dict[str, float]]:
    """A gated network and its ranges."""
    graph = capture(lively_resnet("dual", SIZE), (3, SIZE, SIZE))
    return graph, calibrate(graph, CIFAR10.normalise(random_images(2, SIZE)))


def run_ranges(rng: Random, folder: Path) -> str:
    """Damage a file of ranges, read it, and quantise with what is accepted."""
    graph, ranges = calibrated()
    path = folder / "r.json"
    save_ranges(path, ranges)
    original = read_ranges(path)
    factor = 2 ** float(rng.uniform(-8, 8))
    scaled = {name: value * factor for name, value in original.items()}
    path.write_text(json.dumps(scaled) if rng.integers(4) == 0 else damage_json(rng, original))
    try:
        found = read_ranges(path)
        quantise(graph, found)
    except GatewrightError as error:
        assert "\n" not in str(error), error
        return "refused"
    assert found.keys() == original.keys()
    assert all(type(value) in (int, float) and math.isfinite(value) and value > 0 for value in found.values())
    save_ranges(folder / "again.json", found)
    again = read_ranges(folder / "again.json")
    assert all(math.isclose(again[name], value, rel_tol=1e-5) for name, value in found.items())
    return "accepted, equal" if found == original else "accepted, another"


@cache
def _job() -> tuple[Any, Any, Any]:
    """A gated network as integers, a sample, and the reference's answers."""
    graph = resnet_graph(8, gated=True, size=SIZE)
    sample = random_inputs(graph, 1, seed=0)
    return graph, sample, run_reference(graph, sample)


def run_arch(rng: Random, folder: Path) -> str:
    """Damage an arch file, read it, compile for what is accepted, and compare the machine's logits."""
    path = folder / "mine.toml"
    data = pick(rng, list(PRESETS.values())).to_dict()
    path.write_text(_toml(data))
    original = load_arch(str(path))
    text = _damaged_toml(rng, data)
    path.write_bytes(text)
    try:
        arch = load_arch(str(path))
    except GatewrightError as error:
        assert "\n" not in str(error), error
        return "refused"
    graph, sample, reference = _job()
    decisions = {name: decided[0] for name, decided in reference.decisions.items()}
    kind = "accepted, equal" if arch == original else "accepted, another"
    try:
        program = Compiler(graph, arch).compile(decisions, sample[0])
    except GatewrightError as error:
        assert "\n" not in str(error), error
        return f"{kind}, too small for the network"
    assert np.array_equal(simulate(program, observe=True).logits, reference.logits[0])
    return kind


def _damaged_toml(rng: Random, data: dict[str, Any]) -> bytes:
    kind = int(rng.integers(8))
    if kind == 0:
        return flip_bits(rng, _toml(data).encode())
    if kind == 1:
        return cut(rng, _toml(data).encode())
    if kind == 2:
        lines = _toml(data).splitlines()
        lines.insert(
            int(rng.integers(len(lines) + 1)), pick(rng, [*lines, "preset = [1]", "preset = '4x4'", "dram = 3"])
        )
        return "\n".join(lines).encode()
    edited = {**data, "dram": dict(data["dram"])}
    for _ in range(pick(rng, [1, 1, 2])):
        holder = edited["dram"] if isinstance(edited["dram"], dict) and rng.integers(3) == 0 else edited
        if not holder:
            continue
        key = pick(rng, list(holder))
        match int(rng.integers(5)):
            case 0:
                del holder[key]
            case 1:
                holder[key + "x"] = holder.pop(key)
            case 2:
                holder[key] = pick(rng, EXTREMES)
            case _:
                holder[key] = other_value(rng, holder[key])
        edited = edited if "dram" in edited else {**edited, "dram": {}}
    return _toml(edited).encode()


def _toml(data: dict[str, Any]) -> str:
    """TOML of the tables that an arch file has."""
    lines = [f"{key} = {_value(value)}" for key, value in data.items() if not isinstance(value, dict) or key != "dram"]
    if isinstance(data["dram"], dict):
        lines += ["[dram]", *(f"{key} = {_value(value)}" for key, value in data["dram"].items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + "}"
    if value is None:
        return pick(np.random.default_rng(0), ["1979-05-27"])
    return (
        {True: "true", False: "false"}[value]
        if isinstance(value, bool)
        else json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")
    )
