"""DDI's residual networks: gates of whole blocks, all but the first of each stage, with early exits beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.families.early_exits import EarlyExits
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.training.evaluation import evaluate_float
from gatewright.models.training.recipes import RECIPES
from gatewright.models.training.training import train
from tests.support.cifar import image_set
from tests.support.split_layer_gates import split_layer_gates

PLAIN = NetworkSpec(14, "ddi", 0.8)
BOTH = replace(PLAIN, family_name="resnet-cifar-exits")
TRAIN, TEST = image_set(40, 1), image_set(30, 2)


def lively(spec: NetworkSpec = BOTH) -> EarlyExits:
    """Drawn, with gates that are on for some of the test images, and exits at which some of them leave."""
    torch.manual_seed(7)
    network = spec.build()
    assert isinstance(network, EarlyExits)
    x = torch.from_numpy(TEST.normalised())
    split_layer_gates(network, x)
    with torch.no_grad():
        for gate, distances in zip(network.gates(), network.all_answers(x), strict=False):
            gate.threshold = float(distances.amax(1).quantile(0.7))
    return network


def test_all_blocks_but_the_first_of_each_stage_have_a_gate(tmp_path: Path) -> None:
    for spec, name in ((PLAIN, "ddi-resnet14-0.8"), (BOTH, "exits-ddi-resnet14-0.8")):
        network = spec.build()
        assert spec.name == name and [len(block.gates()) for block in network.blocks()] == [0, 1] * 3
        save_checkpoint(tmp_path / "own.safetensors", network, spec)
        torch.save(network.state_dict(), tmp_path / "public.pth")
        assert load_checkpoint(tmp_path / "own.safetensors")[1] == spec
        assert load_checkpoint(tmp_path / "public.pth")[1] == replace(spec, target_density=None)
    with pytest.raises(GatewrightError, match="keeps the first block of each stage, and a ResNet-8 has no others"):
        NetworkSpec(8, "ddi").build()


def test_macs_and_decisions_are_those_of_what_an_image_sees() -> None:
    """Image by image, from the blocks' own counts: a block that is left out, or lies behind the exit, is not there."""
    network = lively()
    left, macs, on = [], [], np.zeros((6, 2))
    for position in range(len(TEST)):
        x = torch.from_numpy(TEST.normalised()[position : position + 1])
        with torch.no_grad():
            exit_ = int(network.forward_with_exits(x)[1])
            x, work = network.stem(x), network.stem_macs()
            for number, block in enumerate(network.blocks()[: [2, 4, 6][exit_]]):
                x, masks = block(x)
                taken = masks.spatial is None or bool(masks.spatial)
                on[number] += (taken, 1)
                shortcut = sum(part.macs for part in block.work() if not part.tiles)
                work += (block.dense_macs() if taken else shortcut) + block.gate_macs()
        work += sum(gate.macs() for gate in network.gates()[: exit_ + 1])
        macs.append(work + (network.head_macs() if exit_ == 2 else 0))
        left.append(exit_)
    result = evaluate_float(network, TEST, batch_size=7)
    assert set(left) == {0, 1, 2} and np.bincount(left).tolist() == pytest.approx(
        [30 * share for share in result["exit_shares"]]  # type: ignore[attr-defined]
    )
    assert result["mac_ratio"] == pytest.approx(np.mean(macs) / network.dense_macs())
    assert result["spatial_density"] == pytest.approx((on[:, 0] / on[:, 1]).tolist())
    assert 0 < on[5, 0] < on[5, 1] < 30


def test_warm_up_moves_gates_and_exits_alone_and_what_follows_moves_all(tmp_path: Path) -> None:
    static = NetworkSpec(14)
    torch.manual_seed(3)
    trunk = static.build()
    save_checkpoint(tmp_path / "trunk.safetensors", trunk, static)
    before = {f"network.{name}": tensor.clone() for name, tensor in trunk.state_dict().items()}
    recipe = replace(RECIPES["ddi-warm-up"], batch_size=20)
    warm = train(BOTH, recipe, TRAIN, TEST, tmp_path / "warm", seed=1, initial=tmp_path / "trunk.safetensors")
    after = load_checkpoint(warm)[0].state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    torch.manual_seed(1)
    fresh = BOTH.build().state_dict()
    moved = {name for name, tensor in after.items() if name not in before and not torch.equal(tensor, fresh[name])}
    assert {"exits.0.fc.weight", "exits.1.fc.bias", "network.layer1.1.mask_l.fc2.weight"} <= moved
    joint = train(
        BOTH, replace(RECIPES["ddi"], epochs=1, batch_size=20), TRAIN, TEST, tmp_path / "joint", seed=1, initial=warm
    )
    learnt = load_checkpoint(joint)[0].state_dict()
    assert not torch.equal(learnt["network.conv1.weight"], after["network.conv1.weight"])
    assert not torch.equal(learnt["network.bn1.running_mean"], after["network.bn1.running_mean"])
