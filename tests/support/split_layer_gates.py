"""Layer gates that decide both ways."""

from __future__ import annotations

import torch
from torch import Tensor

from gatewright.models.families.network import Network
from gatewright.models.gates.aig import LayerGate


@torch.no_grad()
def split_layer_gates(network: Network, x: Tensor, seed: int = 7) -> None:
    """Draw every layer gate's last layer, with a bias at which its block is computed for half of the images x."""
    network.eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for gate in (gate for block in network.blocks() for gate in block.gates()):
            assert isinstance(gate, LayerGate) and gate.fc2.bias is not None
            torch.nn.init.normal_(gate.fc2.weight)
            seen: list[Tensor] = []
            hook = gate.fc2.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out))
            network(x)
            hook.remove()
            found = (seen[0][:, 0] - seen[0][:, 1]).flatten().sort().values
            gate.fc2.bias[0] -= found[len(x) // 2 - 1 : len(x) // 2 + 1].mean()  # between images, that none is a tie
