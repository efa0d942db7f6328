"""What the MobileNetV2s that Keras trained have in common: their weights in ours, and int8 beside float on photographs.

Keras pads a convolution of stride 2 at the right and below alone, the machine above and left first. A network whose
kernels are all turned by 180 degrees gives the same answers on pictures that are turned, and is padded where the
machine pads; so both are turned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from gatewright import flow
from gatewright.contract.arch import load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.models.families.mobilenet_v2.network import MobileNetV2
from gatewright.own_network import calibrate_own
from gatewright.sim.fast.machine import simulate

EPSILON = 0.001
FEWEST = 48

Arrays = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Compared:
    """Answers of float and of int8 for the photographs ``paths``, by the number of a class."""

    paths: list[Path]
    in_float: npt.NDArray[np.int64]
    in_int8: npt.NDArray[np.int64]

    @property
    def agree(self) -> npt.NDArray[np.bool_]:
        """Where both answer the same."""
        return self.in_float == self.in_int8


def photographs_in(folder: Path) -> list[Path]:
    """The pictures of a folder, by name."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpeg", ".jpg", ".png"))
    if len(found) < FEWEST:
        raise GatewrightError(f"{folder} holds {len(found)} pictures; take at least {FEWEST}")
    return found


def converted(tensors: Arrays, size: int, dense: list[str]) -> MobileNetV2:
    """Our MobileNetV2 for images of ``size`` pixels with the weights of Keras's, its kernels turned by 180 degrees.

    ``tensors`` are named ``LAYER/WEIGHT``; ``dense`` are the fully connected layers behind the average, with ReLUs
    between them.
    """
    classes = len(tensors[f"{dense[-1]}/bias"])
    network = MobileNetV2(classes=classes, size=size).eval()
    state: dict[str, Tensor] = {}

    def layer(ours: str, ours_norm: str, theirs: str, theirs_norm: str) -> None:
        depthwise = theirs.endswith("depthwise")
        kernel = tensors[f"{theirs}/{'depthwise_' if depthwise else ''}kernel"]
        kernel = kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(3, 2, 0, 1)
        state[f"{ours}.weight"] = torch.from_numpy(kernel[:, :, ::-1, ::-1].copy())
        for mine, name in (
            ("weight", "gamma"),
            ("bias", "beta"),
            ("running_mean", "moving_mean"),
            ("running_var", "moving_variance"),
        ):
            state[f"{ours_norm}.{mine}"] = torch.from_numpy(tensors[f"{theirs_norm}/{name}"].copy())

    blocks = len(network.features) - 2
    layer("features.0.0", "features.0.1", "Conv1", "bn_Conv1")
    for index in range(blocks):
        name = f"block_{index}" if index else "expanded_conv"
        for position, step in enumerate(("expand", "depthwise", "project")[index == 0 :]):
            ours = f"features.{index + 1}.conv.{position}"
            inner = ours if step == "project" else f"{ours}.0"
            norm = f"features.{index + 1}.conv.{position + 1}" if step == "project" else f"{ours}.1"
            layer(inner, norm, f"{name}_{step}", f"{name}_{step}_BN")
    layer(f"features.{blocks + 1}.0", f"features.{blocks + 1}.1", "Conv_1", "Conv_1_bn")
    head: list[nn.Module] = []
    for number, name in enumerate(dense):
        weight, bias = tensors[f"{name}/kernel"], tensors[f"{name}/bias"]
        head += [nn.Linear(*weight.shape), nn.ReLU()]
        state[f"classifier.{2 * number}.weight"] = torch.from_numpy(weight.T.copy())
        state[f"classifier.{2 * number}.bias"] = torch.from_numpy(bias.copy())
    network.classifier = nn.Sequential(*head[:-1])
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_state_dict({**counters, **state})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = EPSILON
    return network.eval()


def write_turned(photographs: list[Path], folder: Path, edge: int) -> None:
    """Each photograph as an array [edge, edge, 3], uint8, turned by 180 degrees, scaled as the package scales it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(photographs):
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB").resize((edge, edge)))
        np.save(folder / f"{number:05}.npy", pixels[::-1, ::-1])


def compare(network: MobileNetV2, photographs: list[Path], out: Path, mean: float, std: float, name: str) -> Compared:
    """Calibrate with a third of the photographs, answer for the others, and run one on the machine.

    A pixel p from 0 to 1 is (p - mean) / std to the network. ``out`` gets ``NAME.pt2`` and the arrays.
    """
    flow.limit_threads()
    out.mkdir(parents=True, exist_ok=True)
    program, edge = out / f"{name}.pt2", network.size
    torch.export.save(torch.export.export(network, (torch.zeros(1, 3, edge, edge),)), program)
    compared = [path for number, path in enumerate(photographs) if number % 3]
    write_turned(photographs[::3], out / "calibrate", edge)
    write_turned(compared, out / "compare", edge)
    calibrate_own(program, out / "calibrate", len(photographs), mean=[mean], std=[std])
    loaded = flow.load_network(program)
    answers = flow.evaluate(loaded, loaded.spec.data.load(out / "compare", "test"))
    result = Compared(compared, answers.predicted_float, answers.predicted_int8)

    print(f"{len(compared)} photographs, {len(photographs) - len(compared)} others calibrated")
    print(f"int8 agrees with float on {result.agree.sum()} of {len(compared)}: {result.agree.mean():.2%}")
    print(f"most frequent answer: {np.bincount(result.in_float).max() / len(compared):.1%} of the photographs")
    arch = load_arch("ultra96")
    ran = simulate(flow.compile_dense(loaded, arch, answers.inputs[0]))
    assert ran.logits.tolist() == answers.reference.logits[0].tolist()
    print(f"on {arch.name}: {ran.cycles:,} cycles, the logits of the integer reference")
    return result
