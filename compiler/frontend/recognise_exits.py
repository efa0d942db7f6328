"""Recognise early exits by what they do: logits that are the answer where any of them reaches its threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import fx

from gatewright.compiler.frontend.logit_patterns import AnyOn, Array, Choice, DenseChain, Number
from gatewright.compiler.frontend.patterns import Constant, Value, describe
from gatewright.compiler.frontend.results import classify
from gatewright.compiler.frontend.walk import Walk
from gatewright.compiler.graph.graph import TensorShape
from gatewright.compiler.kinds.exit import FloatExit

FORM = (
    "a network with early exits returns logits, where(any(early >= thresholds, 1), early, later), and may return "
    "beside them which exit it was, from 0 on in order of execution"
)


def number(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """A tensor of one number, once or several times."""
    operation = str(getattr(node.target, "overloadpacket", "")).removeprefix("aten.").removesuffix("_like")
    named = next((args[name] for name in ("fill_value", "s") if name in args), None)
    return Number(float(operation == "ones") if named is None else float(named))


def choose(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """One value where any bit of a decision is on, else another one."""
    condition = walk.value(args["condition"])
    value, otherwise = (_operand(walk, args[name]) for name in ("self", "other"))
    if not isinstance(condition, AnyOn):
        walk.fail(f"a choice by {describe(condition)}; {FORM}")
    later = otherwise if isinstance(otherwise, Choice) else Choice((), (otherwise,))  # type: ignore[arg-type]
    if not isinstance(value, DenseChain | Number) or any(type(one) is not type(value) for one in later.values):
        walk.fail(f"a choice between {describe(value)} and {describe(otherwise)}; {FORM}")
    return Choice((condition, *later.conditions), (value, *later.values))


def _operand(walk: Walk, operand: object) -> Value:
    if isinstance(operand, int | float):
        return Number(float(operand))
    value = walk.value(operand)
    if isinstance(value, Constant) and value.tensor.numel() == 1:
        return Number(float(value.tensor))
    return value


def finish(walk: Walk, values: Sequence[Value]) -> None:
    """Take the results of a network with early exits: each exit stands behind what writes the map that it averages."""
    walk.where = "the network's results"
    answers = [one for one in values if isinstance(one, Choice) and isinstance(one.values[0], DenseChain)]
    numbers = [one for one in values if isinstance(one, Choice) and isinstance(one.values[0], Number)]
    if len(answers) != 1 or len(numbers) > 1 or len(values) > len(answers) + len(numbers):
        walk.fail(f"they are {', '.join(describe(value) for value in values)}; {FORM}")
    (answer,) = answers
    for one in numbers:
        _check_numbers(walk, answer, one)
    chains = [chain for chain in answer.values if isinstance(chain, DenseChain)]
    if not all(chain.classifies for chain in chains):
        walk.fail("logits of an early exit are of more than one layer; supported is one linear layer on an average")
    exits = [_exit(walk, condition, chain) for condition, chain in zip(answer.conditions, chains[:-1], strict=True)]
    places = [_place(walk, layer.source) for layer in exits]
    if places != sorted(places):
        walk.fail("an exit that goes before another one lies behind it in the network; the first must come first")
    for layer, place in reversed(list(zip(exits, places, strict=True))):
        walk.graph.layers.insert(place, layer)
    classify(walk, chains[-1])


def _check_numbers(walk: Walk, answer: Choice, chosen: Choice) -> None:
    """The numbers are those of the exits, in order."""
    found = [one.value for one in chosen.values if isinstance(one, Number)]
    alike = len(chosen.conditions) == len(answer.conditions)
    alike = alike and all(_same(*pair) for pair in zip(chosen.conditions, answer.conditions, strict=True))
    if not alike or found != list(range(len(found))):
        walk.fail(f"the numbers {found} are not those of the exits, or chosen by other conditions; {FORM}")


def _same(one: AnyOn, other: AnyOn) -> bool:
    left, right = one.mask.logits, other.mask.logits
    if one.mask.strict != other.mask.strict or not isinstance(left, DenseChain) or not isinstance(right, DenseChain):
        return False
    if left.source != right.source or len(left.layers) != len(right.layers):
        return False
    pairs = zip(left.layers, right.layers, strict=True)
    return all(np.array_equal(a.weight, b.weight) and np.array_equal(a.bias, b.bias) for a, b in pairs)


def _exit(walk: Walk, condition: AnyOn, chain: DenseChain) -> FloatExit:
    """An exit's layer: what its decision compares are the logits that it answers with, less thresholds."""
    (layer,) = chain.layers
    thresholds = _thresholds(condition, chain)
    if thresholds is None:
        walk.fail(
            f"{describe(chain)} is the answer where other logits reach a threshold; an exit is decided by the logits "
            "that it answers with"
        )
    name = walk.unique(layer.module)
    walk.graph.shapes[name] = TensorShape(len(layer.bias), 1, 1)
    weights = layer.weight, layer.bias, thresholds
    return FloatExit(name, chain.source, name, *weights, strict=condition.mask.strict)


def _thresholds(condition: AnyOn, chain: DenseChain) -> Array | None:
    """What is taken from the logits before their signs are looked at; None if those are of something else."""
    compared, (layer,) = condition.mask.logits, chain.layers
    if not isinstance(compared, DenseChain) or not compared.classifies or compared.source != chain.source:
        return None
    (other,) = compared.layers
    return layer.bias - other.bias if np.array_equal(layer.weight, other.weight) else None


def _place(walk: Walk, source: str) -> int:
    """Behind the layer that writes a map."""
    return 1 + next(number for number, layer in enumerate(walk.graph.layers) if source in layer.writes)
