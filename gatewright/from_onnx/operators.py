"""The operations of ONNX that are taken, by name; what the machine makes of them is the compiler's business."""

from __future__ import annotations

import torch

from gatewright.from_onnx import elementwise, layers, quantised, shapes, windows
from gatewright.from_onnx.build import Handler
from gatewright.from_onnx.layout import follow

_FIRST: dict[str, Handler] = {
    "Conv": layers.convolution,
    "BatchNormalization": layers.batch_norm,
    "Gemm": layers.gemm,
    "MatMul": layers.matmul,
    "MaxPool": windows.max_pool,
    "AveragePool": windows.average_pool,
    "GlobalAveragePool": windows.global_average,
    "Pad": windows.pad,
    "Relu": elementwise.relu,
    "Clip": elementwise.clip,
    "Add": elementwise.binary(torch.add),
    "Sub": elementwise.binary(lambda a, b: a - b),
    "Mul": elementwise.binary(torch.mul),
    "Div": elementwise.binary(lambda a, b: a / b),
    "Sum": elementwise.total,
    "Concat": elementwise.concat,
    "Neg": lambda build, node: build.apply(node, torch.neg),
    "Greater": elementwise.binary(lambda a, b: a > b),
    "GreaterOrEqual": elementwise.binary(lambda a, b: a >= b),
    "Less": elementwise.binary(lambda a, b: a < b),
    "LessOrEqual": elementwise.binary(lambda a, b: a <= b),
    "Equal": elementwise.binary(lambda a, b: a == b),
    "Not": lambda build, node: build.apply(node, torch.logical_not),
    "Where": elementwise.choose,
    "Cast": elementwise.cast,
    "Identity": elementwise.same,
    "Dropout": elementwise.same,
    "Reshape": shapes.reshape,
    "Flatten": shapes.reshape,
    "Squeeze": shapes.reshape,
    "Unsqueeze": shapes.reshape,
    "Transpose": shapes.transpose,
    "Slice": shapes.part,
    "Gather": shapes.gather,
    "ReduceMean": elementwise.reduce(torch.mean),
    "ReduceSum": elementwise.reduce(torch.sum),
    "ReduceMax": elementwise.reduce(torch.amax),
    "ArgMax": elementwise.argmax,
    "Resize": shapes.resize,
    "Upsample": shapes.resize,
    "QuantizeLinear": quantised.quantize,
    "DequantizeLinear": quantised.dequantize,
}
"""Handlers for maps that have their channels first; a form of an operation that is not taken is refused there."""

HANDLERS = {operation: follow(operation, handler) for operation, handler in _FIRST.items()}
"""Every operation's handler."""
