"""ONNX files that tests write: networks of torch's exporter, and of nodes by hand."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import torch
from torch import nn

Array = np.ndarray[Any, Any]


def export_onnx(network: nn.Module, path: Path, size: int, opset: int = 17) -> Path:
    """By torch's own exporter, for one image."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # it says that it is the older one of two
        torch.onnx.export(network.eval(), (torch.zeros(1, 3, size, size),), path, dynamo=False, opset_version=opset)
    return path


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Array],
    shape: Sequence[int | str] = (1, 3, 8, 8),
    opset: int = 17,
    kind: int = onnx.TensorProto.FLOAT,
) -> Path:
    """Nodes from ``x`` to ``y``."""
    graph = onnx.helper.make_graph(
        list(nodes),
        "net",
        [onnx.helper.make_tensor_value_info("x", kind, list(shape))],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", "C"])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def quantise(source: Path, target: Path, images: Array, symmetric: bool = True) -> Path:
    """As QDQ, by onnxruntime, with ``images`` [N, C, H, W] to calibrate."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    name = onnx.load(source).graph.input[0].name

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[dict[str, Array]] = iter([{name: image[None]} for image in images])

        def get_next(self) -> dict[str, Array] | None:
            return next(self.left, None)

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantize_static(
                source,
                target,
                Images(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": True},
            )
    finally:
        logging.disable(level)
    return target
