"""Early exits are recognised by what they do, in the forms in which networks say it; other choices are refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.float_executor import run_float
from gatewright.compiler.kinds.exit import FloatExit
from gatewright.contract.errors import GatewrightError
from tests.support.exits import SIZE, WithNumber, network_with_exits, pictures

Form = Callable[["Small", Tensor, Tensor, Tensor], Tensor | tuple[Tensor, ...]]


class Small(nn.Module):
    """Two convolutions, a classifier behind each, and a ``form`` of choosing between early and late logits."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.early, self.late, self.other = nn.Linear(8, 4), nn.Linear(8, 4), nn.Linear(8, 4)
        self.limits = nn.Parameter(torch.tensor([0.1, 0.2, 0.3, 0.4]))
        self.form = form
        with torch.no_grad():
            averages = torch.relu(self.first(pictures())).mean((2, 3))
            self.early.weight /= 2 * (averages @ self.early.weight.T).std(0)[:, None]
            self.early.bias -= self.early(averages).mean(0) + 0.4

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        x = torch.relu(self.first(x))
        average = x.mean((2, 3))
        return self.form(self, average, self.early(average), self.late(torch.relu(self.second(x)).mean((2, 3))))


def chosen(sure: Tensor, early: Tensor, late: Tensor) -> Tensor:
    return torch.where(sure[:, None], early, late)


FORMS: dict[str, Form] = {
    "a threshold for each class": lambda n, a, e, r: chosen((e >= n.limits).any(1), e, r),
    "must be exceeded": lambda n, a, e, r: chosen((e > 0.2).any(-1), e, r),
    "the other way round": lambda n, a, e, r: torch.where((n.limits <= e).any(1, keepdim=True), e, r),
    "the largest": lambda n, a, e, r: chosen(e.amax(1) >= 0.2, e, r),
    "the first of max": lambda n, a, e, r: chosen(e.max(1).values > 0.2, e, r),
    "thresholds are taken off first": lambda n, a, e, r: chosen(((e - n.limits) >= 0).any(1), e, r),
    "with the number": lambda n, a, e, r: (
        chosen(e.amax(1) > 0.2, e, r),
        torch.where(e.amax(1) > 0.2, 0, torch.ones(len(e))),
    ),
    "with two plain numbers": lambda n, a, e, r: (chosen(e.amax(1) > 0.2, e, r), torch.where(e.amax(1) > 0.2, 0, 1)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_forms(form: Form) -> None:
    module, images = Small(form).eval(), pictures()
    graph = capture(module, (3, SIZE, SIZE))
    kinds = [type(layer).__name__ for layer in graph.layers]
    assert kinds == ["FloatConv", "FloatExit", "FloatConv", "FloatClassifier"]
    found = run_float(graph, images.numpy())
    with torch.no_grad():
        expected = module(images)
    logits = expected[0] if isinstance(expected, tuple) else expected
    np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-5)
    assert set(found.taken.tolist()) == {0, 1}


def test_both_exits_of_a_network_and_their_number() -> None:
    network, images = network_with_exits(), pictures()
    alone, both = (capture(module, (3, SIZE, SIZE)) for module in (network, WithNumber(network)))
    with torch.no_grad():
        logits, numbers = network.forward_with_exits(images)
    for graph in (alone, both):
        exits = [layer for layer in graph.layers if isinstance(layer, FloatExit)]
        assert [layer.name.removeprefix("network.") for layer in exits] == ["exits.0.fc", "exits.1.fc"]
        writers = [graph.layers[graph.layers.index(layer) - 1].writes[0] for layer in exits]
        assert writers == [layer.source for layer in exits], "an exit stands behind what writes its map"
        found = run_float(graph, images.numpy())
        assert found.taken.tolist() == numbers.tolist()
        np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-5)


REFUSED: dict[str, tuple[Form, str]] = {
    "other logits decide": (
        lambda n, a, e, r: chosen((n.other(a) >= 0).any(1), e, r),
        "an exit is decided by the logits that it answers with",
    ),
    "a gate's mask chooses": (lambda n, a, e, r: torch.where(e >= 0, e, r), "a choice by a gate's mask"),
    "all must reach": (lambda n, a, e, r: chosen((e >= 0).all(1), e, r), "this operation is not supported"),
    "late before early": (
        lambda n, a, e, r: chosen(r.amax(1) >= 0, r, chosen(e.amax(1) >= 0, e, n.other(a))),
        "an exit that goes before another one lies behind it in the network",
    ),
    "numbers from 1": (
        lambda n, a, e, r: (chosen(e.amax(1) > 0, e, r), torch.where(e.amax(1) > 0, 1, torch.full((len(e),), 2.0))),
        r"the numbers \[1.0, 2.0\] are not those of the exits",
    ),
    "a map beside": (lambda n, a, e, r: (chosen(e.amax(1) > 0, e, r), e), "a network with early exits returns logits"),
    "less than": (lambda n, a, e, r: chosen(e.amax(1) < 0, e, r), "one number that it must reach"),
}


@pytest.mark.parametrize(("form", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_no_exit_is_refused(form: Form, reason: str) -> None:
    with pytest.raises(GatewrightError, match=reason):
        capture(Small(form), (3, SIZE, SIZE))
