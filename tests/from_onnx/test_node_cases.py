"""ONNX's own node tests, for every operation that is taken: the same result, or a message."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.from_onnx.build import Builder
from gatewright.from_onnx.model import read_model
from gatewright.from_onnx.operators import HANDLERS

TOGETHER = {
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Sum",
    "Concat",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Where",
}
"""Operations whose operands are all tensors of the image; of the others a file holds all but the first."""

AGREE, REFUSED = 168, 314
"""How many cases there are of both: docs/onnx.md says so."""


@cache
def cases() -> list[Any]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # other operations' cases divide by zero and overflow
        from onnx.backend.test.case.node import collect_testcases

        found = {case.name: case for case in collect_testcases(None)}
    alone = [case for case in found.values() if len(case.model.graph.node) == 1]
    return [case for case in alone if case.model.graph.node[0].op_type in HANDLERS]


def as_a_file(case: Any) -> onnx.ModelProto:
    """The case's model, with its parameters as constants."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    operation = model.graph.node[0].op_type
    if operation not in TOGETHER:
        values = case.data_sets[0][0]
        for entry, value in list(zip(model.graph.input, values, strict=True))[1:]:
            if isinstance(value, np.ndarray):
                model.graph.initializer.append(onnx.numpy_helper.from_array(value, entry.name))
    return model


def real(value: Any) -> np.ndarray[Any, Any]:
    array = onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind not in "biu" else array


def onnx_name(value: Any) -> str:
    return (
        onnx.numpy_helper.to_array(value).dtype.name
        if isinstance(value, onnx.TensorProto)
        else np.asarray(value).dtype.name
    )


def outcome(case: Any) -> str | None:
    """None where all results are the case's, else the message."""
    inputs, expected = case.data_sets[0]
    try:
        model = read_model(as_a_file(case), batch=None)
        network = Builder(model).build(HANDLERS)
    except GatewrightError as error:
        return str(error)
    given = {entry.name: value for entry, value in zip(case.model.graph.input, inputs, strict=True)}
    operands = [torch.from_numpy(real(given[name]).copy()) for name in network.inputs]
    operands = [operand if operand.dtype == torch.bool else operand.float() for operand in operands]
    results = network(*operands)
    for result, wanted in zip(results if isinstance(results, tuple) else (results,), expected, strict=True):
        array = real(wanted)
        assert tuple(result.shape) == array.shape, case.name
        # ONNX's own tolerance; a case in another width is computed in float32 here, and bfloat16 has 8 bits.
        tolerance = 4e-3 if onnx_name(wanted) == "bfloat16" else 1e-3
        made, wide = result.float().numpy(), array.astype(np.float32)
        np.testing.assert_allclose(made, wide, rtol=tolerance, atol=1e-6, err_msg=case.name)
    return None


@cache
def outcomes() -> dict[str, tuple[str, str | None]]:
    """By case: its operation, and what became of it."""
    return {case.name: (case.model.graph.node[0].op_type, outcome(case)) for case in cases()}


@pytest.mark.filterwarnings("ignore")
def test_every_case_agrees_or_is_refused_with_a_reason() -> None:
    refused = {name: message for name, (_, message) in outcomes().items() if message is not None}
    for name, message in refused.items():
        assert len(message) > 40 and (";" in message or "supported" in message), (name, message)
    assert (len(outcomes()) - len(refused), len(refused)) == (AGREE, REFUSED)


@pytest.mark.filterwarnings("ignore")
def test_every_operation_that_is_taken_has_a_case_that_agrees() -> None:
    agreeing = {operation for operation, message in outcomes().values() if message is None}
    # What is left has cases of integers, of opset 1, or of several indices; test_import.py and
    # test_quantised.py have them.
    assert HANDLERS.keys() - agreeing == {"DequantizeLinear", "Equal", "Gather", "Not", "Pad", "QuantizeLinear"}
