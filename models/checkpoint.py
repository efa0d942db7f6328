"""Checkpoints: our safetensors files, the public DGNet release's ``.pth.tar``, public static CIFAR ResNets."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.padding_shortcuts import from_padding_shortcuts
from gatewright.models.families.resnet_cifar import Gating, ResNetCifar

FORMAT = "gatewright-checkpoint-1"


@dataclass(frozen=True)
class NetworkSpec:
    """What builds a network: enough to make the module that a checkpoint's tensors fit."""

    depth: int
    gating: Gating = "none"
    target_density: float | None = None
    classes: int = 10
    size: int = 32

    def build(self) -> ResNetCifar:
        """A freshly initialised network."""
        return ResNetCifar(self.depth, self.gating, self.classes, self.size)

    @property
    def name(self) -> str:
        """For example ``dgnet-resnet20-0.4``, or ``resnet20`` for a static network."""
        prefix = {"none": "", "dual": "dgnet-", "spatial": "dgnet-spatial-", "channel": "dgnet-channel-"}[self.gating]
        return f"{prefix}resnet{self.depth}" + ("" if self.target_density is None else f"-{self.target_density:g}")


def save_checkpoint(path: str | Path, network: ResNetCifar, spec: NetworkSpec) -> None:
    """Write the network's tensors and its spec; the file appears whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    save_file(tensors, partial, {"format": FORMAT, "spec": json.dumps(asdict(spec))})
    partial.replace(path)


def load_checkpoint(path: str | Path) -> tuple[ResNetCifar, NetworkSpec]:
    """Read a network in evaluation mode, from ``.safetensors`` or a public release's ``.pth.tar`` or ``.th``."""
    path = Path(path)
    if not path.is_file():
        raise GatewrightError(f"no checkpoint at {path}")
    spec, tensors = _read_public(path) if path.name.endswith((".pth.tar", ".pth", ".pt", ".th")) else _read_own(path)
    network = spec.build()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise GatewrightError(f"checkpoint {path} does not fit {spec.name}: {reason[:200]}") from error
    return network.eval(), spec


def _read_own(path: Path) -> tuple[NetworkSpec, dict[str, torch.Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise GatewrightError(f"checkpoint {path} is damaged or not a safetensors file ({error})") from error
    if metadata.get("format") != FORMAT:
        raise GatewrightError(f"checkpoint {path} is not a {FORMAT} file; its format is {metadata.get('format')!r}")
    try:
        return NetworkSpec(**json.loads(metadata["spec"])), tensors
    except (KeyError, TypeError, ValueError) as error:
        raise GatewrightError(f"checkpoint {path} is damaged: its spec cannot be read ({error})") from error


def _read_public(path: Path) -> tuple[NetworkSpec, dict[str, torch.Tensor]]:
    """The public release stores ``{"state_dict": ...}``; depth and gating follow from the names."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise GatewrightError(f"checkpoint {path} is damaged or not a PyTorch file ({error})") from error
    state = stored.get("state_dict", stored) if isinstance(stored, dict) else None
    if not isinstance(state, dict):
        raise GatewrightError(f"checkpoint {path} holds no CIFAR ResNet (no state_dict)")
    state = {str(name).removeprefix("module."): tensor for name, tensor in state.items()}
    if "linear.weight" in state:
        state = from_padding_shortcuts(state)
    if "fc.weight" not in state:
        raise GatewrightError(f"checkpoint {path} holds no CIFAR ResNet (no fc.weight in its state_dict)")
    blocks = len({name.split(".")[1] for name in state if name.startswith("layer1.")})
    spatial, channel = (any(f".mask_{kind}." in name for name in state) for kind in "sc")
    gating: Gating = "dual" if spatial and channel else "spatial" if spatial else "channel" if channel else "none"
    return NetworkSpec(6 * blocks + 2, gating, classes=state["fc.weight"].shape[0]), state
