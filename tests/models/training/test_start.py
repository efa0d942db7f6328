from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gatewright.models.families.resnet_cifar import ResNetCifar
from gatewright.models.training.start import scale_gates


def trained(gating: str) -> ResNetCifar:
    """A network whose gates decide by the image, with logits of some hundreds."""
    torch.manual_seed(4)
    network = ResNetCifar(8, gating)  # type: ignore[arg-type]
    for block in network.blocks():
        for gate in block.gates():
            gate.last_layer().weight.data.mul_(300)
            gate.last_layer().bias.data.fill_(5.0)  # type: ignore[union-attr]
    return network


@pytest.mark.parametrize("gating", ["dual", "spatial", "channel"])
def test_scaled_gates_decide_as_before(gating: str) -> None:
    network, images = trained(gating), torch.randn(6, 3, 32, 32)
    network.eval()
    before, masks = network.forward_with_masks(images)
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    network.train()
    scale_gates(network, images, 2.0)
    assert network.training
    assert all(torch.equal(value, buffers[name]) for name, value in network.named_buffers())
    after, scaled = network.eval().forward_with_masks(images)
    torch.testing.assert_close(after, before)
    decisions: list[torch.Tensor] = []
    for old, new in zip(masks, scaled, strict=True):
        for kind in ("spatial", "channel"):
            if getattr(old, kind) is not None:
                assert torch.equal(getattr(old, kind), getattr(new, kind))
                decisions.append(getattr(old, kind).flatten())
    assert 0.1 < torch.cat(decisions).mean() < 0.9, "decisions that are all the same show nothing"


def test_the_logits_have_the_size_that_was_asked_for() -> None:
    network, images = trained("dual"), torch.randn(6, 3, 32, 32)
    scale_gates(network, images, 2.0)
    network.eval()
    x = F.relu(network.bn1(network.conv1(images)))
    block = network.blocks()[0]
    spatial = block.mask_s.atten_s
    logits = F.conv2d(F.avg_pool2d(x, 4), spatial.weight, spatial.bias, padding=1)
    assert logits.square().mean().sqrt().item() == pytest.approx(2.0, rel=1e-4)
    hidden = F.relu(block.mask_c.atten_c[1](F.conv2d(x.mean((2, 3), keepdim=True), block.mask_c.atten_c[0].weight)))
    channel = block.mask_c.atten_c[3]
    logits = F.conv2d(hidden, channel.weight, channel.bias)
    assert logits.square().mean().sqrt().item() == pytest.approx(2.0, rel=1e-4)


def test_a_gate_whose_logits_are_zero_stays_as_it_is() -> None:
    network = trained("spatial")
    layer = network.blocks()[1].mask_s.atten_s
    assert layer.bias is not None
    layer.weight.data.zero_()
    layer.bias.data.zero_()
    scale_gates(network, torch.randn(2, 3, 32, 32), 2.0)
    assert not layer.weight.any() and not layer.bias.any()
