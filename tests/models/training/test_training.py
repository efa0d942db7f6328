from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.residual.basic_block import BasicBlock
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.training.evaluation import evaluate_float
from gatewright.models.training.recipes import RECIPES, Recipe
from gatewright.models.training.training import initialise_from, train
from tests.support.cifar import image_set

RECIPE = Recipe(epochs=3, learning_rate=0.05, schedule="one-cycle", batch_size=8)
STATIC = NetworkSpec(8)
GATED = NetworkSpec(8, "dual", 0.5)
TRAIN, TEST = image_set(20, 1), image_set(6, 2)


def run(folder: Path, spec: NetworkSpec = GATED, recipe: Recipe = RECIPE, **options: object) -> dict[str, torch.Tensor]:
    path = train(spec, recipe, TRAIN, TEST, folder, **options)  # type: ignore[arg-type]
    assert path == folder / "model.safetensors"
    return load_checkpoint(path)[0].state_dict()


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def metrics(folder: Path) -> list[dict[str, object]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    first = run(tmp_path / "a", seed=3)
    assert_same(first, run(tmp_path / "b", seed=3))
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    other = run(tmp_path / "c", seed=4)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


class _Interrupt(Exception):
    pass


@pytest.mark.parametrize("spec", [STATIC, GATED, NetworkSpec(8, "bas", 0.5)], ids=["static", "gated", "bas"])
def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path, spec: NetworkSpec) -> None:
    whole = run(tmp_path / "whole", spec, seed=1)

    def stop(record: dict[str, object]) -> None:
        if record["epoch"] == 2:
            raise _Interrupt

    with pytest.raises(_Interrupt):
        run(tmp_path / "parts", spec, seed=1, report=stop)
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    assert_same(run(tmp_path / "parts", spec, seed=1, resume=True), whole)
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    assert not list(tmp_path.rglob("*.partial"))


def test_resuming_a_finished_run_trains_no_further(tmp_path: Path) -> None:
    whole = run(tmp_path / "a")
    assert_same(run(tmp_path / "a", resume=True), whole)
    assert len(metrics(tmp_path / "a")) == 3


def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "a", STATIC)
    before = (tmp_path / "a" / "model.safetensors").read_bytes()
    with pytest.raises(GatewrightError, match="already holds a run; continue it with --resume"):
        run(tmp_path / "a", STATIC, seed=9)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("kept", ["metrics.jsonl", "model.safetensors"])
def test_a_folder_of_another_kind_of_run_is_refused(tmp_path: Path, kept: str) -> None:
    """One that ``train_heads`` has left has no state, and was written over."""
    (tmp_path / kept).write_text("of a run")
    with pytest.raises(GatewrightError, match="already holds a run; continue it with --resume"):
        run(tmp_path, STATIC)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(GatewrightError, match=r"holds a network, and no state\.pt to go on from"):
        run(tmp_path, STATIC, resume=True)
    assert (tmp_path / kept).read_text() == "of a run"


def test_resuming_with_another_network_or_a_damaged_state_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "a", STATIC)
    with pytest.raises(GatewrightError, match=r"state\.pt is damaged or of another network than dgnet-resnet8-0\.5"):
        run(tmp_path / "a", GATED, resume=True)
    state = tmp_path / "a" / "state.pt"
    whole = torch.load(state)
    for stored in ([1, 2], whole | {"network": []}, whole | {"epoch": "2"}, whole | {"random": torch.zeros(3)}):
        torch.save(stored, state)
        with pytest.raises(GatewrightError, match=r"state\.pt is damaged or of another network than resnet8"):
            run(tmp_path / "a", STATIC, resume=True)
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(GatewrightError, match=r"state\.pt is damaged"):
        run(tmp_path / "a", STATIC, resume=True)


def test_gates_without_a_target_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(GatewrightError, match="needs a target density"):
        run(tmp_path / "a", NetworkSpec(8, "dual"))
    assert not (tmp_path / "a").exists()


def test_metrics_tell_every_epoch(tmp_path: Path) -> None:
    reported: list[dict[str, object]] = []
    run(tmp_path / "a", report=reported.append, evaluate_every=2)
    records = metrics(tmp_path / "a")
    assert [record["epoch"] for record in records] == [1, 2, 3] == [record["epoch"] for record in reported]
    assert ["top1" in record for record in records] == [False, True, True]  # every second, and the last
    assert all(float(str(record["gating_loss"])) > 0 for record in records)


def test_training_learns(tmp_path: Path) -> None:
    """Red against green; the loss of guessing among ten classes is log 10 = 2.3."""
    images = np.zeros((20, 32, 32, 3), np.uint8)
    images[:10, :, :, 0] = images[10:, :, :, 1] = 200
    colours = ImageSet(images, np.repeat(np.array([3, 7]), 10), np.arange(20), CIFAR10)
    recipe = Recipe(epochs=10, learning_rate=0.05, schedule="one-cycle", batch_size=10)
    train(STATIC, recipe, colours, colours, tmp_path / "a", evaluate_every=100)
    losses = [float(str(record["loss"])) for record in metrics(tmp_path / "a")]
    assert losses[0] > 2.2 and losses[-1] < 0.5


def test_a_gated_network_starts_from_a_static_one(tmp_path: Path) -> None:
    static = STATIC.build()
    save_checkpoint(tmp_path / "static.safetensors", static, STATIC)
    torch.manual_seed(5)
    gated = GATED.build()
    fresh = {name: value.clone() for name, value in gated.state_dict().items()}
    initialise_from(gated, tmp_path / "static.safetensors")
    for name, value in gated.state_dict().items():
        assert torch.equal(value, fresh[name] if ".mask_" in name else static.state_dict()[name]), name


def test_fresh_gates_begin_anew_though_the_checkpoint_has_some(tmp_path: Path) -> None:
    trained = GATED.build()
    save_checkpoint(tmp_path / "gated.safetensors", trained, GATED)
    torch.manual_seed(5)
    network = GATED.build()
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    initialise_from(network, tmp_path / "gated.safetensors", fresh_gates=True)
    for name, value in network.state_dict().items():
        assert torch.equal(value, fresh[name] if ".mask_" in name else trained.state_dict()[name]), name


def test_a_recipe_with_liveness_opens_what_was_closed_for_all(tmp_path: Path) -> None:
    """A gate that starts closed for every image stays closed by the paper's losses, and opens with the others."""
    torch.manual_seed(3)
    closed = GATED.build()
    for block in closed.blocks():
        block.mask_s.atten_s.bias.data.fill_(-30.0)  # type: ignore[union-attr]
    save_checkpoint(tmp_path / "closed.safetensors", closed, GATED)
    paper = replace(RECIPE, epochs=24, learning_rate=0.1)
    alive = replace(paper, logit_limit=4.0, liveness_weight=10.0)
    counts = []
    for name, recipe in (("paper", paper), ("alive", alive)):
        run(tmp_path / name, recipe=recipe, initial=tmp_path / "closed.safetensors")
        counts.append(metrics(tmp_path / name)[-1]["blocks_closed"])
    assert counts == [3, 0]


def test_networks_that_do_not_fit_cannot_be_started_from(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "deep.safetensors", NetworkSpec(14).build(), NetworkSpec(14))
    with pytest.raises(GatewrightError, match="is a resnet14; a network of 8 layers cannot start from one of 14"):
        initialise_from(GATED.build(), tmp_path / "deep.safetensors")
    save_checkpoint(tmp_path / "gated.safetensors", GATED.build(), GATED)
    with pytest.raises(GatewrightError, match="does not fit: unexpected"):
        initialise_from(STATIC.build(), tmp_path / "gated.safetensors")


@pytest.mark.parametrize("between", [False, True])
def test_the_recipe_says_whether_training_masks_tiles_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, between: bool
) -> None:
    seen = set()
    forward = BasicBlock.forward

    def spy(block: BasicBlock, x: torch.Tensor) -> tuple[torch.Tensor, BlockMasks]:
        seen.add(block.tiles_between)
        return forward(block, x)

    monkeypatch.setattr(BasicBlock, "forward", spy)
    run(tmp_path / "a", recipe=replace(RECIPE, epochs=1, tiles_between=between))
    assert seen == {between}


def test_gates_may_learn_slower_than_filters(tmp_path: Path) -> None:
    """With none of the rate they stay as they were, and the filters do not."""
    recipe = replace(RECIPE, gate_rate=0.0, gate_noise=0.0, gates_apart=True, epochs=1)
    after, other = run(tmp_path / "a", recipe=recipe), run(tmp_path / "b", recipe=replace(recipe, gate_rate=0.5))
    torch.manual_seed(0)
    before = GATED.build().state_dict()
    learnt = [name for name in before if ".mask_" in name and name.endswith(("weight", "bias"))]
    assert learnt and all(torch.equal(after[name], before[name]) for name in learnt)
    assert any(not torch.equal(other[name], before[name]) for name in learnt)
    assert not torch.equal(after["conv1.weight"], before["conv1.weight"])


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_the_last_good_state(tmp_path: Path) -> None:
    broken = replace(RECIPE, learning_rate=1e30)
    with pytest.raises(GatewrightError, match=r"loss of epoch 1 is not finite; nothing was kept; .*lower learning"):
        run(tmp_path / "a", recipe=broken)
    assert not list((tmp_path / "a").iterdir())
    run(tmp_path / "b", recipe=replace(RECIPE, epochs=1))
    before = (tmp_path / "b" / "state.pt").read_bytes()
    with pytest.raises(GatewrightError, match="loss of epoch 2 is not finite; the state after epoch 1 is kept"):
        run(tmp_path / "b", recipe=replace(broken, epochs=2), resume=True)
    assert (tmp_path / "b" / "state.pt").read_bytes() == before
    assert [record["epoch"] for record in metrics(tmp_path / "b")] == [1]


def test_schedules() -> None:
    step = Recipe(epochs=10, learning_rate=0.1, schedule="step")
    rates = [step.rate(progress) for progress in (0, 0.49, 0.5, 0.74, 0.75, 1)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    cycle = Recipe(epochs=10, learning_rate=0.2, schedule="one-cycle")
    rates = [cycle.rate(progress) for progress in (0, 0.075, 0.15, 0.575, 1)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.1, 0])


def test_the_bounds_slack_falls_with_the_papers_rate_over_300_epochs() -> None:
    assert RECIPES["paper"].slack(0) == 1
    assert RECIPES["paper"].slack(50) == pytest.approx(math.exp(-1))
    found = Recipe(epochs=24, learning_rate=0.1, schedule="step", slack_decay=1, slack_start=0.2)
    assert [found.slack(0), found.slack(24)] == pytest.approx([0.2, 0.2 * math.exp(-1)])
    short = Recipe(epochs=30, learning_rate=0.1, schedule="step")
    assert short.slack(5) == pytest.approx(RECIPES["paper"].slack(50)), "a short run relaxes as far"


@pytest.mark.parametrize("spec", [STATIC, GATED], ids=["static", "gated"])
def test_evaluation_against_one_image_at_a_time(spec: NetworkSpec) -> None:
    torch.manual_seed(2)
    network = spec.build().eval()
    for block in network.blocks():
        if spec.gating == "dual":  # a fresh gate is open whatever it sees
            block.mask_s.atten_s.bias.data.zero_()  # type: ignore[union-attr]
            block.mask_c.atten_c[3].bias.data.zero_()
    correct, macs, densities = 0, 0.0, []
    decided: dict[str, list[list[float]]] = {"spatial": [], "channel": []}
    for image, label in zip(TEST.images, TEST.labels, strict=True):
        with torch.no_grad():
            logits, masks = network.forward_with_masks(torch.from_numpy(CIFAR10.normalise(image[None])))
        correct += int(logits.argmax()) == label
        macs += float(network.gated_macs(masks).double().mean())
        densities.append([1.0 if m.spatial is None else float(m.spatial.mean()) for m in masks])
        for kind, images in decided.items():
            images.append([float(bit) for m in masks if (k := getattr(m, kind)) is not None for bit in k.flatten()])
    result = evaluate_float(network, TEST, batch_size=4)  # batches of 4 and 2
    assert result["top1"] == pytest.approx(100 * correct / 6)
    assert result["mac_ratio"] == pytest.approx(macs / 6 / network.dense_macs(), rel=1e-6)
    assert result["spatial_density"] == pytest.approx(np.mean(densities, 0).tolist())
    assert (spec.gating == "none") == (result["mac_ratio"] == 1.0)
    if spec.gating == "dual":
        for kind, images in decided.items():
            changing = [0 < sum(bits) < len(images) for bits in zip(*images, strict=True)]
            assert result[f"{kind}_dependent"] == pytest.approx(sum(changing) / len(changing))
            assert 0 < sum(changing) < len(changing)
        assert result["blocks_closed"] == 0
        network.blocks()[0].mask_s.atten_s.bias.data.fill_(-1e6)  # type: ignore[union-attr]
        network.blocks()[0].mask_c.atten_c[3].bias.data.fill_(-1e6)
        network.blocks()[2].mask_c.atten_c[3].bias.data.fill_(-1e6)
        assert evaluate_float(network, TEST)["blocks_closed"] == 2
    else:
        assert not {"spatial_dependent", "channel_dependent", "blocks_closed"} & result.keys()
