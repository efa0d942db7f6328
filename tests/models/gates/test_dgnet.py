from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gatewright.models.gates.dgnet import ChannelGate, SpatialGate, limited, straight_through_gate

TEMPERATURE = 2 / 3


def test_in_evaluation_a_gate_is_on_from_zero_upwards() -> None:
    smallest = np.nextafter(np.float32(0), np.float32(1)).item()
    logits = torch.tensor([-3.0, -smallest, -0.0, 0.0, smallest, 3.0])
    assert straight_through_gate(logits, training=False).tolist() == [0, 0, 1, 1, 1, 1]


def test_in_evaluation_nothing_is_random() -> None:
    logits = torch.zeros(1000) - 1e-3
    assert not straight_through_gate(logits, training=False).any()


def test_in_training_the_mask_is_binary_and_the_gradient_is_the_relaxed_gates() -> None:
    values = torch.linspace(-4, 4, 400)
    logits = values.clone().requires_grad_()
    torch.manual_seed(5)
    mask = straight_through_gate(logits, training=True)
    weights = torch.linspace(0.5, 1.5, 400)
    (mask * weights).sum().backward()  # type: ignore[no-untyped-call]

    torch.manual_seed(5)
    uniform = torch.rand(400).double()
    noise = torch.log(uniform) - torch.log1p(-uniform)
    soft = 1 / (1 + torch.exp(-(values.double() + noise) / TEMPERATURE))
    # d sigmoid(z / t) / dz = s (1 - s) / t
    expected = weights.double() * soft * (1 - soft) / TEMPERATURE
    assert torch.equal(mask.detach().double(), (soft >= 0.5).double())
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad.double(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("logit", [-2.0, -0.5, 0.0, 1.0, 3.0])
def test_the_noise_is_logistic(logit: float) -> None:
    """P(logit + noise >= 0) is the logistic distribution's sigmoid(logit); five standard deviations are allowed."""
    torch.manual_seed(11)
    count = 200_000
    share = straight_through_gate(torch.full((count,), logit), training=True).mean().item()
    expected = 1 / (1 + math.exp(-logit))
    assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / count)


def test_extreme_noise_gives_finite_gradients() -> None:
    logits = torch.zeros(2_000_000, requires_grad=True)
    torch.manual_seed(1)
    straight_through_gate(logits, training=True).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and bool(torch.isfinite(logits.grad).all())


def test_half_precision_logits_keep_their_type() -> None:
    for training in (False, True):
        assert straight_through_gate(torch.zeros(4, dtype=torch.bfloat16), training).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("size", "tile", "cells"), [(32, 4, 8), (16, 2, 8), (8, 2, 4), (7, 2, 4), (9, 4, 3), (3, 8, 1)]
)
def test_spatial_gate_decides_once_per_tile(size: int, tile: int, cells: int) -> None:
    gate = SpatialGate(5, size, size, tile).eval()
    assert gate(torch.zeros(2, 5, size, size)).shape == (2, 1, cells, cells)
    assert gate.macs() == sum(5 for _ in range(cells * cells) for _ in range(3 * 3))


def test_spatial_gate_is_a_3x3_convolution_over_cell_averages() -> None:
    gate = SpatialGate(2, 7, 7, 2).eval()  # four overlapping cells of a map of seven
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(1, 2, 7, 7)).astype(np.float32))
    assert gate.atten_s.bias is not None
    weight, bias = gate.atten_s.weight.detach().double().numpy(), gate.atten_s.bias.item()
    pooled = np.zeros((2, 6, 6))  # a border of zeros around the 4x4 cells
    for y in range(4):
        for xx in range(4):
            rows = slice(y * 7 // 4, -(-(y + 1) * 7 // 4))
            columns = slice(xx * 7 // 4, -(-(xx + 1) * 7 // 4))
            pooled[:, y + 1, xx + 1] = x[0].double().numpy()[:, rows, columns].mean((1, 2))
    logits = [[(pooled[:, y : y + 3, c : c + 3] * weight[0]).sum() + bias for c in range(4)] for y in range(4)]
    assert np.abs(logits).min() > 1e-5, "no decision may hang on rounding"
    assert gate(x)[0, 0].tolist() == (np.array(logits) >= 0).astype(float).tolist()


def test_channel_gate_is_two_layers_over_the_average() -> None:
    gate = ChannelGate(8, 12).eval()
    assert gate.hidden == 2 and gate.macs() == 8 * 2 + 2 * 12
    x = torch.from_numpy(np.random.default_rng(3).normal(size=(3, 8, 5, 5)).astype(np.float32))
    first, last = gate.atten_c[0], gate.atten_c[3]
    average = x.double().numpy().mean((2, 3))
    # A fresh batch normalisation divides by sqrt(1 + 1e-5).
    hidden = np.maximum(average @ first.weight.detach().double().numpy()[:, :, 0, 0].T / np.sqrt(1 + 1e-5), 0)
    logits = hidden @ last.weight.detach().double().numpy()[:, :, 0, 0].T + last.bias.detach().double().numpy()
    mask = gate(x)
    assert mask.shape == (3, 12, 1, 1)
    assert mask[:, :, 0, 0].tolist() == (logits >= 0).astype(float).tolist()


def test_reset_opens_the_gates() -> None:
    spatial, channel = SpatialGate(4, 8, 8, 2), ChannelGate(8, 8)
    for gate in (spatial, channel):
        gate.reset_gate()
    assert spatial.atten_s.bias is not None
    assert spatial.atten_s.bias.tolist() == [2.0]
    assert channel.atten_c[3].bias.tolist() == [2.0] * 8


def test_a_limit_keeps_signs_and_gradients_and_leaves_evaluation_alone() -> None:
    logits = torch.tensor([-100.0, -3.0, -0.0, 0.5, 70.0], requires_grad=True)
    held = limited(logits, 4.0)
    assert held.tolist() == pytest.approx([-4.0, -3.0, 0.0, 0.5, 4.0])
    assert (straight_through_gate(held, False) == straight_through_gate(logits, False)).all()
    (held * torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0])).sum().backward()  # type: ignore[no-untyped-call]
    # Descent moves against the gradient: the first and the last would move further out.
    assert logits.grad is not None and logits.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    logits.grad = None
    (limited(logits, 4.0) * torch.tensor([-1.0, 1.0, 1.0, 1.0, 1.0])).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad.tolist() == [-1.0, 1.0, 1.0, 1.0, 1.0]
    torch.manual_seed(2)
    far = torch.full((20_000,), -50.0)
    assert not straight_through_gate(far, True).any()
    share = straight_through_gate(far, True, limit=2.0).mean().item()
    assert share == pytest.approx(1 / (1 + math.exp(2)), abs=0.02), "noise has its say again"


def test_without_noise_training_decides_as_evaluation_and_the_gradient_is_the_relaxed_gates() -> None:
    logits = torch.linspace(-3, 3, 13, requires_grad=True)
    mask = straight_through_gate(logits, True, noise=0.0)
    assert torch.equal(mask.detach(), straight_through_gate(logits.detach(), False))
    mask.sum().backward()  # type: ignore[no-untyped-call]
    soft = torch.sigmoid(logits.detach() * 1.5)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, 1.5 * soft * (1 - soft))
    torch.manual_seed(4)
    near = torch.full((20_000,), 0.5)
    # Half of the noise: P(0.5 + 0.5 L >= 0) of a logistic L is 1 / (1 + e^-1).
    assert straight_through_gate(near, True, noise=0.5).mean().item() == pytest.approx(1 / (1 + math.exp(-1)), abs=0.02)


@pytest.mark.parametrize("gate", [SpatialGate(4, 8, 8, 2), ChannelGate(8, 8)], ids=["spatial", "channel"])
def test_apart_a_gate_learns_and_what_it_sees_does_not(gate: SpatialGate | ChannelGate) -> None:
    channels = 4 if isinstance(gate, SpatialGate) else 8
    x = torch.randn(5, channels, 8, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    gate.train()
    for apart in (False, True):
        gate.apart, x.grad = apart, None
        gate.zero_grad()
        gate(x).sum().backward()
        assert any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in gate.parameters())
        assert (x.grad is None) is apart
