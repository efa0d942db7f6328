"""From a PyTorch network to a ``FloatGraph``, through ``torch.export``.

Layers are recognised by what they compute, never by class or name: batch norm is folded into the
convolution before it, and a gate is a comparison whose 0/1 result multiplies a feature map.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from gatewright.compiler.frontend import (
    recognise_bypass,
    recognise_decisions,
    recognise_exits,
    recognise_gates,
    recognise_joins,
    recognise_layers,
    recognise_rounding,
)
from gatewright.compiler.frontend.averages_first import averages_first
from gatewright.compiler.frontend.elsewhere import find_residuals_elsewhere
from gatewright.compiler.frontend.logit_patterns import Choice
from gatewright.compiler.frontend.patterns import Constant, Image, Value
from gatewright.compiler.frontend.prune import mask_before_depthwise
from gatewright.compiler.frontend.results import finish
from gatewright.compiler.frontend.skipped_layers import with_layers_skipped
from gatewright.compiler.frontend.walk import Walk
from gatewright.compiler.graph.graph import FloatGraph, TensorShape
from gatewright.compiler.graph.verify import verify_float
from gatewright.contract.errors import GatewrightError

Handler = Callable[[Walk, fx.Node, dict[str, Any]], Value]
"""What makes a value of an operation and its arguments."""

INPUT = "input"
"""Name of the tensor that holds the image."""

SUPPORTED = (
    "2-D convolution, batch norm, ReLU, ReLU6, addition of a residual, concatenation of channels, "
    "max pooling of a convolution (windows of 2 or 3, stride 2), average pooling, bilinear upsampling of small maps, a "
    "classifier of linear layers on a global average, gates (logits that are compared, and the result multiplied), and "
    "early exits (logits that are the answer where any reaches its threshold)"
)


def capture(network: nn.Module, input_shape: tuple[int, int, int] = (3, 32, 32)) -> FloatGraph:
    """Read what a network computes in evaluation mode.

    Parameters
    ----------
    network
        Maps images [N, channels, height, width] to logits [N, classes] or feature maps, one or several of them.
    input_shape
        Channels, height and width of an image.

    Raises
    ------
    GatewrightError
        The network holds an operation, or a combination, that the machine has no layer for; the
        message names the operation, the module and what is supported.
    """
    return capture_program(_export(network, input_shape), input_shape)


def capture_program(program: torch.export.ExportedProgram, input_shape: tuple[int, int, int]) -> FloatGraph:
    """As ``capture``, from an exported program in functional form (``run_decompositions({})``)."""
    walk = Walk(FloatGraph(INPUT, shapes={INPUT: TensorShape(*input_shape)}), list(program.state_dict))
    signature = program.graph_signature
    paths = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    paths |= signature.inputs_to_lifted_tensor_constants
    for node in program.graph.nodes:
        if node.op == "placeholder":
            if node.name in paths:
                path = paths[node.name]
                stored = program.state_dict[path] if path in program.state_dict else program.constants[path]
                walk.values[node] = Constant(path, stored)
            else:
                walk.values[node] = Image(np.ones(input_shape[0]), np.zeros(input_shape[0]))
        elif node.op == "output":
            _finish(walk, node)
        else:
            _step(walk, node)
    walk.graph.rounding = recognise_rounding.of_maps(walk)
    mask_before_depthwise(walk.graph)
    averages_first(walk.graph)
    find_residuals_elsewhere(walk.graph)
    graph = with_layers_skipped(walk.graph)
    graph.rounding = {name: rounding for name, rounding in graph.rounding.items() if name in graph.shapes}
    recognise_rounding.saturate(graph)
    verify_float(graph)
    return graph


def _export(network: nn.Module, input_shape: tuple[int, int, int]) -> torch.export.ExportedProgram:
    """The network's evaluation-mode program in functional form (no operation writes in place)."""
    like = next(network.parameters(), torch.zeros(()))
    image = torch.zeros((1, *input_shape), dtype=like.dtype, device=like.device)
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch.export warns about its own internals
            return torch.export.export(network, (image,)).run_decompositions({})
    except Exception as error:  # the network's own code runs in here and may raise anything
        name, shape = type(network).__name__, "x".join(map(str, input_shape))
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise GatewrightError(
            f"torch.export cannot export {name} for a {shape} image: {reason[0]}; its forward must take one image "
            "tensor and must not branch on the values of tensors in evaluation mode"
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode


def _step(walk: Walk, node: fx.Node) -> None:
    """Take one operation."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    target = getattr(node.target, "overloadpacket", node.target)
    operation = "getitem" if target is operator.getitem else str(target).removeprefix("aten.")
    walk.where = f"{stack[-1][0] if stack and stack[-1][0] else 'the network'}: {operation}"
    if operation in _NO_VALUE:
        return
    if operation not in _HANDLERS:
        walk.fail(f"this operation is not supported; supported are {SUPPORTED}")
    walk.values[node] = _HANDLERS[operation](walk, node, _arguments(walk, node))


def _arguments(walk: Walk, node: fx.Node) -> dict[str, Any]:
    """An operation's arguments by the names in its schema, defaults included."""
    if node.target is operator.getitem:
        return {"self": node.args[0], "index": node.args[1]}
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    defaults = {a.name: a.default_value for a in schema if a.has_default_value()}
    return {**defaults, **dict(zip((a.name for a in schema), node.args, strict=False)), **node.kwargs}


def _finish(walk: Walk, node: fx.Node) -> None:
    (results,) = node.args
    assert isinstance(results, tuple | list)
    if not results or not all(isinstance(result, fx.Node) for result in results):
        raise GatewrightError(
            f"the network returns {len(results)} values in evaluation mode, of which not all are tensors; it must "
            "return logits [N, classes] or feature maps, one or more, in a tuple, a list or a dict: wrap it in a "
            "module whose forward returns them alone"
        )
    values = [walk.values[result] for result in results if isinstance(result, fx.Node)]
    if any(isinstance(value, Choice) for value in values):
        recognise_exits.finish(walk, values)
        return
    for number, result in enumerate(results):
        assert isinstance(result, fx.Node)
        finish(walk, result, number, len(results))


def _of_logits_or(layer: Handler) -> Handler:
    """What an operation is of a gate's logits, or the image, beside numbers; and of a feature map."""

    def take(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
        operands = [walk.values[each] for each in (args["self"], args["other"]) if isinstance(each, fx.Node)]
        scaled = [operand for operand in operands if recognise_decisions.may_be_scaled(operand)]
        alone = all(operand in scaled or isinstance(operand, Constant) for operand in operands)
        return (recognise_decisions.affine if scaled and alone else layer)(walk, node, args)

    return take


_NO_VALUE = {"_assert_tensor_metadata", "sym_constrain_range_for_size", "_assert_scalar"}
"""Checks that torch.export leaves in a program; they hold for the shape it was exported with."""

_HANDLERS: dict[str, Handler] = {
    "fake_quantize_per_tensor_affine": recognise_rounding.of_tensor,
    "fake_quantize_per_channel_affine": recognise_rounding.of_channels,
    "conv2d": recognise_layers.convolution,
    "linear": recognise_layers.linear,
    "batch_norm": recognise_layers.batch_norm,
    "_native_batch_norm_legit_no_training": recognise_layers.batch_norm,
    "relu": recognise_layers.relu,
    **dict.fromkeys(("relu6", "hardtanh", "clamp"), recognise_layers.clamp),
    "max_pool2d": recognise_layers.max_pool,
    "add": _of_logits_or(recognise_bypass.add),
    "cat": recognise_joins.concatenate,
    "mul": _of_logits_or(recognise_bypass.multiply),
    **dict.fromkeys(("sub", "rsub", "div"), recognise_decisions.affine),
    "neg": recognise_decisions.negate,
    "sum": recognise_decisions.total,
    **dict.fromkeys(("ge", "gt", "le", "lt"), recognise_decisions.compare),
    "argmax": recognise_decisions.argmax,
    "max": recognise_decisions.largest,
    "amax": recognise_decisions.largest_logit,
    "any": recognise_decisions.any_on,
    "where": recognise_exits.choose,
    **dict.fromkeys(
        ("full", "full_like", "ones", "ones_like", "zeros", "zeros_like", "scalar_tensor"), recognise_exits.number
    ),
    **dict.fromkeys(("eq", "ne"), recognise_decisions.equal),
    **dict.fromkeys(("logical_not", "bitwise_not"), recognise_decisions.opposite),
    **dict.fromkeys(("slice", "select"), recognise_decisions.part),
    "getitem": recognise_decisions.item,
    "upsample_nearest2d": recognise_gates.upsample,
    "_upsample_nearest_exact2d": recognise_gates.upsample,
    "upsample_bilinear2d": recognise_joins.interpolate,
    "mean": recognise_gates.mean,
    "adaptive_avg_pool2d": recognise_gates.adaptive_average,
    "avg_pool2d": recognise_gates.average_pool,
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "flatten", "squeeze", "unsqueeze"), recognise_gates.reshape),
    **dict.fromkeys(
        ("_to_copy", "to", "type_as", "clone", "alias", "detach", "dropout", "contiguous"), recognise_layers.same
    ),
}
