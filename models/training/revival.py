"""Gates of a network that is trained already, made ready to learn on.

``revive`` moves spatial gates that are closed, or open, for all images to where they tell images apart; ``soften``
brings logits that are far from zero near enough to learn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gatewright.models.families.network import Network
from gatewright.models.gates.dgnet import ChannelGate, SpatialGate

DEVIATION = 1.5
"""Of the logits of a gate that was moved."""


CLOSED = 1e-3
"""Share of its tiles below which a block counts as closed."""


@torch.no_grad()
def revive(network: Network, images: Tensor, share: float) -> list[str]:
    """Move each spatial gate whose middle tile is on for less than ``share`` of the images, or off, to just that share.

    ``images`` [N, 3, size, size] are normalised. Of a gate's tiles, by the share of images for which each is on, the
    middle one counts: at a map's border zeros make the others. Logits are shifted and scaled, the gate's filter keeps
    its direction: which image comes first is what the gate says already. A block that was closed for all gets a last
    batch norm of zero: what follows has learnt to do without it, and so the network's answers stay until the block has
    learnt what to add. In order of execution, so that a gate sees what those before it do. Returns a line for each gate
    that was moved.
    """
    network.eval()
    x, done = network.stem(images), list[str]()
    for number, block in enumerate(network.blocks()):
        for gate in block.spatial_gates():
            assert gate.atten_s.bias is not None
            logits = gate.logits(x).flatten(1)
            decided = (logits >= 0).float()
            on = float(decided.mean(0).median())
            wanted = min(max(on, share), 1 - share)
            if wanted != on:
                factor = DEVIATION / float(logits.std().clamp(min=1e-6))
                level = logits.quantile(1 - wanted, 0).median()
                gate.atten_s.bias.copy_((gate.atten_s.bias - level) * factor)
                gate.atten_s.weight.mul_(factor)
                done.append(
                    f"block {number}: middle tile on for {100 * on:.2f}% of images, now for {100 * wanted:.0f}%"
                )
            if float(decided.mean()) < CLOSED:
                last = [module for module in block.children() if isinstance(module, nn.BatchNorm2d)][-1]
                last.weight.zero_()
                last.bias.zero_()
        x, _ = block(x)
    return done


@torch.no_grad()
def soften(network: Network, images: Tensor, level: float) -> int:
    """Scale gates' logits down until their magnitude over ``images`` has a median of at most ``level``; how many were.

    ``images`` [N, 3, size, size] are normalised. Each channel's logits are scaled by themselves, a spatial gate's
    together: the last layer's weights and bias, so that no decision changes. Where a logit is far out the relaxed gate
    has next to no gradient, and no loss can move it. Gates of whole layers stay as they are.
    """
    network.eval()
    x, done = network.stem(images), 0
    for block in network.blocks():
        for gate in block.gates():
            if isinstance(gate, SpatialGate | ChannelGate):
                medians = gate.logits(x).abs().transpose(0, 1).flatten(1).median(1).values
                factors = (level / medians).clamp(max=1)
                last = gate.last_layer
                assert last.bias is not None
                last.weight.mul_(factors.view(-1, 1, 1, 1))
                last.bias.mul_(factors)
                done += int((factors < 1).sum())
        x, _ = block(x)
    return done
