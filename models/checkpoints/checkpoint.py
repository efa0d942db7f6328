"""Checkpoints: our safetensors files, the public DGNet release's ``.pth.tar``, public static CIFAR ResNets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Interval
from safetensors.torch import save_file

from gatewright.contract.errors import GatewrightError
from gatewright.contract.schema import Count, parse_json
from gatewright.contract.tensor_file import checksum, read_tensors
from gatewright.models.checkpoints.pickled_tensors import load_pickled
from gatewright.models.checkpoints.state_dict import check_tensors, describe, with_gate_biases
from gatewright.models.families.padding_shortcuts import from_padding_shortcuts
from gatewright.models.families.resnet_cifar import Gating, ResNetCifar
from gatewright.models.zoo.catalogue import check_card

FORMAT = "gatewright-checkpoint-2"
FORMAT_WITHOUT_CHECKSUM = "gatewright-checkpoint-1"
"""Still read: a network of the zoo in it has its SHA-256 on its card."""

PUBLIC_SUFFIXES = (".pth.tar", ".pth", ".pt", ".th")


@dataclass(frozen=True)
class NetworkSpec:
    """What builds a network: enough to make the module that a checkpoint's tensors fit."""

    depth: Count
    gating: Gating = "none"
    target_density: Annotated[float, Interval(gt=0, le=1)] | None = None
    classes: Annotated[int, Interval(ge=1, le=65_535)] = 10
    size: Annotated[int, Interval(ge=1, le=511)] = 32
    """Edge of an image in pixels; a GATHER counts to 511."""

    def build(self) -> ResNetCifar:
        """A freshly initialised network."""
        return ResNetCifar(self.depth, self.gating, self.classes, self.size)

    @property
    def name(self) -> str:
        """For example ``dgnet-resnet20-0.4``, or ``resnet20`` for a static network."""
        prefix = {"none": "", "dual": "dgnet-", "spatial": "dgnet-spatial-", "channel": "dgnet-channel-"}[self.gating]
        return f"{prefix}resnet{self.depth}" + ("" if self.target_density is None else f"-{self.target_density:g}")


def save_checkpoint(path: str | Path, network: ResNetCifar, spec: NetworkSpec) -> None:
    """Write the network's tensors, its spec and a checksum of both; the file appears whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    text = json.dumps(asdict(spec))
    save_file(tensors, partial, {"format": FORMAT, "spec": text, "checksum": _checksum(text, tensors)})
    partial.replace(path)


def load_checkpoint(path: str | Path) -> tuple[ResNetCifar, NetworkSpec]:
    """Read a network in evaluation mode, from ``.safetensors`` or a public release's ``.pth.tar`` or ``.th``.

    Every tensor is a real one, and finite; a gate of the public release without a bias gets one of 0.
    """
    path = Path(path)
    if not path.is_file():
        raise GatewrightError(f"no checkpoint at {path}")
    spec, tensors = _read_public(path) if path.name.endswith(PUBLIC_SUFFIXES) else _read_own(path)
    network = spec.build()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise GatewrightError(f"checkpoint {path} does not fit {spec.name}: {reason[:200]}") from error
    return network.eval(), spec


def _read_own(path: Path) -> tuple[NetworkSpec, dict[str, torch.Tensor]]:
    fix = "train it again, or fetch it again"
    metadata, tensors = read_tensors(path, "pt", "checkpoint", fix)
    form, text = metadata.get("format"), metadata.get("spec", "")
    if form not in (FORMAT, FORMAT_WITHOUT_CHECKSUM):
        raise GatewrightError(f"checkpoint {path} is not a {FORMAT} file; its format is {form!r}")
    if form == FORMAT_WITHOUT_CHECKSUM:
        check_card(path)
    elif metadata.get("checksum") != _checksum(text, tensors):
        raise GatewrightError(f"checkpoint {path} is damaged: its checksum is wrong; {fix}")
    spec = parse_json(NetworkSpec, text, f"checkpoint {path} is damaged: its spec", fix)
    check_tensors(tensors, f"checkpoint {path}")
    found = _described(tensors, path)
    if replace(found, target_density=spec.target_density, size=spec.size) != spec:
        raise GatewrightError(
            f"checkpoint {path} does not fit {spec.name} of {spec.classes} classes: its tensors are those of "
            f"{found.name} of {found.classes}"
        )
    return spec, tensors


def _read_public(path: Path) -> tuple[NetworkSpec, dict[str, torch.Tensor]]:
    """The public release stores ``{"state_dict": ...}``; depth and gating follow from the names."""
    try:
        stored = load_pickled(path)
    except GatewrightError as error:
        raise GatewrightError(f"checkpoint {error}") from error
    state = stored.get("state_dict", stored) if isinstance(stored, dict) else None
    if not isinstance(state, dict):
        raise GatewrightError(f"checkpoint {path} holds no CIFAR ResNet (no state_dict)")
    state = {str(name).removeprefix("module."): tensor for name, tensor in state.items()}
    if "linear.weight" not in state and "fc.weight" not in state:
        raise GatewrightError(f"checkpoint {path} holds no CIFAR ResNet (no fc.weight in its state_dict)")
    check_tensors(state, f"checkpoint {path}")
    if "linear.weight" in state:
        state = from_padding_shortcuts(state, f"checkpoint {path}")
    return _described(state, path), with_gate_biases(state)


def _described(state: dict[str, torch.Tensor], path: Path) -> NetworkSpec:
    depth, gating, classes = describe(state, f"checkpoint {path}")
    return NetworkSpec(depth, gating, classes=classes)


def _checksum(text: str, tensors: dict[str, torch.Tensor]) -> str:
    return checksum(text, {name: tensor.reshape(-1).view(torch.uint8).numpy() for name, tensor in tensors.items()})
