"""Batch norms and gates of a drawn network, set block by block to what images make of them.

Two things keep a drawn gate from deciding the same for every image. What it reads has a large part that all images
share: the filters of a spatial gate are made orthogonal to it, and the neurons of a channel gate have it subtracted.
And a threshold is a quantile of the logits, so that a density holds whatever their scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.block import Block, BlockMasks
from gatewright.models.families.network import Network
from gatewright.models.gates.aig import LayerGate
from gatewright.models.gates.ddi import DenseLayerGate
from gatewright.models.gates.dgnet import GATE_BIAS, ChannelGate, SpatialGate
from gatewright.models.gates.skipnet import FeedForwardGate
from gatewright.models.synthetic.densities import LEAST, Densities

Result = TypeVar("Result")

_STEPS = 60
"""Halvings in the search for a density."""

_NORM_WEIGHT = (0.5, 1.5)
_NORM_BIAS = 0.1


@torch.no_grad()
def calibrate_network(network: Network, images: Tensor, wanted: Densities, hold_macs: bool) -> None:
    """Set what is not drawn: batch norms to the images' statistics, gates to the densities that are wanted.

    An image with many tiles on may have many channels on, so that the mean of the products is not the product of the
    means. With ``hold_macs`` what the MACs so far are off by, on average, is made good by the blocks to come.

    ``images`` [N, 3, size, size] are normalised, at least two of them and not all alike; the network is left in
    evaluation mode. Random numbers, for the norms' factors and shifts, are those of torch's global generator.
    """
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, *_NORM_WEIGHT)
            nn.init.normal_(module.bias, 0.0, _NORM_BIAS)
    in_blocks = {module for block in network.blocks() for module in block.modules()}
    outside = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m not in in_blocks]
    x = _measured(outside, lambda: network.stem(images))
    rows = list(zip(network.blocks(), wanted.spatial, wanted.channel, strict=True))
    aims = [_gated(block, spatial, channel) for block, spatial, channel in rows]
    missing = 0.0
    for number, (block, spatial, channel) in enumerate(rows):
        if hold_macs and missing:
            spatial, channel = _with_macs(block, spatial, channel, aims[number] * (1 + missing / sum(aims[number:])))
        x, masks = _calibrate_block(block, x, spatial, channel)
        fixed = block.expected_macs(0, 0)
        missing += aims[number] - (float(block.gated_macs(masks).double().mean()) - fixed)
    (classifier,) = [module for module in network.modules() if isinstance(module, nn.Linear)]
    classifier.bias.zero_()
    classifier.bias.copy_(-_measured(outside, lambda: network.head(x)).mean(0))


def _gated(block: Block, spatial: float, channel: float) -> float:
    """Mean MACs of a block that are left of those that its gates decide about."""
    return block.expected_macs(spatial, channel) - block.expected_macs(0, 0)


def _with_macs(block: Block, spatial: float, channel: float, macs: float) -> tuple[float, float]:
    """A block's densities that give MACs: that of its channels is moved, or of its tiles if all channels are on."""
    if spatial == channel == 1:
        return spatial, channel
    low, high = LEAST, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        moved = (spatial, middle) if channel < 1 else (middle, channel)
        low, high = (middle, high) if _gated(block, *moved) < macs else (low, middle)
    return (spatial, high) if channel < 1 else (high, channel)


def _calibrate_block(block: Block, x: Tensor, spatial: float, channel: float) -> tuple[Tensor, BlockMasks]:
    """Set a block to its input, and return its output and decisions.

    A gate is set to what it reads, when it reads it. One that reads a map inside the block is set again once the
    norms before it have their statistics.
    """
    seen: set[nn.Module] = set()

    def set_gate(gate: nn.Module, inputs: tuple[Tensor]) -> None:
        if gate in seen and inputs[0] is x:
            return
        seen.add(gate)
        if isinstance(gate, SpatialGate):
            _set_spatial_gate(gate, inputs[0], spatial)
        elif isinstance(gate, LayerGate):
            _set_layer_gate(gate, inputs[0], spatial)
        elif isinstance(gate, FeedForwardGate):
            _set_feed_forward_gate(gate, inputs[0], spatial)
        elif isinstance(gate, DenseLayerGate):
            _measured([gate.norm1, gate.norm2], lambda: gate.features(inputs[0]))
            _set_logits(gate.fc, gate.features(inputs[0]), channel)
        elif isinstance(gate, ChannelGate):
            _set_channel_gate(gate, inputs[0], channel)

    gates = block.gates()
    hooks = [gate.register_forward_pre_hook(set_gate) for gate in gates]
    in_gates = {module for gate in gates for module in gate.modules()}
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d) and m not in in_gates]
    result: tuple[Tensor, BlockMasks] = _measured(norms, lambda: block(x))
    for hook in hooks:
        hook.remove()
    return result


def _measured(norms: list[nn.BatchNorm2d], run: Callable[[], Result]) -> Result:
    """What ``run`` returns once batch norms have taken their statistics from what passes through them."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    run()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum
    return run()  # what a batch makes of its own statistics differs a little, and gates would see it


def _set_spatial_gate(gate: SpatialGate, x: Tensor, density: float) -> None:
    weight, bias = gate.atten_s.weight, gate.atten_s.bias
    assert bias is not None
    if density == 1:
        _always_on(weight, bias)
        return
    pooled = F.adaptive_avg_pool2d(x, (gate.mask_height, gate.mask_width))
    seen = F.unfold(pooled, 3, padding=1).double()  # [N, taps, tiles]
    flat = weight.double().flatten()
    # With more tiles than half the taps only the largest parts can go, or nothing would be left.
    shared, _, _ = torch.linalg.svd(seen.mean(0), full_matrices=False)
    # What a whole image has more of turns no tile on: the taps of a channel add up to nothing.
    shared = torch.linalg.qr(_without_tap_means(shared[:, : len(flat) // 4])).Q
    flat = _without_tap_means(flat[:, None])[:, 0]
    flat = flat - shared @ (shared.T @ flat)
    deviation = torch.einsum("k,nkt->nt", flat, seen).std()
    _check(deviation)
    weight.copy_((flat / deviation).float().view_as(weight))
    bias.zero_()
    bias.fill_(-threshold(gate.atten_s(pooled), density))


def _without_tap_means(columns: Tensor) -> Tensor:
    """Columns [channels * 9, n] less the means over each channel's taps."""
    taps = columns.unflatten(0, (-1, 9))
    return (taps - taps.mean(1, keepdim=True)).flatten(0, 1)


def _set_channel_gate(gate: ChannelGate, x: Tensor, density: float) -> None:
    squeeze, norm, _, excite = gate.atten_c
    assert isinstance(squeeze, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and isinstance(excite, nn.Conv2d)
    assert norm.running_mean is not None and norm.running_var is not None
    pooled = gate.avg_pool(x)
    hidden = squeeze(pooled)
    deviation = hidden.std(0, keepdim=True)
    _check(deviation.min())
    squeeze.weight /= deviation.view(-1, 1, 1, 1)
    hidden = squeeze(pooled)
    norm.running_mean.copy_(hidden.mean((0, 2, 3)))
    norm.running_var.copy_(hidden.var((0, 2, 3)))
    _set_logits(excite, gate.atten_c[:3](pooled), density)


def _set_logits(layer: nn.Conv2d, seen: Tensor, density: float) -> None:
    """A gate's last layer, which reads ``seen`` [N, C, 1, 1]: its logits are normalised, then shifted."""
    assert layer.bias is not None
    if density == 1:
        _always_on(layer.weight, layer.bias)
        return
    layer.bias.zero_()
    deviation = layer(seen).std(0, keepdim=True)
    _check(deviation.min())
    layer.weight /= deviation.view(-1, 1, 1, 1)
    layer.bias.copy_(-layer(seen).mean((0, 2, 3)))
    layer.bias -= threshold(layer(seen), density)


def _set_layer_gate(gate: LayerGate, x: Tensor, density: float) -> None:
    """Its neurons are normalised, and the logit for computing the block is shifted."""
    weight, bias, norm = gate.fc2.weight, gate.fc2.bias, gate.fc1bn
    assert bias is not None and norm.running_mean is not None and norm.running_var is not None
    hidden = gate.fc1(x.mean((2, 3), keepdim=True)).flatten(1)
    deviation = hidden.std(0)
    _check(deviation.min())
    norm.running_mean.copy_(hidden.mean(0))
    norm.running_var.copy_(hidden.var(0))
    if density == 1:
        _always_on(weight, bias)
        bias[0] = 0
        return
    nn.init.normal_(weight)
    bias.zero_()
    logits = gate.fc2(gate.neurons(x)[:, :, None, None])
    bias[1] = -threshold(logits[:, 1] - logits[:, 0], density)


def _set_feed_forward_gate(gate: FeedForwardGate, x: Tensor, density: float) -> None:
    """Its batch norm takes the statistics of the images, and the logit for computing the block is shifted."""
    weight, bias = gate.linear_layer.weight, gate.linear_layer.bias
    assert bias is not None
    _measured([gate.bn1], lambda: gate.features(x))
    if density == 1:
        _always_on(weight, bias)
        bias[0] = 0
        return
    nn.init.normal_(weight)
    bias.zero_()
    logits = gate.linear_layer(gate.features(x))
    difference = logits[:, 1] - logits[:, 0]
    _check(difference.std())
    bias[1] = -threshold(difference, density)


def _always_on(weight: Tensor, bias: Tensor) -> None:
    weight.zero_()
    bias.fill_(GATE_BIAS)


def threshold(logits: Tensor, density: float) -> float:
    """The number that a share ``density`` of the logits exceeds, halfway to the next logit on either side."""
    ordered = logits.flatten().sort().values
    off = min(max(round((1 - density) * len(ordered)), 1), len(ordered) - 1)
    return float((ordered[off - 1] + ordered[off]) / 2)


def _check(deviation: Tensor) -> None:
    if not bool(deviation > 0):
        raise GatewrightError("the images for calibration are alike to a gate; give more, and different ones")
