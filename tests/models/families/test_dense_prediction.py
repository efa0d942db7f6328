"""Networks that return maps: their files, from which they compile, and a detector's stages beside plain arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from gatewright import flow
from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, load_network, save_checkpoint
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.faster_rcnn import BoxHead, RegionProposals, side_by_side
from gatewright.models.families.resnet_imagenet.network import ResNetImageNet
from gatewright.models.families.spec import HeadSpec, NetworkSpec
from gatewright.sim.fast.machine import simulate
from tests.compiler.networks import lively

SPECS = {
    "retinanet": NetworkSpec(18, "dual", None, 3, 64, "retinanet", head=HeadSpec(16, 2, 16)),
    "retinanet-none": NetworkSpec(50, classes=3, size=64, family_name="retinanet", head=HeadSpec(16, 0)),
    "region-proposals": NetworkSpec(18, classes=1, size=64, family_name="region-proposals", head=HeadSpec(16)),
    "pspnet": NetworkSpec(34, "channel", None, 5, 96, "pspnet", head=HeadSpec(24)),
}


@pytest.mark.parametrize("name", SPECS)
def test_a_file_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    spec = SPECS[name]
    network = lively(spec.module(), 1)
    save_checkpoint(tmp_path / "model.safetensors", network, spec)
    found, said = load_network(tmp_path / "model.safetensors")
    assert said == spec and said.name.endswith(f"{spec.family_name}-resnet{spec.depth}") and not said.classifies
    x = torch.randn(1, 3, spec.size, spec.size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for one, other in zip(_listed(network(x)), _listed(found(x)), strict=True):
            assert torch.equal(one, other)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "model.pth.tar")
    _, public = load_network(tmp_path / "model.pth.tar")
    assert spec.head is not None and public == replace(spec, size=public.size, head=replace(spec.head, tile=None))


def _listed(given: object) -> list[torch.Tensor]:
    return list(given) if isinstance(given, list) else [given]  # type: ignore[list-item]


@pytest.mark.parametrize(
    "changed",
    [
        {"head": None},
        {"head": HeadSpec(17, 2, 16)},
        {"head": HeadSpec(16, 1, 16)},
        {"classes": 4},
        {"depth": 34},
        {"family_name": "region-proposals"},
        {"family_name": "resnet-imagenet", "head": None},
    ],
)
def test_a_spec_that_is_not_the_tensors_is_refused(changed: dict[str, object], tmp_path: Path) -> None:
    spec = SPECS["retinanet"]
    save_checkpoint(tmp_path / "model.safetensors", spec.module(), replace(spec, **changed))  # type: ignore[arg-type]
    with pytest.raises(GatewrightError, match=r"model\.safetensors"):
        load_network(tmp_path / "model.safetensors")


def test_a_network_of_maps_is_no_classifier(tmp_path: Path) -> None:
    spec = SPECS["region-proposals"]
    save_checkpoint(tmp_path / "model.safetensors", spec.module(), spec)
    with pytest.raises(GatewrightError, match="which is no classifier: it returns maps"):
        load_checkpoint(tmp_path / "model.safetensors")
    with pytest.raises(GatewrightError, match="is no classifier: it returns maps, which calibrate"):
        spec.build()
    with pytest.raises(GatewrightError, match="a RetinaNet needs a head; give its NetworkSpec one"):
        replace(SPECS["retinanet"], head=None).module()


def test_a_detector_is_compiled_from_its_file(tmp_path: Path) -> None:
    spec = SPECS["region-proposals"]
    path, rng = tmp_path / "model.safetensors", np.random.default_rng(3)
    save_checkpoint(path, lively(spec.module(), 1), spec)
    assert "backbone.conv1.weight" in load_file(path)
    (tmp_path / "photographs").mkdir()
    for number in range(2):
        pixels = rng.integers(0, 256, (spec.size, spec.size, 3), np.uint8)
        np.save(tmp_path / "photographs" / f"{number}.npy", pixels)
    images: ImageSet = spec.data.load(tmp_path / "photographs", "train")
    flow.write_ranges(path, images)
    network = flow.load_network(path)
    evaluation = flow.evaluate(network, images)
    program = Compiler(network.graph, PRESETS["ultra96"]).compile({}, evaluation.inputs[1])
    outputs = simulate(program).outputs
    assert len(outputs) == 14
    for name, expected in evaluation.reference.outputs_of(1).items():
        np.testing.assert_array_equal(outputs[name], expected, err_msg=name)


def test_proposals_are_those_of_every_level_and_the_last_is_every_second_pixel() -> None:
    network = lively(RegionProposals(ResNetImageNet(18, size=64), 8), 1)
    assert isinstance(network, RegionProposals)
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        maps, inner = network(x), None
        for stage, lateral in reversed(list(zip(network.stages(x), network.fpn.inner_blocks, strict=True))):
            inner = lateral(stage) + (0 if inner is None else inner.repeat_interleave(2, 2).repeat_interleave(2, 3))
        levels = maps[10:]
        torch.testing.assert_close(levels[0], network.fpn.layer_blocks[0](inner))
        for number, level in enumerate([*levels, F.max_pool2d(levels[-1], 1, 2)]):
            seen = F.relu(network.rpn.conv(level))
            torch.testing.assert_close(maps[2 * number], network.rpn.cls_logits(seen))
            torch.testing.assert_close(maps[2 * number + 1], network.rpn.bbox_pred(seen))
    assert [tuple(one.shape[1:]) for one in levels] == [(8, edge, edge) for edge in (16, 8, 4, 2)]


def test_boxes_side_by_side_are_what_each_is_alone() -> None:
    head, boxes = BoxHead(5, 6, 12), torch.randn(4, 6, 7, 7, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        together, alone = head(side_by_side(boxes)), [head(box[None]) for box in boxes]
        plain = F.relu(nn.functional.linear(boxes.flatten(1), head.fc6.weight.flatten(1), head.fc6.bias))
        plain = F.relu(nn.functional.linear(plain, head.fc7.weight.flatten(1), head.fc7.bias))
        torch.testing.assert_close(
            together[0][0, :, 0].T, nn.functional.linear(plain, head.cls_score.weight.flatten(1), head.cls_score.bias)
        )
    for number, one in enumerate(together):
        torch.testing.assert_close(one, torch.cat([each[number] for each in alone], 3))
