from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import save_checkpoint
from gatewright.models.families.resnet_cifar.growth import sources
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.kinds import Gating
from gatewright.models.training.training import initialise_from


def trained_like(spec: NetworkSpec, seed: int) -> ResNetCifar:
    """A network whose batch norms and gates are not those of an initialisation."""
    print(f"seed {seed}; rerun: pytest tests/models/families/test_growth.py")
    generator = torch.Generator().manual_seed(seed)
    network = spec.build().eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if ("bn" in name and tensor.is_floating_point()) or ("atten_" in name and name.endswith("bias")):
                tensor += torch.rand(tensor.shape, generator=generator) - (0.5 if name.endswith("bias") else 0)
    return network


@pytest.mark.parametrize("gating", ["none", "dual"])
@pytest.mark.parametrize("depths", [(20, 32), (14, 20), (14, 14), (32, 56)], ids=str)
def test_the_deeper_network_computes_the_same(tmp_path: Path, depths: tuple[int, int], gating: Gating) -> None:
    target = None if gating == "none" else 0.5
    shallow = trained_like(NetworkSpec(depths[0], gating, target), seed=7)
    save_checkpoint(tmp_path / "shallow.safetensors", shallow, NetworkSpec(depths[0], gating, target))
    deep = NetworkSpec(depths[1], gating, target).build().eval()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        wanted = shallow(images)
        assert not torch.allclose(deep(images), wanted, atol=1e-3)
        initialise_from(deep, tmp_path / "shallow.safetensors")
        torch.testing.assert_close(deep(images), wanted)


def test_a_new_block_can_learn(tmp_path: Path) -> None:
    """A silent block whose filters were zero as well would never wake: no gradient would reach any of it."""
    shallow = trained_like(NetworkSpec(14), seed=9)
    save_checkpoint(tmp_path / "shallow.safetensors", shallow, NetworkSpec(14))
    deep = NetworkSpec(20).build()
    initialise_from(deep, tmp_path / "shallow.safetensors")
    deep.train()
    deep(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(8))).square().sum().backward()
    silent = [name for name, tensor in deep.named_parameters() if name.endswith("bn2.weight") and not tensor.any()]
    assert silent == ["layer1.2.bn2.weight", "layer2.2.bn2.weight", "layer3.2.bn2.weight"]
    parameters = dict(deep.named_parameters())
    assert all(bool(parameters[name].grad.abs().sum() > 0) for name in silent)  # type: ignore[union-attr]


def test_new_blocks_are_spread_and_the_first_of_a_stage_is_never_copied() -> None:
    assert sources(3, 5) == [(0, False), (1, False), (1, True), (2, False), (2, True)]
    assert sources(3, 3) == [(0, False), (1, False), (2, False)]
    assert sources(1, 1) == [(0, False)]
    with pytest.raises(GatewrightError, match="stages of 1 blocks cannot grow to 2"):
        sources(1, 2)
