"""Networks from ONNX files beside the same ones from torch: float difference, cycles, and int8 answers.

``python benchmarks/onnx_networks.py --out build/onnx [--networks resnet18,mobilenet-v2] [--size 224]
[--photographs FOLDER --mean 0.5 --std 0.5 --resize 256] [--weights mobilenet-v2=FILE.safetensors]``

A network is written as ONNX by torch's exporter (batch norms folded, opset 17), imported, and compared with the
exported program of torch itself: largest difference of logits from onnxruntime; cycles of the simulator, whose logits
must be the integer reference's. Weights are drawn (SYNTHETIC), unless ``--weights`` names a file of them. A third of
``--images`` images calibrates; of the others int8 and float give so many answers alike. The ONNX file is also quantised
by onnxruntime (QDQ, int8, symmetric) on that third and imported: how far the machine's logits are from onnxruntime's,
and how many answers are the same. ``open-nsfw`` is an ONNX file of others, ``--weights open-nsfw=open_nsfw.onnx``, and
torch's program a network with its weights (``open_nsfw.py``). ``examples/real_weights/dog_breeds.py`` has a MobileNetV2
and arrays of photographs.
"""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.helper
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from open_nsfw import as_the_file_takes_them, read_open_nsfw
from safetensors.torch import load_file
from torch import nn

from gatewright.agreement import check_outputs
from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.quantise import quantise_input
from gatewright.contract.arch import load_arch
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.datasets.images import DataSet
from gatewright.models.families.mobilenet_v2.network import MobileNetV2
from gatewright.models.families.network import Network
from gatewright.models.families.resnet_imagenet.network import ResNetImageNet
from gatewright.models.own import Resize, own_images
from gatewright.models.synthetic.calibration import calibrate_network
from gatewright.models.synthetic.densities import densities
from gatewright.models.synthetic.noise import noise_images
from gatewright.onnx_import import import_onnx
from gatewright.own_network import calibrate_own, load_own
from gatewright.sim.fast.machine import simulate

NETWORKS: dict[str, Callable[[int, int], Network]] = {
    "resnet18": lambda size, classes: ResNetImageNet(18, size=size, classes=classes),
    "mobilenet-v2": lambda size, classes: MobileNetV2(size=size, classes=classes),
}
"""Each for an edge of its images, and a number of classes."""

FILE = "open-nsfw"
"""The network that is a file of others."""

HEADS = {"resnet18": "fc.bias", "mobilenet-v2": "classifier.1.bias"}
"""The tensor with as many numbers as there are classes."""

SEED = 1


class Images(CalibrationDataReader):
    """Images [N, C, H, W], one after the other, for onnxruntime's calibration."""

    def __init__(self, name: str, images: npt.NDArray[np.float32]) -> None:
        self.left: Iterator[dict[str, npt.NDArray[np.float32]]] = iter([{name: image[None]} for image in images])

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """The next image; None behind the last."""
        return next(self.left, None)


def run_onnx(path: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The logits [N, classes] of onnxruntime, node by node: its fused int8 kernels saturate on some processors."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])


def without_softmax(source: Path, target: Path) -> Path:
    """The file with the operand of its last softmax as its result: logits."""
    model = onnx.load(source)
    (last,) = [node for node in model.graph.node if node.op_type == "Softmax"]
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, None))
    onnx.save(model, target)
    return target


def beside(got: npt.NDArray[Any], expected: npt.NDArray[Any]) -> dict[str, float]:
    """Logits [N, classes] beside others: root mean square of their difference, and answers alike.

    Without what all of an image's logits have in common, which no answer depends on. Of two classes, ``sides`` is how
    many images lie on the same side of the median: an answer says little where nearly all are of one class.
    """
    got, expected = (each - each.mean(1, keepdims=True) for each in (got, expected))
    found: dict[str, float] = {
        "rms": float(np.sqrt(((got - expected) ** 2).mean()) / expected.std()),
        "answers": int((got.argmax(1) == expected.argmax(1)).sum()),
    }
    if expected.shape[1] == 2:
        middle = np.median(expected[:, 1])
        found["sides"] = int(((got[:, 1] > middle) == (expected[:, 1] > middle)).sum())
        found["answers of the rarer class"] = int(min(np.bincount(expected.argmax(1), minlength=2)))
    return found


def machine(path: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The integer logits [N, classes] of a calibrated program, in real numbers."""
    _, _, graph = load_own(path)
    results = run_reference(graph, quantise_input(images, graph))
    logits = [results.outputs_of(place) for place in range(len(images))]
    ((name, _),) = logits[0].items()
    return np.stack([each[name] for each in logits]) * graph.scales[name]


def cycles(path: Path, image: npt.NDArray[np.float32], arch_name: str) -> int:
    """Cycles of one image, whose logits must be the reference's."""
    _, _, graph = load_own(path)
    sample = quantise_input(image[None], graph)
    result = simulate(Compiler(graph, load_arch(arch_name)).compile({}, sample[0]), sample[0])
    check_outputs(path.name, result.outputs, run_reference(graph, sample).outputs_of(0))
    return result.cycles


def measure(
    name: str,
    network: nn.Module,
    data: DataSet,
    source: Path,
    count: int,
    folder: Path,
    arch: str,
    resize: Resize,
    given: Path | None,
) -> dict[str, Any]:
    """All figures of one network on ``count`` images of the folder ``source``, of which the first third calibrates.

    Its file is ``given``, of others, or written by torch's exporter, as the one that is quantised always is.
    """
    images = data.load(source, "train", count).normalised()
    third = max(16, len(images) // 3)
    few, rest, shape = images[:third], images[third:], images.shape[1:]

    def calibrated(path: Path) -> None:
        calibrate_own(path, source, third, data.mean, data.std, resize)

    torch_file, file = folder / f"{name}.torch.pt2", folder / f"{name}.onnx"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network, (torch.zeros(1, *shape),)), torch_file)
        torch.onnx.export(network, (torch.zeros(1, *shape),), file, dynamo=False, opset_version=17)
    row: dict[str, Any] = {"network": name, "size": shape[1], "images": len(rest)}

    made = import_onnx(given or file, folder / f"{name}.pt2", bgr=given is not None)
    row["checked"], row["largest"] = made.converted.difference, made.converted.largest
    if given is None:
        expected = run_onnx(file, rest)
    else:
        expected = run_onnx(without_softmax(given, folder / f"{name}.logits.onnx"), as_the_file_takes_them(rest))
    with torch.no_grad():
        ours = np.concatenate([made.converted.network(torch.from_numpy(image[None])).numpy() for image in rest])
    row["float_difference"], row["float_largest"] = float(np.abs(ours - expected).max()), float(np.abs(expected).max())
    for path in (torch_file, made.path):
        calibrated(path)
    row["cycles_torch"], row["cycles_onnx"] = (cycles(path, rest[0], arch) for path in (torch_file, made.path))
    got = machine(made.path, rest)
    row["int8 beside float"] = beside(got, expected)

    quantised = folder / f"{name}.qdq.onnx"
    image = onnxruntime.InferenceSession(file).get_inputs()[0].name
    quantize_static(
        file,
        quantised,
        Images(image, few),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
    )
    taken = import_onnx(quantised, folder / f"{name}.qdq.pt2")
    assert taken.given is not None
    if taken.given.missing:
        calibrated(taken.path)
    theirs, got = run_onnx(quantised, rest), machine(taken.path, rest)
    row |= {
        "qdq_weights": taken.weights,
        "qdq_maps": [len(taken.given.kept), len(taken.given.shared), len(taken.given.coarser)],
        "qdq_cycles": cycles(taken.path, rest[0], arch),
        "qdq beside onnxruntime": beside(got, theirs),
        "qdq beside float": beside(got, expected),
        "onnxruntime's qdq beside float": beside(theirs, expected),
    }
    return row


def _network(name: str, weights: str | None, size: int, data: DataSet, source: Path) -> tuple[nn.Module, bool]:
    """A network with the weights of a file; without one drawn, which is said beside it."""
    if name == FILE:
        assert weights is not None, f"{FILE} has no drawn weights: --weights {FILE}=open_nsfw.onnx"
        return read_open_nsfw(Path(weights)), False
    tensors = None if weights is None else load_file(weights)
    network = NETWORKS[name](size, 1000 if tensors is None else len(tensors[HEADS[name]])).eval()
    if tensors is not None:
        network.load_state_dict(tensors)
    else:
        seen = torch.from_numpy(data.load(source, "train", 16).normalised())
        calibrate_network(network, seen, densities(network, 1.0, 1.0), hold_macs=False)
    return network.eval(), tensors is None


def main() -> None:
    """Measure, and print a line for each network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--arch", default="ultra96")
    parser.add_argument("--photographs", type=Path, help="a folder of photographs or arrays; without one, noise")
    parser.add_argument("--mean", default=",".join(map(str, IMAGENET.mean)), help="of pixels from 0 to 1")
    parser.add_argument("--std", default=",".join(map(str, IMAGENET.std)))
    parser.add_argument("--resize", type=int, help="of photographs, to so many pixels at the shorter edge; else cover")
    parser.add_argument("--weights", action="append", default=[], metavar="NETWORK=FILE")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    source = options.photographs
    if source is None:
        source = options.out / "noise"
        source.mkdir(exist_ok=True)
        for number, image in enumerate(noise_images(options.images, options.size, SEED, IMAGENET).images):
            np.save(source / f"{number:04}.npy", image)
    mean, std = (tuple(map(float, text.split(","))) * (1 if "," in text else 3) for text in (options.mean, options.std))
    resize: Resize = options.resize or "cover"
    data = own_images((3, options.size, options.size), mean, std, resize)
    weights = dict(each.split("=", 1) for each in options.weights)
    rows = []
    for name in options.networks.split(","):
        torch.manual_seed(SEED)
        given = Path(weights[name]) if name == FILE else None
        network, drawn = _network(name, weights.get(name), options.size, data, source)
        row = measure(name, network, data, source, options.images, options.out, options.arch, resize, given)
        rows.append({**row, "synthetic": drawn})
        print(json.dumps(rows[-1]), flush=True)
        (options.out / "onnx_networks.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
