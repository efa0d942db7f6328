"""The losses against numbers worked out by hand from equations (8) to (10) of the paper."""

from __future__ import annotations

import pytest
import torch

from gatewright.models.families.block import BlockMasks
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.training.losses import bound_loss, gating_loss, liveness_loss, sparsity_loss


def mask(shape: tuple[int, ...], on: int) -> torch.Tensor:
    """Ones in the first ``on`` places, then zeros."""
    flat = torch.zeros(torch.Size(shape).numel())
    flat[:on] = 1
    return flat.view(shape)


def spatial_only(*on: int) -> list[BlockMasks]:
    """Masks of one sample: so many of the first ten cells of each block (the grids do not matter to the bound)."""
    return [BlockMasks(mask((1, 1, 2, 5), count), None) for count in on]


# Densities 0.2, 0.8 and 0.5; a target of 0.25 has the root 0.5.
# slack 1.0: bounds 0.5 and 0.5: (0.3^2 + 0 + 0) / 3 + (0 + 0.3^2 + 0) / 3 = 0.06
# slack 0.6: bounds 0.3 and 0.7: (0.1^2) / 3 + (0.1^2) / 3 = 0.02 / 3
# slack 0.0: bounds 0 and 1: nothing
@pytest.mark.parametrize(("slack", "expected"), [(1.0, 0.06), (0.6, 0.02 / 3), (0.4, 0.0), (0.0, 0.0)])
def test_bound_loss(slack: float, expected: float) -> None:
    assert bound_loss(spatial_only(2, 8, 5), 0.25, slack).item() == pytest.approx(expected, abs=1e-7)


def test_bound_loss_is_asymmetric_around_the_root() -> None:
    # Target 0.64, root 0.8, slack 0.5: bounds 0.4 and 0.9. Densities 0.1 and 1: 0.3^2 / 2 + 0.1^2 / 2.
    assert bound_loss(spatial_only(1, 10), 0.64, 0.5).item() == pytest.approx(0.05)


def test_bound_loss_adds_both_kinds_of_gates_and_ignores_absent_ones() -> None:
    both = [BlockMasks(mask((1, 1, 2, 5), 2), mask((1, 10, 1, 1), 10)), BlockMasks(None, None)]
    # Target 0.25, slack 1: spatial 0.3^2, channel (1 - 0.5)^2.
    assert bound_loss(both, 0.25, 1.0).item() == pytest.approx(0.09 + 0.25)
    assert bound_loss([BlockMasks(None, None)], 0.25, 1.0).item() == 0


def test_bound_loss_uses_the_batch_mean_not_the_mean_of_losses() -> None:
    # Two samples with densities 0 and 1: the mean 0.5 is within every bound.
    batch = torch.cat([mask((1, 1, 2, 5), 0), mask((1, 1, 2, 5), 10)])
    assert bound_loss([BlockMasks(batch, None)], 0.25, 1.0).item() == 0


# ResNet-8, by hand: stem 1024*16*27 = 442368; block 1: 2 * 9*1024*16*16 = 4718592; blocks 2 and 3:
# 9*256*32*48 + 256*32*16 = 3670016 each; classifier 640. Together 12501632.
DENSE = 12_501_632
# Gates: 64*9*16 + 16*4 + 4*16; 64*9*16 + 16*4 + 4*32; 16*9*32 + 32*8 + 8*64 = 9344 + 9408 + 5376.
GATES = 24_128
# With no tile anywhere, what is left: stem, two shortcuts of 131072 each, classifier, gates.
EMPTY = 442_368 + 2 * 131_072 + 640 + GATES
# Half the tiles and half the channels: a quarter of what the gates govern.
QUARTER = EMPTY + (4_718_592 + 2 * 3_538_944) // 4


def network_masks(tiles: float, channels: float) -> list[BlockMasks]:
    shapes = ((64, 16), (64, 32), (16, 64))
    return [
        BlockMasks(mask((1, 1, 1, cells), int(tiles * cells)), mask((1, width, 1, 1), int(channels * width)))
        for cells, width in shapes
    ]


@pytest.mark.parametrize(
    ("tiles", "channels", "macs"), [(1, 1, DENSE + GATES), (0, 1, EMPTY), (1, 0, EMPTY), (0.5, 0.5, QUARTER)]
)
def test_sparsity_loss(tiles: float, channels: float, macs: int) -> None:
    loss = sparsity_loss(ResNetCifar(8, "dual"), network_masks(tiles, channels), 0.4)
    assert loss.item() == pytest.approx((macs / DENSE - 0.4) ** 2, rel=1e-5)


def test_sparsity_loss_uses_the_batch_mean() -> None:
    on, off = network_masks(1, 1), network_masks(0, 0)
    batch = []
    for a, b in zip(on, off, strict=True):
        assert a.spatial is not None and b.spatial is not None and a.channel is not None and b.channel is not None
        batch.append(BlockMasks(torch.cat([a.spatial, b.spatial]), torch.cat([a.channel, b.channel])))
    mean = (DENSE + GATES + EMPTY) / 2
    loss = sparsity_loss(ResNetCifar(8, "dual"), batch, 0.4)
    assert loss.item() == pytest.approx((mean / DENSE - 0.4) ** 2, rel=1e-4)


def test_the_whole_regulariser_weighs_sparsity_five_times() -> None:
    masks = network_masks(0.5, 0.5)
    # Target 0.09, root 0.3, slack 1: bounds 0.3 and 0.3; densities 0.5: 0.2^2 for each kind of gate.
    expected = 5 * (QUARTER / DENSE - 0.09) ** 2 + 1 * (0.04 + 0.04)
    assert gating_loss(ResNetCifar(8, "dual"), masks, 0.09, 1.0).item() == pytest.approx(expected, rel=1e-4)


def test_the_regulariser_reaches_every_gate() -> None:
    torch.manual_seed(0)
    network = ResNetCifar(8, "dual").train()
    _, masks = network.forward_with_masks(torch.randn(4, 3, 32, 32))
    gating_loss(network, masks, 0.2, 1.0).backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        if name.endswith(("atten_s.weight", "atten_c.3.weight", "atten_c.0.weight")):
            assert parameter.grad is not None and bool(parameter.grad.any()), name


def test_the_official_gradient_is_that_of_the_1_norm() -> None:
    """Same value as the mean; no gradient where a gate was sampled off, as ``torch.norm`` of the public code has."""
    root, slack = 0.5, 1.0
    for on in (2, 9):  # below the low bound, above the high one
        values = {}
        for gradient in ("mean", "official"):
            sampled = mask((1, 1, 2, 5), on).requires_grad_()
            loss = bound_loss([BlockMasks(sampled, None)], root**2, slack, gradient)  # type: ignore[arg-type]
            loss.backward()  # type: ignore[no-untyped-call]
            values[gradient] = (loss.item(), sampled.grad)
        official = mask((1, 1, 2, 5), on).requires_grad_()
        density = torch.norm(official, p=1) / official.numel()
        low, high = slack * root, 1 - slack * (1 - root)
        expected = torch.relu(low - density) ** 2 + torch.relu(density - high) ** 2
        expected.backward()  # type: ignore[no-untyped-call]
        assert values["official"][0] == pytest.approx(values["mean"][0]) == pytest.approx(expected.item())
        torch.testing.assert_close(values["official"][1], official.grad)
        assert values["mean"][1] is not None and bool((values["mean"][1] != 0).all())
        assert official.grad is not None and not official.grad.flatten()[on:].any()


def set_logits(network: ResNetCifar, *logits: torch.Tensor) -> None:
    """What the spatial gates of a ResNet-8 decided on in training: [N, 1, height, width] of each block."""
    for block, values in zip(network.blocks(), logits, strict=True):
        block.mask_s.training_logits = values


def test_liveness_is_zero_where_every_tile_is_on_for_some_images_and_off_for_others() -> None:
    network = ResNetCifar(8, "spatial")
    # Of 40 images 5% are 2: the mean of the two highest logits of each tile is 1, of the two lowest -1.
    logits = torch.zeros(40, 1, 8, 8)
    logits[3], logits[17], logits[20], logits[39] = 0.5, 1.5, -2.0, 0.0
    logits[5] = -1e-3
    set_logits(network, logits, logits, logits)
    assert liveness_loss(network).item() == 0


def test_liveness_pulls_a_tile_that_is_closed_for_all_however_far_out() -> None:
    network = ResNetCifar(8, "spatial")
    alive = torch.linspace(-3, 3, 40).view(40, 1, 1, 1).expand(40, 1, 8, 8)
    closed = (alive - 100).clone().requires_grad_()
    set_logits(network, closed, alive, alive)
    loss = liveness_loss(network)
    highest = (closed.detach()[38:].mean()).item()
    assert loss.item() == pytest.approx((0.5 - highest) / 3, rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert closed.grad is not None
    # Up for the two highest images of each of the 64 tiles, nothing for the others: a third of a gate's mean each.
    torch.testing.assert_close(closed.grad[38:], torch.full((2, 1, 8, 8), -1 / (3 * 64 * 2)))
    assert not closed.grad[:38].any()


def test_liveness_of_a_network_without_spatial_gates_is_zero() -> None:
    assert liveness_loss(ResNetCifar(8, "channel")).item() == 0


def test_liveness_moves_gates_alone() -> None:
    torch.manual_seed(0)
    network = ResNetCifar(8, "dual").train()
    network.forward_with_masks(torch.randn(4, 3, 32, 32))
    liveness_loss(network).backward()  # type: ignore[no-untyped-call]
    moved = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert moved == {f"layer{stage}.0.mask_s.atten_s.{part}" for stage in (1, 2, 3) for part in ("weight", "bias")}
