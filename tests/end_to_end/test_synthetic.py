from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from gatewright import flow
from gatewright.models.checkpoints.checkpoint import save_checkpoint
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.densities import densities
from gatewright.models.synthetic.noise import noise_images
from gatewright.models.synthetic.synthesis import synthesise


def test_a_synthetic_networks_densities_hold_in_integers(tmp_path: Path) -> None:
    images = noise_images(48, 32, 3, CIFAR10)
    made = synthesise(NetworkSpec(14, "dual"), images, partial(densities, spatial=0.6, channel=0.5), 2)
    save_checkpoint(tmp_path / "m.safetensors", made.network, made.spec)
    flow.write_ranges(tmp_path / "m.safetensors", images)
    decided = flow.evaluate(flow.load_network(tmp_path / "m.safetensors"), images).reference.decisions
    assert len(decided) == 12
    for gate, mask in decided.items():
        assert mask.mean() == pytest.approx(0.6 if "mask_s" in gate else 0.5, abs=0.06), gate
        assert len({row.tobytes() for row in mask}) >= 8
