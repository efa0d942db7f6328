"""Constants that a file computes of constants: folded as ONNX's reference computes them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import onnx
import onnx.helper
from onnx.reference import ReferenceEvaluator

from gatewright.contract.errors import GatewrightError
from gatewright.from_onnx.model import Array, Model, Node, float32

MOST_FOLDED = 1 << 26
"""Numbers of a constant that is computed, at most: a file of a few bytes may ask for any."""


def folds(node: Node) -> bool:
    """Whether a node of constants is computed here; dequantised weights keep their scale elsewhere."""
    return node.op not in ("DequantizeLinear", "QuantizeLinear", "If", "Loop", "Scan")


def fold(model: Model, node: Node, operands: Mapping[str, Array]) -> dict[str, Array]:
    """What a node writes, by name; ``operands`` has what it reads, by the file's names.

    Raises
    ------
    GatewrightError
        The reference cannot compute it, it is too large, or it is no tensor.
    """
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(each.dtype), each.shape)
        for name, each in operands.items()
    ]
    names = [name for name in node.writes if name]
    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    graph = onnx.helper.make_graph([node.proto], "constant", infos, outputs)
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opsets.items()]
    single = onnx.helper.make_model(graph, opset_imports=imports, ir_version=model.proto.ir_version)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _check_size(node, operands)
            results = ReferenceEvaluator(single).run(None, dict(operands))
    except GatewrightError:
        raise
    except Exception as error:  # the reference raises whatever numpy does
        reason = " ".join(str(error).split())[:200]
        raise GatewrightError(f"{node.where}: its constants cannot be computed ({reason})") from error
    if not all(isinstance(result, np.ndarray | np.generic) for result in results):
        raise GatewrightError(f"{node.where}: its result is no tensor")
    return {name: float32(np.asarray(result)) for name, result in zip(names, results, strict=True)}


def _check_size(node: Node, operands: Mapping[str, Array]) -> None:
    if node.op in ("ConstantOfShape", "Expand", "Tile", "RandomNormal", "RandomUniform"):
        shape = node.attributes.get("shape") or operands[node.reads[-1]].reshape(-1)
        if np.prod(np.asarray(shape, np.float64)) > MOST_FOLDED:
            raise GatewrightError(
                f"{node.where}: it makes a constant {[int(edge) for edge in shape]}; at most {MOST_FOLDED:,} numbers "
                "are supported"
            )
