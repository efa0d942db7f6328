"""Checkpoints: our safetensors files, the public releases' (``.pth.tar``, ``.th``)."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import CHECKPOINT
from gatewright.contract.schema import parse_json
from gatewright.contract.tensor_file import checksum, read_tensors
from gatewright.contract.whole_file import whole_file
from gatewright.models.checkpoints.pickled_tensors import load_pickled
from gatewright.models.checkpoints.state_dict import check_tensors
from gatewright.models.families.network import Network
from gatewright.models.families.registry import FAMILIES
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.zoo.catalogue import check_card

WITHOUT_CHECKSUM = 1
"""The version that is still read without one: a network of the zoo in it has its SHA-256 on its card."""

ADDED = {"family_name": "resnet-cifar", "synthetic": False, "head": None, "uniform_tile": None}
"""Fields that the spec of an older file lacks, and what it is without them."""

PUBLIC_SUFFIXES = (".pth.tar", ".pth", ".pt", ".th")


def save_checkpoint(path: str | Path, network: nn.Module, spec: NetworkSpec) -> None:
    """Write the network's tensors, its spec and a checksum of both; the file appears whole or not at all."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    text = json.dumps(asdict(spec))
    with whole_file(Path(path)) as partial:
        save_file(tensors, partial, {"format": CHECKPOINT.name, "spec": text, "checksum": _checksum(text, tensors)})


def load_checkpoint(path: str | Path) -> tuple[Network, NetworkSpec]:
    """Read a classifier as ``load_network`` does; a network that returns maps is a ``GatewrightError``."""
    network, spec = load_network(path)
    if not isinstance(network, Network):
        raise GatewrightError(
            f"checkpoint {path} is of {spec.name}, which is no classifier: it returns maps, and has no accuracy or "
            "training here; calibrate, compile, plan, report and verify take it"
        )
    return network, spec


def load_network(path: str | Path) -> tuple[nn.Module, NetworkSpec]:
    """Read any family's network in evaluation mode, of ``.safetensors`` or a public release's ``.pth.tar`` or ``.th``.

    Every tensor is a real one, and finite; a gate of the public release without a bias gets one of 0.
    """
    path = Path(path)
    if not path.is_file():
        raise GatewrightError(f"no checkpoint at {path}")
    if path.suffix == ".pt2":
        raise GatewrightError(
            f"{path} is an exported program, not a checkpoint; calibrate, compile, plan, report and verify take one"
        )
    spec, tensors = _read_public(path) if path.name.endswith(PUBLIC_SUFFIXES) else _read_own(path)
    network = spec.module()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise GatewrightError(f"checkpoint {path} does not fit {spec.name}: {reason[:200]}") from error
    return network.eval(), spec


def _read_own(path: Path) -> tuple[NetworkSpec, dict[str, torch.Tensor]]:
    fix = CHECKPOINT.fix
    metadata, tensors = read_tensors(path, "pt", "checkpoint", fix)
    text = metadata.get("spec", "")
    if CHECKPOINT.check(metadata.get("format"), f"checkpoint {path}") == WITHOUT_CHECKSUM:
        check_card(path)
    elif metadata.get("checksum") != _checksum(text, tensors):
        raise GatewrightError(f"checkpoint {path} is damaged: its checksum is wrong; {fix}")
    for name, value in ADDED.items():
        if f'"{name}"' not in text:
            text = text.replace("{", f'{{"{name}": {json.dumps(value)}, ', 1)
    spec = parse_json(NetworkSpec, text, f"checkpoint {path} is damaged: its spec", fix)
    check_tensors(tensors, f"checkpoint {path}")
    found = spec.family.describe(tensors, f"checkpoint {path}")
    if found.head is not None and spec.head is not None:
        found = replace(found, head=replace(found.head, tile=spec.head.tile))
    not_in_tensors = ("target_density", "size", "synthetic", "uniform_tile")
    if replace(found, **{name: getattr(spec, name) for name in not_in_tensors}) != spec:
        raise GatewrightError(
            f"checkpoint {path} does not fit {spec.name} of {spec.classes} classes: its tensors are those of "
            f"{found.name} of {found.classes}"
        )
    return spec, tensors


def _read_public(path: Path) -> tuple[NetworkSpec, dict[str, torch.Tensor]]:
    """Public releases store ``{"state_dict": ...}``, or the tensors alone; the network follows from the names."""
    try:
        stored = load_pickled(path)
    except GatewrightError as error:
        raise GatewrightError(f"checkpoint {error}") from error
    state = stored.get("state_dict", stored) if isinstance(stored, dict) else None
    if not isinstance(state, dict):
        raise GatewrightError(f"checkpoint {path} holds no network (no state_dict)")
    state = {str(name).removeprefix("module."): tensor for name, tensor in state.items()}
    family = next((family for family in FAMILIES.values() if family.claims(state)), None)
    if family is None:
        titles = " and no ".join(family.title for family in FAMILIES.values())
        raise GatewrightError(f"checkpoint {path} holds no {titles} (by the names in its state_dict)")
    what = f"checkpoint {path}"
    check_tensors(state, what)
    state = family.from_public(state, what)
    return family.describe(state, what), state


def _checksum(text: str, tensors: dict[str, torch.Tensor]) -> str:
    return checksum(text, {name: tensor.reshape(-1).view(torch.uint8).numpy() for name, tensor in tensors.items()})
