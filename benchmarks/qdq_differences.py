"""Where the machine's logits leave onnxruntime's of a quantised file: the file changed by one thing at a time.

``python benchmarks/qdq_differences.py build/onnx/resnet18.qdq.onnx build/onnx/resnet18.qdq.pt2 --photographs FOLDER
[--skip 16] [--images 16] [--mean 0.5 --std 0.5] [--resize 256]``

Behind ``benchmarks/onnx_networks.py``, which writes both files. Each change is one of those that the machine makes
(docs/onnx.md), put into the file; onnxruntime runs all of them, node by node. Beside them: the file with the scales of
the first filters larger by 2^-16, which says how far a difference of a rounding spreads; and the machine, from the file
as it is and from the file with all changes. Figures: root mean square of the difference of logits, of the deviation of
those on the right; answers alike.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper
from onnx_networks import beside, machine, run_onnx

from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.own import Resize, own_images

SAME = ("Relu", "Clip", "MaxPool", "QuantizeLinear", "DequantizeLinear")
"""What leaves a map in the scale of what it reads, on the machine."""


class File:
    """A quantised file that is changed."""

    def __init__(self, source: Path) -> None:
        self.model = onnx.load(source)
        self.graph = self.model.graph
        self.constants = {entry.name: onnx.numpy_helper.to_array(entry) for entry in self.graph.initializer}
        self.writers = {name: node for node in self.graph.node for name in node.output}

    def save(self, target: Path) -> Path:
        """Write it."""
        onnx.save(self.model, target)
        return target

    def set(self, name: str, value: npt.NDArray[np.generic]) -> None:
        """A constant."""
        (entry,) = [entry for entry in self.graph.initializer if entry.name == name]
        entry.CopyFrom(onnx.numpy_helper.from_array(value, name))
        self.constants[name] = value

    def made_by(self, name: str) -> onnx.NodeProto | None:
        """The node whose numbers these are, without their rounding."""
        node = self.writers.get(name)
        while node is not None and node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node = self.writers.get(node.input[0])
        return node

    def without_rounding(self, name: str) -> None:
        """Take the pair of nodes away that ends with ``name``."""
        back = self.writers[name]
        before = self.writers[back.input[0]].input[0]
        for node in self.graph.node:
            node.input[:] = [before if each == name else each for each in node.input]
        for entry in self.graph.output:
            if entry.name == name:  # the pair stays, and the result is what it reads
                entry.name = before

    def added(self) -> list[tuple[str, str]]:
        """Of each sum what a convolution makes, which the machine does not round, and what it is added to."""
        pairs = []
        for node in self.graph.node:
            if node.op_type == "Add" and all(name not in self.constants for name in node.input):
                makers = [self.made_by(name) for name in node.input]
                place = next(n for n, maker in enumerate(makers) if maker is not None and maker.op_type == "Conv")
                pairs.append((node.input[place], node.input[1 - place]))
        return pairs

    def stream(self, name: str) -> str:
        """The first map of the residual stream that a map is of."""
        node = self.writers.get(name)
        if node is None or node.op_type not in (*SAME, "Add"):
            return name
        others = dict(self.added())
        return self.stream(node.input[0] if node.op_type != "Add" else others.get(node.input[0]) or node.input[0])


def sums(file: File) -> None:
    """A convolution's output is not rounded before it is added."""
    for name, _ in file.added():
        file.without_rounding(name)


def streams(file: File) -> None:
    """A residual stream has the largest scale of its maps."""
    added = {file.writers[file.writers[name].input[0]].input[0] for name, _ in file.added()}
    rounded = [node for node in file.graph.node if node.op_type == "QuantizeLinear" and node.input[0] not in added]
    first = {node.input[0]: file.stream(node.input[0]) for node in rounded}
    largest: dict[str, float] = {}
    for node in rounded:
        place = first[node.input[0]]
        largest[place] = max(largest.get(place, 0.0), float(file.constants[node.input[1]]))
    for node in rounded:
        file.set(node.input[1], np.array(largest[first[node.input[0]]], np.float32))


def average(file: File) -> None:
    """The global average is not rounded."""
    for node in list(file.graph.node):
        maker = file.made_by(node.output[0]) if node.op_type == "DequantizeLinear" else None
        if maker is not None and maker.op_type in ("ReduceMean", "GlobalAveragePool", "Flatten", "Reshape"):
            file.without_rounding(node.output[0])


def classes(file: File) -> None:
    """The last matrix has one scale for all classes."""
    last = [node for node in file.graph.node if node.op_type == "Gemm"][-1]
    stored, scale = file.writers[last.input[1]].input[:2]
    real = file.constants[stored].astype(np.float64) * file.constants[scale].astype(np.float64)[:, None]
    one = np.abs(real).max() / 127
    file.set(stored, np.rint(real / one).astype(np.int8))
    file.set(scale, np.full(file.constants[scale].shape, one, np.float32))


def logits(file: File) -> None:
    """The logits are not rounded."""
    (result,) = [entry.name for entry in file.graph.output]
    file.without_rounding(result)


CHANGES: dict[str, Callable[[File], None]] = {
    change.__name__: change for change in (sums, streams, average, classes, logits)
}


def nudge(file: File) -> None:
    """The first filters' scales, by as much as the machine's factors of 16 bits may be off."""
    first = next(node for node in file.graph.node if node.op_type == "Conv")
    scale = file.writers[first.input[1]].input[1]
    file.set(scale, (file.constants[scale] * np.float32(1 + 2.0**-16)).astype(np.float32))


def main() -> None:
    """Measure, and print a line for each change."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("program", type=Path)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--skip", type=int, default=16, help="images that have calibrated")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--mean", default=",".join(map(str, IMAGENET.mean)), help="of pixels from 0 to 1")
    parser.add_argument("--std", default=",".join(map(str, IMAGENET.std)))
    parser.add_argument("--resize", type=int)
    options = parser.parse_args()
    mean, std = (tuple(map(float, text.split(","))) * (1 if "," in text else 3) for text in (options.mean, options.std))
    resize: Resize = options.resize or "cover"
    data = own_images((3, options.size, options.size), mean, std, resize)
    images = data.load(options.photographs, "train", options.skip + options.images).normalised()[options.skip :]
    target = options.file.with_suffix(".changed.onnx")

    def changed(*changes: Callable[[File], None]) -> npt.NDArray[np.float32]:
        file = File(options.file)
        for change in changes:
            change(file)
        return run_onnx(file.save(target), images)

    original = run_onnx(options.file, images)
    for name, change in {**CHANGES, "first filters' scales by 2^-16": nudge}.items():
        print(json.dumps({name: beside(changed(change), original)}), flush=True)
    everything = changed(*CHANGES.values())
    ours = machine(options.program, images)
    print(json.dumps({"all changes": beside(everything, original)}))
    print(json.dumps({"all, and the nudge, beside all": beside(changed(*CHANGES.values(), nudge), everything)}))
    print(json.dumps({"machine": beside(ours, original), "machine beside all changes": beside(ours, everything)}))
    target.unlink()


if __name__ == "__main__":
    main()
