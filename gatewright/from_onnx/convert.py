"""An ONNX file as a torch network of one image, and how far it is from what ONNX's own reference computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.from_onnx.build import Builder
from gatewright.from_onnx.evaluate import evaluate
from gatewright.from_onnx.layout import finish
from gatewright.from_onnx.model import load_onnx, read_model
from gatewright.from_onnx.network import OnnxNetwork
from gatewright.from_onnx.operators import HANDLERS
from gatewright.from_onnx.orders import FIRST

LAST = ("Softmax", "LogSoftmax")
"""What a classifier may end with and the machine leaves to the host: the order of the classes stays."""

TOLERANCE = 1e-3
"""Float networks differ by rounding; by more than this share of the largest result they are not the same network."""


@dataclass(frozen=True)
class Converted:
    """A network for an image of a ``shape`` (channels, height, width).

    ``quantised`` says whether it has scales of its own, ``notes`` what a person should know about how the file was
    taken, ``coarser`` maps whose steps are not the file's. ``difference`` is the largest one of a result from ONNX's
    reference, on one image of noise, ``largest`` the largest result.
    """

    network: OnnxNetwork
    shape: tuple[int, int, int]
    quantised: bool
    notes: tuple[str, ...]
    coarser: tuple[str, ...]
    difference: float
    largest: float


def convert(
    path: Path,
    size: tuple[int, int] | None = None,
    outputs: Sequence[str] = (),
    symmetric: bool = False,
    as_float: bool = False,
    bgr: bool = False,
) -> Converted:
    """Read an ONNX file.

    Parameters
    ----------
    path
        The file; tensors that it keeps in files beside it are read.
    size
        Height and width of the images, where the file leaves them open.
    outputs
        Tensors to return in place of the file's results.
    symmetric
        Of a quantised file: take a symmetric range in place of one with a zero point that the machine does not have.
    as_float
        Of a quantised file: drop the scales of its maps and weights.
    bgr
        The file takes images from blue to red; the network takes them from red to blue.

    Raises
    ------
    GatewrightError
        The file is damaged, is no function of one image, or has an operation that is not taken: which node, and what
        to do.
    """
    proto = load_onnx(path)
    try:
        return _convert(proto, size, outputs, symmetric, as_float, bgr)
    except GatewrightError as error:
        raise GatewrightError(f"{path}: {error}") from error


def _convert(
    proto: onnx.ModelProto,
    size: tuple[int, int] | None,
    outputs: Sequence[str],
    symmetric: bool,
    as_float: bool,
    bgr: bool,
) -> Converted:
    ends, notes = _ends(proto) if not outputs else (list(outputs), [])
    model = read_model(proto, size, ends)
    if len(model.inputs) != 1:
        raise GatewrightError(
            f"it takes {len(model.inputs)} inputs ({', '.join(model.inputs) or 'none'}); a "
            "network takes one image: make "
            "the others constants of the file"
        )
    ((name, shape),) = model.inputs.items()
    if len(shape) != 4:
        raise GatewrightError(
            f"input {name} is {list(shape)}; a network takes an image [1, channels, rows, columns]: networks of text, "
            "sound or tables are none of the machine's"
        )
    build = Builder(model, symmetric, as_float, bgr)
    image = build.live[name]
    if bgr and image.shape[1] != 3:
        raise GatewrightError(f"input {name} has {image.shape[1]} channels; --bgr is for images of blue, green and red")
    network = build.build(HANDLERS, finish)
    if not network.steps:
        raise GatewrightError(
            "nothing is computed of the image: its results are the image itself; choose other --output"
        )
    difference, largest = _compare(proto, build, network)
    quantised = bool(build.scales or build.units)
    if not quantised and not as_float and not difference <= TOLERANCE * max(largest, 1e-3):
        raise GatewrightError(
            f"what was made of it differs by {difference:.3g} from what onnx.reference computes (results up to "
            f"{largest:.3g}); please report the file"
        )
    shape_of_image = int(image.shape[1]), int(image.shape[2]), int(image.shape[3])
    return Converted(
        network, shape_of_image, quantised, (*notes, *build.notes), tuple(build.coarser), difference, largest
    )


def _ends(proto: onnx.ModelProto) -> tuple[list[str], list[str]]:
    """The file's outputs without softmax, and what to say of it."""
    writers = {name: node for node in proto.graph.node for name in node.output}
    ends, notes = [], []
    for entry in proto.graph.output:
        node = writers.get(entry.name)
        if node is not None and node.op_type in LAST:
            notes.append(f"node {node.name or entry.name} ({node.op_type}) is left out: the results are the logits")
            ends.append(node.input[0])
        else:
            ends.append(entry.name)
    return ends, notes


def _compare(proto: onnx.ModelProto, build: Builder, network: OnnxNetwork) -> tuple[float, float]:
    """The largest difference from ONNX's reference on an image of noise, and the largest result."""
    (name,) = network.inputs
    order, outputs = build.orders.get(name, FIRST), build.model.outputs
    wanted = next(entry for entry in proto.graph.input if entry.name == name).type.tensor_type.elem_type
    noise = np.random.default_rng(1).standard_normal(tuple(build.live[name].shape)).astype(np.float32)
    given = noise.transpose(order).astype(onnx.helper.tensor_dtype_to_np_dtype(wanted))
    expected = evaluate(proto, name, np.ascontiguousarray(given), outputs)
    image = np.asarray(given, np.float32).transpose(np.argsort(order))
    if name in build.blue_first:
        image = image[:, ::-1]
    with torch.no_grad():
        results = network(torch.from_numpy(image.copy()))
    made = [
        result.permute(build.orders.get(each, tuple(range(result.dim())))).float().numpy()
        for each, result in zip(outputs, results if isinstance(results, tuple) else (results,), strict=True)
    ]
    if any(one.shape != other.shape for one, other in zip(made, expected, strict=True)):
        raise GatewrightError(
            f"its results are {[each.shape for each in expected]}, and {[each.shape for each in made]} here"
        )
    if not all(np.isfinite(each).all() for each in (*made, *expected)):
        raise GatewrightError(
            "its results for an image of noise are not all finite; some weights are infinite, no numbers or too large"
        )
    largest = max(float(np.abs(each).max(initial=0)) for each in expected)
    return max(float(np.abs(a - b).max(initial=0)) for a, b in zip(made, expected, strict=True)), largest
