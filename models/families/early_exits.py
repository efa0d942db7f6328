"""A network with decision gates behind its main blocks: an image leaves at the first one that answers.

Shafiee et al. 2019 have them in ResNet-101 and DenseNet-201; Wang et al. 2020 (*Dual Dynamic Inference*) in ResNets
whose blocks have gates, too.
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

    ``thresholds`` are one for each gate, in order of execution. The network's blocks may have gates of their own.
    """

    def __init__(self, network: Network, thresholds: Sequence[float]) -> None:
        super().__init__(network.depth, network.gating, network.classes, network.size)
        self.positions = network.main_blocks()
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

    def exits_before(self) -> list[int]:
        """For each block, how many exits an image has passed that reaches it."""
        return [sum(exit_ < position for exit_ in self.positions) for position in range(len(self.blocks()))]

    def all_answers(self, x: Tensor) -> list[Tensor]:
        """What every gate says, and the network's own logits at the end, each [N, classes], of images x."""
        return self.answers_and_masks(x)[0]

    def answers_and_masks(self, x: Tensor) -> tuple[list[Tensor], list[BlockMasks]]:
        """The answers of all gates and of the end, and the decisions of all blocks, wherever an image would leave."""
        x = self.stem(x)
        answers, masks = [], []
        gates = dict(zip(self.positions, self.gates(), strict=True))
        for position, block in enumerate(self.blocks()):
            x, decided = block(x)
            masks.append(decided)
            if position in gates:
                answers.append(gates[position](x))
        return [*answers, self.head(x)], masks

    def forward(self, x: Tensor) -> Tensor:
        """Return what an image is answered with, [N, classes], of normalised images x [N, 3, size, size]."""
        return self.forward_with_exits(x)[0]

    def forward_with_exits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As ``forward``, with the number [N] of the exit, counted from 0; that of the network's end is the last."""
        return self.leaving(self.all_answers(x))

    def leaving(self, answers: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Of all answers [N, classes]: what images are answered with, and the number [N] of their exits."""
        *early, answer = answers
        exits = torch.full((len(answer),), len(early), device=answer.device)
        for number, gate in reversed(list(enumerate(self.gates()))):
            sure = gate.answers(early[number])
            answer = torch.where(sure[:, None], early[number], answer)
            exits = torch.where(sure, number, exits)
        return answer, exits

    def macs_of_exits(self, masks: list[BlockMasks]) -> Tensor:
        """MACs of an image by its exit, those of the gates on its way included: [exits + 1, N], or with N = 1.

        ``masks`` are the blocks' decisions; without gates in blocks all images take the same, and N is 1.
        """
        macs, result = torch.tensor([float(self.stem_macs())], dtype=torch.float64), []
        gates = dict(zip(self.positions, self.gates(), strict=True))
        for position, (block, decided) in enumerate(zip(self.blocks(), masks, strict=True)):
            macs = macs + block.gate_macs() + block.gated_macs(decided).double().cpu()
            if position in gates:
                macs = macs + gates[position].macs()
                result.append(macs)
        return torch.stack(torch.broadcast_tensors(*result, macs + self.head_macs()))
