"""The losses of batch-shaped gates, against a Beta distribution that is integrated here, and differences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.dgnet import ChannelGate
from gatewright.models.training.batch_shaping import batch_shaping_loss, beta_cdf, complexity_loss, shaping_loss
from gatewright.models.training.recipes import RECIPES, Recipe
from gatewright.models.training.training import train
from tests.support.cifar import image_set


def integrated(x: float, a: float, b: float) -> float:
    """I_x(a, b) by Gauss-Legendre quadrature: t = s^(10/a) takes the pole at 0 away; the half beyond is mirrored."""
    nodes, weights = np.polynomial.legendre.leggauss(80)

    def below(end: float, a: float, b: float) -> float:
        """Integral of t^(a-1) (1-t)^(b-1) from 0 to ``end``, at most a half."""
        power = 10 / a
        top = end ** (1 / power)
        s = top / 2 * (nodes + 1)
        return float(top / 2 * (weights * power * s**9 * (1 - s**power) ** (b - 1)).sum())

    whole = below(0.5, a, b) + below(0.5, b, a)
    return below(x, a, b) / whole if x <= 0.5 else 1 - below(1 - x, b, a) / whole


@pytest.mark.parametrize(("a", "b"), [(0.6, 0.4), (1.0, 1.0), (2.0, 0.7), (0.5, 3.0)])
def test_the_distribution_function_is_the_integral_of_the_density(a: float, b: float) -> None:
    points = [1e-4, 0.01, 0.2, 0.45, 0.5, 0.55, 0.6, 0.7, 0.9, 0.999, 1 - 1e-4]
    found = beta_cdf(torch.tensor(points, dtype=torch.float64), a, b)
    np.testing.assert_allclose(found.numpy(), [integrated(x, a, b) for x in points], rtol=1e-9, atol=1e-12)


def test_known_values_of_the_distribution_function() -> None:
    x = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
    torch.testing.assert_close(beta_cdf(x, 1.0, 1.0), x)
    torch.testing.assert_close(beta_cdf(x, 3.0, 1.0), x**3)
    torch.testing.assert_close(beta_cdf(x, 0.5, 0.5), 2 / torch.pi * torch.asin(x.sqrt()))  # the arcsine distribution


def test_its_gradient_is_that_of_differences() -> None:
    x = torch.tensor([0.01, 0.3, 0.6, 0.9, 0.99], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda value: beta_cdf(value, 0.6, 0.4), (x,), eps=1e-7, atol=1e-5)


def by_hand(outputs: np.ndarray) -> float:
    """Equation (2) with lambda 1, summed over gates."""
    total, count = 0.0, len(outputs)
    for gate in outputs.T:
        for i, x in enumerate(sorted(gate.tolist()), start=1):
            total += (i / (count + 1) - integrated(x, 0.6, 0.4)) ** 2 / count
    return total


def test_the_shaping_loss_is_equation_2_and_so_is_its_gradient() -> None:
    generator = np.random.default_rng(5)
    values = generator.uniform(0.02, 0.98, (9, 3))
    outputs = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    loss = shaping_loss(outputs)
    assert loss.item() == pytest.approx(by_hand(values), rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    for place in np.ndindex(values.shape):  # each output's own difference, whatever its place in the order
        moved = [values.copy(), values.copy()]
        moved[0][place] += 1e-5
        moved[1][place] -= 1e-5
        difference = (by_hand(moved[0]) - by_hand(moved[1])) / 2e-5
        assert outputs.grad[place].item() == pytest.approx(difference, rel=2e-3, abs=1e-5)


def test_outputs_of_the_distribution_itself_have_no_loss_and_others_move_towards_it() -> None:
    count = 400
    levels = torch.arange(1, count + 1, dtype=torch.float64) / (count + 1)
    low, high = torch.full_like(levels, 1e-4), torch.full_like(levels, 1 - 1e-4)
    for _ in range(60):  # bisection: the quantiles of the distribution
        middle = (low + high) / 2
        below = beta_cdf(middle) < levels
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    shaped = low[torch.randperm(count, generator=torch.Generator().manual_seed(1))]
    assert shaping_loss(shaped[:, None].float()).item() < 1e-5
    assert shaped.mean().item() == pytest.approx(0.6, abs=0.01), "a/(a+b): 40% are off"
    logits = torch.full((count, 1), 3.0) + 0.1 * torch.randn(count, 1, generator=torch.Generator().manual_seed(2))
    logits.requires_grad_()
    optimiser = torch.optim.Adam([logits], 0.05)
    losses = []
    for _ in range(150):
        loss = shaping_loss(torch.sigmoid(logits))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 20
    share = float((logits >= 0).float().mean())
    assert 0.4 < share < 0.8, "a gate that was open for all is now open for some"


def test_the_complexity_loss_is_equation_5() -> None:
    outputs = torch.tensor([[0.25, 0.5], [0.75, 1.0]])
    assert complexity_loss(outputs).item() == pytest.approx((0.75 + 1.75) / 2)


def test_the_loss_of_a_network_adds_its_gates_and_moves_what_they_see() -> None:
    torch.manual_seed(1)
    network = ResNetCifar(8, "bas").train()
    network.forward_with_masks(torch.randn(6, 3, 32, 32))
    gates = [gate for block in network.blocks() for gate in block.channel_gates()]
    outputs = []
    for gate in gates:
        assert isinstance(gate, ChannelGate) and gate.training_logits is not None
        outputs.append(torch.sigmoid(gate.training_logits.detach().flatten(1)))
    everything = torch.cat(outputs, 1)
    assert everything.shape == (6, 16 + 32 + 64)
    loss = batch_shaping_loss(network, 0.75, 0.05)
    expected = 0.75 * shaping_loss(everything) + 0.05 * complexity_loss(everything)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    loss.backward()  # type: ignore[no-untyped-call]
    moved = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert {"conv1.weight", "layer3.0.mask_c.atten_c.0.weight", "layer1.0.conv2.weight"} <= moved
    assert not batch_shaping_loss(network, 0.0, 0.0).item()


def test_weights_follow_the_papers_schedule() -> None:
    """Of 500 epochs: shaping from .75 to 0 by epoch 100; L0 from 100 on, whole from 300; rates at 300, 375, 450."""
    bas = RECIPES["bas"]
    assert [bas.shaping(epoch) for epoch in (0, 50, 100, 400)] == pytest.approx([0.75, 0.375, 0, 0])
    gamma = bas.complexity_weight
    assert [bas.complexity(epoch) for epoch in (0, 100, 200, 300, 499)] == pytest.approx(
        [0, 0, gamma / 2, gamma, gamma]
    )
    rates = [bas.rate(epoch / 500) for epoch in (0, 299, 300, 375, 450)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.0001])
    assert RECIPES["l0"] == replace(bas, shaping_weight=0.0)


def test_a_run_with_batch_shaping(tmp_path: Path) -> None:
    """Shaping alone makes gates that are all open at the start differ by image; L0 alone closes them."""
    recipe = Recipe(12, 0.05, "one-cycle", batch_size=20)
    train_set, test_set = image_set(40, 1), image_set(20, 2)
    densities = {}
    for name, changes in {"shaped": (20.0, 0.0), "l0": (0.0, 5.0)}.items():
        path = train(
            NetworkSpec(8, "bas"),
            replace(recipe, shaping_weight=changes[0], complexity_weight=changes[1]),
            train_set,
            test_set,
            tmp_path / name,
            report=lambda record, name=name: densities.__setitem__(name, record),  # type: ignore[misc]
        )
        assert path.is_file()
    assert densities["l0"]["mac_ratio"] < densities["shaped"]["mac_ratio"]  # type: ignore[index]
    with pytest.raises(GatewrightError, match="batch shaping is for gates 'bas' or 'channel' without a target density"):
        train(NetworkSpec(8, "bas", 0.5), RECIPES["bas"], train_set, test_set, tmp_path / "both")
    with pytest.raises(GatewrightError, match="a gated network needs a target density"):
        train(NetworkSpec(8, "bas"), recipe, train_set, test_set, tmp_path / "neither")
