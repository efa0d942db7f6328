"""Damaged checkpoints, ours and the public release's: refused, or read as tensors that are finite and real."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise
from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.kinds import Gating
from tests.compiler.networks import lively_resnet, random_images
from tests.fuzz.damage import Random, cut, damage_json, flip_bits, pick

SIZE = 32
GATINGS: tuple[Gating, ...] = ("none", "spatial", "channel", "dual")

State = dict[str, Any]


@cache
def _network(gating: Gating) -> tuple[State, dict[str, float]]:
    """Tensors and ranges of a small network."""
    network = lively_resnet(gating, SIZE)
    graph = capture(network, (3, SIZE, SIZE))
    return network.state_dict(), calibrate(graph, CIFAR10.normalise(random_images(2, SIZE)))


def run_own(rng: Random, folder: Path) -> str:
    """Damage a checkpoint of ours; most have their checksum made right."""
    gating = pick(rng, list(GATINGS))
    path = folder / "model.safetensors"
    network = lively_resnet(gating, SIZE)
    save_checkpoint(path, network, NetworkSpec(8, gating, 0.5 if gating != "none" else None, size=SIZE))
    kind = int(rng.integers(12))
    if kind == 0:
        path.write_bytes(flip_bits(rng, path.read_bytes()))
    elif kind == 1:
        path.write_bytes(cut(rng, path.read_bytes()))
    else:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        state: State = load_file(path)
        if kind < 5:
            metadata["spec"] = damage_json(rng, json.loads(metadata["spec"]))
        elif kind == 5:
            metadata = {**metadata, pick(rng, list(metadata)): pick(rng, ["", "1", "gatewright-checkpoint-1"])}
        else:
            state = _damaged(rng, state)
        state = {name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}
        checksum = zlib.crc32(metadata["spec"].encode())
        for name in sorted(state):
            checksum = zlib.crc32(state[name].reshape(-1).view(torch.uint8).numpy().tobytes(), checksum)
        save_file(state, path, {**metadata, "checksum": str(checksum)})
    return _read(path, gating, folder)


def run_public(rng: Random, folder: Path) -> str:
    """Damage a file of torch.save, in any protocol and container; records of the archive have their CRC made right."""
    gating = pick(rng, list(GATINGS))
    state = dict(_network(gating)[0])
    path = folder / "model.pth.tar"
    kind = int(rng.integers(8))
    if kind >= 4:
        state = _damaged(rng, state)
    container = bool(rng.integers(2))
    stream = io.BytesIO()
    stored = {"epoch": 1, "state_dict": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}
    protocol = int(rng.integers(2, 6))
    torch.save(stored, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=container)
    data = stream.getvalue()
    if kind == 0:
        data = cut(rng, data)
    elif kind < 4:
        data = _damaged_archive(rng, data) if container and kind > 1 else flip_bits(rng, data)
    path.write_bytes(data)
    return _read(path, gating, folder)


def _damaged_archive(rng: Random, data: bytes) -> bytes:
    """The archive with bits of a record flipped: mostly of the pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        names = old.namelist()
        chosen = next(n for n in names if n.endswith("data.pkl")) if rng.integers(3) else pick(rng, names)
        for name in names:
            record = old.read(name)
            new.writestr(name, pick(rng, [flip_bits, flip_bits, cut])(rng, record) if name == chosen else record)
    return stream.getvalue()


def _read(path: Path, gating: Gating, folder: Path) -> str:
    """Load, write again, capture and quantise."""
    state, ranges = _network(gating)
    try:
        network, spec = load_checkpoint(path)
    except GatewrightError as error:
        assert "\n" not in str(error), error
        return "refused"
    found = network.state_dict()
    assert all(torch.isfinite(tensor).all() for tensor in found.values() if tensor.is_floating_point())
    again = folder / "again.safetensors"
    save_checkpoint(again, network, spec)
    reread, respec = load_checkpoint(again)
    assert respec == spec and _equal(reread.state_dict(), found)
    kind = "accepted, equal" if _equal(found, state) and spec.size == SIZE else "accepted, another"
    try:
        quantised = quantise(capture(network, (3, spec.size, spec.size)), ranges)
    except GatewrightError as error:
        assert "\n" not in str(error), error
        return f"{kind}, not quantised"
    assert all(np.isfinite(scale) for scale in quantised.scales.values())
    return kind


def _equal(left: State, right: State) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


_TYPES = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.bool, torch.complex64)
_VALUES = (float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e-45, 0.0, -1.0)


def _damaged(rng: Random, state: State) -> State:
    """One to three edits of tensors: bits, numbers, shapes, types, names."""
    state = dict(state)
    for _ in range(int(rng.integers(1, 4))):
        name = (
            pick(rng, list(state)) if rng.integers(3) else pick(rng, ["fc.weight", "conv1.weight", "bn1.running_var"])
        )
        tensor = state.get(name)
        if not isinstance(tensor, torch.Tensor):
            continue
        match int(rng.integers(9)):
            case 0 | 1 if tensor.numel():
                raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
                changed = torch.frombuffer(bytearray(flip_bits(rng, raw)), dtype=torch.uint8)
                state[name] = (
                    changed if tensor.dtype == torch.bool else changed.view(tensor.dtype).reshape(tensor.shape)
                )
            case 2 if tensor.is_floating_point() and tensor.numel():
                state[name] = tensor.clone(memory_format=torch.contiguous_format)
                state[name].view(-1)[int(rng.integers(tensor.numel()))] = pick(rng, list(_VALUES))
            case 3:
                shapes = [
                    tensor.reshape(-1),
                    tensor[None],
                    tensor.reshape(-1)[:0],
                    tensor.sum(),
                    tensor.repeat_interleave(2),
                ]
                state[name] = pick(rng, shapes).contiguous()
            case 4:
                state[name] = tensor.to(pick(rng, list(_TYPES)))
            case 5:
                del state[name]
            case 6:
                state[name + pick(rng, ["x", ".weight", "."])] = state.pop(name)
            case 7:
                other = pick(rng, list(state))
                state[name], state[other] = state[other].clone(), tensor.clone()
            case _:
                state[name] = pick(rng, [tensor * 1e30, tensor * 1e-30, tensor * 0, -tensor, 3, "text", None, [1.0]])
    return state
