"""Where a training starts: the weights of a checkpoint, and gates whose logits have a size that training can move."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoint import load_checkpoint
from gatewright.models.families.growth import grow
from gatewright.models.families.resnet_cifar import ResNetCifar


def initialise_from(network: ResNetCifar, checkpoint: str | Path, fresh_gates: bool = False) -> None:
    """Start a gated network from a static one (paper, section 4.1) or a gated one; a shallower one is grown.

    With ``fresh_gates`` the checkpoint's gates are left where they are.
    """
    source, spec = load_checkpoint(checkpoint)
    if spec.depth > network.depth:
        raise GatewrightError(f"{checkpoint} is a ResNet-{spec.depth}; a ResNet-{network.depth} cannot start from it")
    state = grow(source.state_dict(), spec.depth, network.depth)
    if fresh_gates:
        state = {name: tensor for name, tensor in state.items() if ".mask_" not in name}
    missing, unexpected = network.load_state_dict(state, strict=False)
    if unexpected or any(".mask_" not in name for name in missing):
        raise GatewrightError(f"{checkpoint} does not fit: unexpected {unexpected[:3]}, missing {missing[:3]}")


def scale_gates(network: ResNetCifar, images: Tensor, size: float) -> None:
    """Multiply each gate's last layer, so that the root mean square of its logits over the images is ``size``.

    A gate decides by the sign, so no decision changes, nor anything else in evaluation. But logits of 100, which
    trained gates have, are beyond the reach of noise and gradients. ``images`` are normalised, [N, 3, size, size]. A
    gate whose logits are all zero stays as it is.
    """
    squares: dict[nn.Conv2d, float] = {}

    def measure(layer: nn.Conv2d, _: tuple[Tensor], logits: Tensor) -> None:
        squares[layer] = float(logits.double().square().mean())

    gates = [module for block in network.blocks() for module in block.gates()]
    hooks = [gate.last_layer().register_forward_hook(measure) for gate in gates]
    was_training = network.training
    with torch.no_grad():
        network.eval()(images)
        for layer, square in squares.items():
            if square > 0:
                factor = size / square**0.5
                layer.weight.mul_(factor)
                if layer.bias is not None:
                    layer.bias.mul_(factor)
    network.train(was_training)
    for hook in hooks:
        hook.remove()
