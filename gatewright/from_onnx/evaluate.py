"""What ONNX's reference computes for an image; three operations that it has not, or wrong, are mended."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from gatewright.contract.errors import GatewrightError
from gatewright.from_onnx.model import Array


class BatchNormalization(OpRun):
    """In evaluation mode, whatever the opset: onnx.reference takes one of opsets 9 to 13 for one that trains."""

    op_domain = ""

    def _run(self, x: Array, scale: Array, bias: Array, mean: Array, variance: Array, **_: object) -> tuple[Array]:
        along = (-1, *(1,) * (x.ndim - 2))
        factor = (scale / np.sqrt(variance + getattr(self, "epsilon", 1e-5))).reshape(along)
        return (((x - mean.reshape(along)) * factor + bias.reshape(along)).astype(x.dtype),)


class QuantizeLinear(OpRun):
    """Of opsets before 19, too."""

    op_domain = ""

    def _run(self, x: Array, scale: Array, zero: Array | None = None, **_: object) -> tuple[Array]:
        kind = np.dtype(np.uint8) if zero is None else zero.dtype
        offset = 0 if zero is None else _along(self, zero, x).astype(np.int64)
        ends = np.iinfo(kind)
        return (np.clip(np.rint(x / _along(self, scale, x)) + offset, ends.min, ends.max).astype(kind),)


class DequantizeLinear(OpRun):
    """Of opsets before 19, too."""

    op_domain = ""

    def _run(self, x: Array, scale: Array, zero: Array | None = None, **_: object) -> tuple[Array]:
        offset = 0 if zero is None else _along(self, zero, x).astype(np.int64)
        return (((x.astype(np.int64) - offset) * _along(self, scale, x)).astype(scale.dtype),)


def _along(operation: OpRun, values: Array, x: Array) -> Array:
    """One number, or one for each place along the operation's axis."""
    if values.size == 1:
        return values.reshape(())
    shape = [1] * x.ndim
    shape[getattr(operation, "axis", 1)] = values.size
    return values.reshape(shape)


def evaluate(proto: onnx.ModelProto, name: str, image: Array, outputs: Sequence[str]) -> list[Array]:
    """The tensors ``outputs`` for an image of the input ``name``; what cannot be computed is a ``GatewrightError``."""
    kept = onnx.ModelProto()
    kept.CopyFrom(proto)
    del kept.graph.output[:]
    kept.graph.output.extend(onnx.ValueInfoProto(name=each) for each in outputs)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            mended = [BatchNormalization, QuantizeLinear, DequantizeLinear]
            results = ReferenceEvaluator(kept, new_ops=mended).run(None, {name: image})
    except Exception as error:  # whatever numpy raises
        reason = " ".join(str(error).split())[:200]
        raise GatewrightError(f"onnx.reference cannot compute it for one image ({reason})") from error
    return [np.asarray(each, np.float32) for each in results]
