"""A network with decision gates behind its main blocks: an image leaves at the first one that answers.

Shafiee et al. 2019 have them in ResNet-101 and DenseNet-201.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gatewright.contract.errors import GatewrightError
from gatewright.models.families.block import Block, BlockMasks
from gatewright.models.families.network import Network
from gatewright.models.gates.decision import DecisionGate


class EarlyExits(Network):
    """A network, and a gate behind each of its main blocks but the last (``Network.main_blocks``).

    ``thresholds`` are one for each gate, in order of execution. The network has no gates of another kind.
    """

    def __init__(self, network: Network, thresholds: Sequence[float]) -> None:
        super().__init__(network.depth, network.gating, network.classes, network.size)
        self.positions = network.main_blocks()
        if network.gating != "none":
            raise GatewrightError(f"a network with gates {network.gating!r} cannot have early exits; take 'none'")
        if len(thresholds) != len(self.positions):
            raise GatewrightError(
                f"{len(thresholds)} thresholds for {len(self.positions)} early exits; give one for each"
            )
        self.network = network
        blocks = network.blocks()
        self.exits = nn.ModuleList(
            DecisionGate(blocks[position].out_channels, network.classes, threshold)
            for position, threshold in zip(self.positions, thresholds, strict=True)
        )

    def stem(self, x: Tensor) -> Tensor:
        """The network's."""
        return self.network.stem(x)

    def blocks(self) -> Sequence[Block]:
        """The network's."""
        return self.network.blocks()

    def head(self, x: Tensor) -> Tensor:
        """The network's own logits [N, classes], at its end."""
        return self.network.head(x)

    def stem_macs(self) -> int:
        """The network's."""
        return self.network.stem_macs()

    def head_macs(self) -> int:
        """The network's."""
        return self.network.head_macs()

    def gates(self) -> list[DecisionGate]:
        """In order of execution."""
        return [gate for gate in self.exits if isinstance(gate, DecisionGate)]

    def all_answers(self, x: Tensor) -> list[Tensor]:
        """What every gate says, and the network's own logits at the end, each [N, classes], of images x."""
        x = self.stem(x)
        answers = []
        gates = dict(zip(self.positions, self.gates(), strict=True))
        for position, block in enumerate(self.blocks()):
            x, _ = block(x)
            if position in gates:
                answers.append(gates[position](x))
        return [*answers, self.head(x)]

    def answers_and_masks(self, x: Tensor) -> tuple[list[Tensor], list[BlockMasks]]:
        """The answers of all gates and of the end, wherever an image would leave."""
        return self.all_answers(x), []

    def forward(self, x: Tensor) -> Tensor:
        """Return what an image is answered with, [N, classes], of normalised images x [N, 3, size, size]."""
        return self.forward_with_exits(x)[0]

    def forward_with_exits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As ``forward``, with the number [N] of the exit, counted from 0; that of the network's end is the last."""
        *early, answer = self.all_answers(x)
        exits = torch.full((len(x),), len(early), device=x.device)
        for number, gate in reversed(list(enumerate(self.gates()))):
            sure = gate.answers(early[number])
            answer = torch.where(sure[:, None], early[number], answer)
            exits = torch.where(sure, number, exits)
        return answer, exits

    def macs_of_exits(self) -> list[int]:
        """MACs of an image by its exit, those of the gates on its way included."""
        macs, result = self.stem_macs(), []
        gates = dict(zip(self.positions, self.gates(), strict=True))
        for position, block in enumerate(self.blocks()):
            macs += block.dense_macs()
            if position in gates:
                macs += gates[position].macs()
                result.append(macs)
        return [*result, macs + self.head_macs()]
