"""Recognise what is done to logits until they are a gate's decision: sums with numbers, comparisons, argmax."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from gatewright.compiler.frontend.logit_patterns import AnyOn, Array, DenseChain, Largest, LargestLogit, Logits, Mask
from gatewright.compiler.frontend.patterns import Constant, Image, Value, describe
from gatewright.compiler.frontend.walk import Walk

_COMPARISONS = {"ge": (1, False), "gt": (1, True), "le": (-1, False), "lt": (-1, True)}
"""What the difference of the two sides is multiplied by to be compared with 0, and whether strictly."""

_MIRRORED = {"ge": "le", "gt": "lt", "le": "ge", "lt": "gt"}


def is_logits(value: object) -> bool:
    """Whether a value is what a gate may compare."""
    return isinstance(value, Logits)


def may_be_scaled(value: object) -> bool:
    """Whether numbers may be added to a value, or multiply it."""
    return isinstance(value, Image) or (isinstance(value, Logits) and value.linear)


def affine(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """Logits or the image plus, minus, times or divided by numbers, one for all or one for each channel."""
    operation = str(getattr(node.target, "overloadpacket", "")).removeprefix("aten.")
    left, right = args["self"], args["other"]
    if operation == "rsub":
        left, right, operation = right, left, "sub"
    if args.get("alpha", 1) != 1 or args.get("rounding_mode") is not None:
        walk.fail("numbers that are scaled by alpha, or a quotient that is rounded, are not supported")
    if operation == "sub" and left == 1 and isinstance(_value(walk, right), Mask):
        return opposite(walk, node, {"self": right})
    found, other, turned = _scaled_and_other(walk, left, right)
    if found is None:
        walk.fail(
            f"it subtracts or scales {_said(walk, left)}; that is supported of the image and a gate's logits only"
        )
    _keeps_shape(walk, node, right if turned else left)
    if operation == "sub" and isinstance(found, Logits) and is_logits(_value(walk, other)):
        return _difference(walk, found, walk.value(other))
    ones, numbers = np.ones(found.outputs), _numbers(walk, found, other)
    match operation:
        case "add":
            return found.normalised(ones, numbers)
        case "sub":
            return found.normalised(-ones, numbers) if turned else found.normalised(ones, -numbers)
        case "mul":
            return found.normalised(numbers, 0 * ones)
    if turned or not numbers.all():
        walk.fail("it divides by logits or by the image, or by 0")
    return found.normalised(1 / numbers, 0 * ones)


def negate(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """The other sign."""
    logits = _logits(walk, args["self"], "the negative")
    return logits.mixed(-np.eye(logits.outputs))


def total(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """The sum of several logits: one that a gate may compare."""
    logits = _logits(walk, args["self"], "a sum")
    if 1 not in {axis % len(_shape(args["self"])) for axis in args["dim"] or range(4)}:
        walk.fail(f"a sum over dimensions {args['dim']}; of logits [N, C] the sum over C is supported")
    return logits.mixed(np.ones((1, logits.outputs)))


def compare(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """A gate's decision: logits beside a number, or beside other logits."""
    operation = str(getattr(node.target, "overloadpacket", "")).removeprefix("aten.")
    peak = next((side for side in ("self", "other") if isinstance(_value(walk, args[side]), LargestLogit)), None)
    if peak is not None:
        return _any_reaches(walk, args[peak], args["other" if peak == "self" else "self"], operation, peak == "other")
    logits, other, turned = _scaled_and_other(walk, args["self"], args["other"])
    if not isinstance(logits, Logits):
        walk.fail(
            f"a comparison of {_said(walk, args['self'])}; a gate's logits are a 3x3 convolution on an average-pooled "
            "map, or one or two fully connected layers on a global average"
        )
    _keeps_shape(walk, node, args["other"] if turned else args["self"])
    sign, strict = _COMPARISONS[_MIRRORED[operation] if turned else operation]
    if is_logits(_value(walk, other)):
        logits = _difference(walk, logits, walk.value(other))
    else:
        numbers = _numbers(walk, logits, other)
        if numbers.any():
            logits = logits.normalised(np.ones(logits.outputs), -numbers)
    return Mask(logits if sign > 0 else logits.mixed(-np.eye(logits.outputs)), strict)


def _any_reaches(walk: Walk, peak: fx.Node, other: object, operation: str, turned: bool) -> AnyOn:
    """Whether the largest logit reaches a threshold: then any does."""
    largest = walk.value(peak)
    assert isinstance(largest, LargestLogit)
    sign, strict = _COMPARISONS[_MIRRORED[operation] if turned else operation]
    numbers = np.array([float(other)]) if isinstance(other, int | float) else walk.constant(other)
    if sign < 0 or numbers is None or numbers.size != 1:
        walk.fail("the largest logit is compared with other than one number that it must reach (>= or >)")
    offset = np.full(largest.logits.outputs, -float(numbers.reshape(-1)[0]))
    return AnyOn(Mask(largest.logits.normalised(np.ones(len(offset)), offset), strict))


def argmax(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """Which of two logits is larger, the first of equals: on if it is the second."""
    return _second_is_larger(walk, _two_logits(walk, _along_one(walk, args)))


def largest(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """The largest of several logits and its number."""
    return Largest(_along_one(walk, args))


def largest_logit(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """The largest of several logits."""
    return _largest_of(walk, _along_one(walk, args))


def any_on(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """Whether any of several decisions is on."""
    value = walk.value(args["self"])
    dimensions = _dimensions(args)
    if not isinstance(value, Mask) or not isinstance(value.logits, DenseChain) or dimensions != [1]:
        walk.fail(
            f"whether any of {describe(value)} is on along dimensions {dimensions}; supported is an early exit's: of "
            "decisions [N, C] about the logits of a fully connected layer on a global average, along dimension 1"
        )
    return AnyOn(value)


def item(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """A result of an operation that has several."""
    value, index = walk.value(args["self"]), args["index"]
    if isinstance(value, Largest):
        logits = value.logits
        return _largest_of(walk, logits) if index == 0 else _second_is_larger(walk, _two_logits(walk, logits))
    if index != 0:
        walk.fail("only the first result of an operation can be used")
    return value


def equal(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """A decision beside 0 or 1: itself, or its opposite."""
    value, number = walk.value(args["self"]), args["other"]
    if not isinstance(value, Mask) or number not in (0, 1):
        walk.fail(f"it compares {describe(value)} with {number!r}; a gate's decision may be compared with 0 or 1")
    differs = str(getattr(node.target, "overloadpacket", "")) == "aten.ne"
    return value if bool(number) != differs else value.opposite


def opposite(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """What a decision is not."""
    value = walk.value(args["self"])
    if not isinstance(value, Mask):
        walk.fail(f"the logical opposite of {describe(value)}; only a gate's decision has one")
    return value.opposite


def part(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """Some of several logits, or decisions: a slice, or one of them. A slice of all is what it was."""
    value, before = walk.value(args["self"]), _shape(args["self"])
    if tuple(node.meta["val"].shape) == before:
        return value
    logits = value.logits if isinstance(value, Mask) else value
    dimension = args["dim"] % len(before)
    if not is_logits(logits) or dimension != 1 or before[1] != logits.outputs:  # type: ignore[union-attr]
        walk.fail(f"a part of {describe(value)} along dimension {dimension}; logits [N, C] may be cut along C only")
    rows = np.arange(before[1])[args["index"] : args["index"] + 1 or None] if "index" in args else _rows(args, before)
    chosen: Array = np.eye(before[1])[rows]
    if isinstance(value, Mask):
        return Mask(value.logits.mixed(chosen), value.strict)
    return logits.mixed(chosen)  # type: ignore[union-attr]


def _rows(args: dict[str, Any], shape: tuple[int, ...]) -> Any:
    return np.arange(shape[1])[args["start"] : args["end"] : args["step"]]


def _dimensions(args: dict[str, Any]) -> list[int]:
    """The dimensions along which an operation goes, counted from the front; all if it names none."""
    count = len(_shape(args["self"]))
    named = args.get("dim")
    named = range(count) if named is None or named == [] else [named] if isinstance(named, int) else named
    return [dimension % count for dimension in named]


def _along_one(walk: Walk, args: dict[str, Any]) -> Logits:
    """The logits [N, C] of which something is the largest along C."""
    logits = _logits(walk, args["self"], "the largest")
    if _dimensions(args) != [1]:
        walk.fail(f"the largest of logits along dimensions {_dimensions(args)}; supported is 1, of logits [N, C]")
    return logits


def _two_logits(walk: Walk, logits: Logits) -> Logits:
    if logits.outputs != 2:
        walk.fail(
            f"the largest of {logits.outputs} logits along dimension 1, by its number; a gate may take the larger of "
            "two, [N, 2]"
        )
    return logits


def _largest_of(walk: Walk, logits: Logits) -> LargestLogit:
    if not isinstance(logits, DenseChain):
        walk.fail(f"the largest of {describe(logits)}; supported is an early exit's, of a global average's logits")
    return LargestLogit(logits)


def _second_is_larger(walk: Walk, logits: Logits) -> Mask:
    """The difference of the two filters, before anything is rounded."""
    return Mask(logits.mixed(np.array([[-1.0, 1.0]])), strict=True)


def _difference(walk: Walk, logits: Logits, other: Value) -> Logits:
    assert isinstance(other, Logits)
    difference = logits.minus(other)
    if difference is None:
        walk.fail(
            f"it compares {describe(logits)} with {describe(other)}; both must be last layers on the same hidden layer "
            "or average, without ReLU, with as many outputs"
        )
    return difference


def _logits(walk: Walk, argument: object, what: str) -> Logits:
    value = walk.value(argument)
    if not isinstance(value, Logits) or not value.linear:
        walk.fail(f"{what} of {describe(value)}; that is supported of a gate's logits only")
    return value


def _scaled_and_other(walk: Walk, left: object, right: object) -> tuple[Logits | Image | None, Any, bool]:
    """The logits, or the image, of two operands, the other operand, and whether it is the second that was found."""
    for operand, other, turned in ((left, right, False), (right, left, True)):
        value = _value(walk, operand)
        if isinstance(value, Image) or (isinstance(value, Logits) and value.linear):
            return value, other, turned
    return None, None, False


def _numbers(walk: Walk, logits: Logits | Image, other: object) -> Array:
    """A number for each output: of a plain one, or of a parameter that is one or has one for each."""
    if isinstance(other, int | float):
        return np.full(logits.outputs, float(other))
    value = walk.value(other)
    if not isinstance(value, Constant):
        walk.fail(f"logits beside {describe(value)}; supported are numbers and parameters of the network")
    constant = walk.constant(other)
    assert constant is not None
    if constant.size > 1 and isinstance(logits, Image) and constant.shape[-3:] != (logits.outputs, 1, 1):
        walk.fail(f"{describe(value)} is {list(constant.shape)}; the image is scaled by numbers [channels, 1, 1]")
    if constant.size not in (1, logits.outputs):
        walk.fail(f"{describe(value)} has {constant.size} numbers for {logits.outputs} logits; one, or one for each")
    return np.broadcast_to(constant.reshape(-1), (logits.outputs,))


def _keeps_shape(walk: Walk, node: fx.Node, logits: fx.Node) -> None:
    """What the other operand has must not spread the logits over more dimensions."""
    if _shape(node) != _shape(logits):
        walk.fail(f"logits {list(_shape(logits))} become {list(_shape(node))}; a number for each logit is supported")


def _value(walk: Walk, operand: object) -> Value | None:
    return walk.values[operand] if isinstance(operand, fx.Node) else None


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _said(walk: Walk, operand: object) -> str:
    return describe(walk.values[operand]) if isinstance(operand, fx.Node) else f"the number {operand!r}"
