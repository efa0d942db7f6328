"""Gates that are closed, or open, for all images, moved to where they tell them apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.families.network import Network
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.training.evaluation import evaluate_float
from gatewright.models.training.recipes import Recipe
from gatewright.models.training.revival import revive, soften
from gatewright.models.training.training import train
from tests.support.cifar import image_set

SPEC = NetworkSpec(8, "dual", 0.5)
IMAGES = image_set(24, 1)


def network_and_images() -> tuple[Network, torch.Tensor]:
    torch.manual_seed(3)
    return SPEC.build().eval(), torch.from_numpy(IMAGES.normalised())


def shares(network: Network, images: torch.Tensor) -> list[float]:
    """For each spatial gate the share of images for which its middle tile is on."""
    with torch.no_grad():
        _, masks = network.eval().forward_with_masks(images)
    return [float(block.spatial.mean(0).median()) for block in masks if block.spatial is not None]


def shift(network: Network, block: int, logit: float) -> None:
    network.blocks()[block].spatial_gates()[0].atten_s.bias.data.fill_(logit)  # type: ignore[union-attr]


def test_gates_are_moved_to_the_share_and_no_further() -> None:
    network, images = network_and_images()
    shift(network, 0, -30.0)
    shift(network, 1, 30.0)
    assert shares(network, images)[:2] == [0, 1]
    lines = revive(network, images, 0.2)
    assert lines[:2] == [
        "block 0: middle tile on for 0.00% of images, now for 20%",
        "block 1: middle tile on for 100.00% of images, now for 80%",
    ]
    found = shares(network, images)
    assert found[:2] == pytest.approx([0.2, 0.8], abs=1.5 / 24)
    assert 0.13 < found[2] < 0.87
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert revive(network, images, 0.1) == [], "all of them are within these bounds"
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_the_order_of_tiles_stays_the_gates_own() -> None:
    network, images = network_and_images()
    gate = network.blocks()[0].spatial_gates()[0]
    seen = network.stem(images)
    with torch.no_grad():
        pooled = torch.nn.functional.adaptive_avg_pool2d(seen, (gate.mask_height, gate.mask_width))
        before = gate.atten_s(pooled).flatten()
        shift(network, 0, -30.0)
        revive(network, images, 0.25)
        after = gate.atten_s(pooled).flatten()
    assert torch.corrcoef(torch.stack([before, after]).double())[0, 1].item() == pytest.approx(1, abs=1e-6)
    assert after.std().item() == pytest.approx(1.5, rel=1e-3)


def test_a_network_whose_closed_block_is_opened_answers_as_before() -> None:
    network, images = network_and_images()
    revive(network, images, 0.2)
    shift(network, 0, -30.0)
    revive(network, images, 0.05)  # what lies behind follows from the closed block now
    shift(network, 0, -30.0)
    with torch.no_grad():
        before = network(images)
        lines = revive(network, images, 0.05)
        after = network(images)
    assert [line.split(":")[0] for line in lines] == ["block 0"]
    assert 1 / 24 <= shares(network, images)[0] < 0.15
    torch.testing.assert_close(after, before)


def test_a_recipe_begins_with_gates_that_live_and_its_closed_block_learns(tmp_path: Path) -> None:
    network, _ = network_and_images()
    shift(network, 0, -30.0)
    save_checkpoint(tmp_path / "closed.safetensors", network, SPEC)
    recipe = Recipe(2, 0.05, "one-cycle", batch_size=12, revived_share=0.1, gate_rate=0.0, gate_noise=0.0)
    closed = []
    for name, share in (("revived", 0.1), ("as it was", None)):
        path = train(
            SPEC,
            replace(recipe, revived_share=share),
            IMAGES,
            IMAGES,
            tmp_path / name,
            initial=tmp_path / "closed.safetensors",
        )
        state = torch.load(path.parent / "state.pt")["network"]
        closed.append(bool(state["layer1.0.bn2.weight"].abs().max() < 0.5))
        fresh = SPEC.build()
        fresh.load_state_dict(state)
        assert (evaluate_float(fresh, IMAGES)["blocks_closed"] == 0) is (share is not None)
        assert bool(state["layer1.0.bn2.weight"].any())
    assert closed == [True, False]


def test_softened_gates_decide_as_before_and_are_near_zero() -> None:
    torch.manual_seed(5)
    network, images = NetworkSpec(8, "dual", 0.5).build().eval(), torch.from_numpy(IMAGES.normalised())
    gate = network.blocks()[1].channel_gates()[0]
    spatial = network.blocks()[0].spatial_gates()[0]
    last = gate.atten_c[3]
    with torch.no_grad():
        last.bias += torch.linspace(-30, 30, len(last.bias))  # channels off, on and between
        spatial.atten_s.weight *= 100
        before, masks = network.forward_with_masks(images)
        x, _ = network.blocks()[0](network.stem(images))
        raw = gate.atten_c(x.mean((2, 3), keepdim=True))
        count = soften(network, images, 2.0)
        after, same = network.forward_with_masks(images)
        softened = gate.atten_c(x.mean((2, 3), keepdim=True))
    assert count > len(last.bias) // 2
    torch.testing.assert_close(after, before)
    for old, new in zip(masks, same, strict=True):
        assert old.spatial is not None and new.spatial is not None and torch.equal(old.spatial, new.spatial)
        assert old.channel is not None and new.channel is not None and torch.equal(old.channel, new.channel)
    for channel in range(len(last.bias)):
        old, new = raw[:, channel].flatten(), softened[:, channel].flatten()
        middle = float(old.abs().median())
        torch.testing.assert_close(new, old * min(1.0, 2 / middle), rtol=1e-4, atol=1e-4)


def test_a_recipe_begins_with_softened_gates(tmp_path: Path) -> None:
    network, images = network_and_images()
    shift(network, 0, -30.0)
    save_checkpoint(tmp_path / "far.safetensors", network, SPEC)
    recipe = Recipe(1, 0.0, "step", batch_size=12, softened=2.0, gate_noise=0.0)
    path = train(SPEC, recipe, IMAGES, IMAGES, tmp_path / "run", initial=tmp_path / "far.safetensors")
    network, _ = load_checkpoint(path)
    gate = network.eval().blocks()[0].spatial_gates()[0]
    with torch.no_grad():
        pooled = torch.nn.functional.adaptive_avg_pool2d(network.stem(images), (gate.mask_height, gate.mask_width))
        logits = gate.atten_s(pooled)
    assert -3 < float(logits.max()) < 0
