from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.datasets.augmentation import Batches, Crops
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.training.distillation import TeacherAnswers, distillation_loss
from gatewright.models.training.recipes import Recipe
from gatewright.models.training.training import train
from tests.support.cifar import image_set

DATA = image_set(12, 3)
RECIPE = Recipe(epochs=4, learning_rate=0.05, schedule="one-cycle", batch_size=5, views=2)


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    torch.manual_seed(8)
    path = tmp_path / "teacher.safetensors"
    save_checkpoint(path, NetworkSpec(8).build(), NetworkSpec(8))
    return path


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("weight", [0.0, 0.9, 1.0])
def test_loss_by_hand(weight: float) -> None:
    rng = np.random.default_rng(4)
    logits, taught = rng.normal(0, 3, (2, 6, 10))
    labels = rng.integers(0, 10, 6)
    hard = -np.log(softmax(logits)[np.arange(6), labels]).mean()
    student, target = softmax(logits / 4), softmax(taught / 4)
    soft = (target * np.log(target / student)).sum(1).mean()
    got = distillation_loss(torch.tensor(logits), torch.tensor(taught), torch.tensor(labels), 4.0, weight)
    assert float(got) == pytest.approx((1 - weight) * hard + weight * 16 * soft)


def answers(teacher: Path | list[Path], folder: Path, seed: int = 1, views: int = 2) -> TeacherAnswers:
    folder.mkdir(exist_ok=True)
    teachers = teacher if isinstance(teacher, list) else [teacher]
    return TeacherAnswers(teachers, Batches(DATA, 5, torch.device("cpu")), folder, seed, views)


def test_the_teacher_answers_for_the_crops_that_are_trained_on(tmp_path: Path, teacher: Path) -> None:
    asked = answers(teacher, tmp_path / "a")
    network, _ = load_checkpoint(teacher)
    for epoch in range(2):
        crops = asked.crops(epoch)
        padded = np.pad(DATA.images, ((0, 0), (4, 4), (4, 4), (0, 0)))
        cut = []
        for image, row, column, flip in zip(padded, *crops.shift[..., 0].tolist(), crops.flip[:, 0], strict=True):
            window = image[row : row + 32, column : column + 32]
            cut.append(window[:, ::-1] if flip else window)
        pixels = (np.stack(cut) / 255 - CIFAR10.mean) / CIFAR10.std
        with torch.no_grad():
            expected = network(torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32))
        torch.testing.assert_close(asked.logits(epoch), expected, rtol=0.05, atol=0.05)  # bfloat16
        batch, _ = asked.batches.batch(torch.arange(12), crops)
        torch.testing.assert_close(batch.double(), torch.tensor(pixels.transpose(0, 3, 1, 2)), rtol=1e-4, atol=1e-4)


def test_views_come_again_and_differ_by_seed(tmp_path: Path, teacher: Path) -> None:
    asked, other = answers(teacher, tmp_path / "a"), answers(teacher, tmp_path / "b", seed=2)
    assert torch.equal(asked.crops(0).shift, asked.crops(2).shift)
    shifts = [asked.crops(0).shift, asked.crops(1).shift, other.crops(0).shift, other.crops(1).shift]
    assert all(not torch.equal(a, b) for i, a in enumerate(shifts) for b in shifts[:i])
    first = asked.logits(0)
    asked.forwards = []  # a second pass over the view must not need them
    assert torch.equal(asked.logits(2), first)


def test_answers_to_other_crops_are_not_taken_for_these(tmp_path: Path, teacher: Path) -> None:
    """A folder may hold answers that were copied from another run, to save the teacher's time."""
    first = answers(teacher, tmp_path / "a", views=2).logits(0)
    assert torch.equal(answers(teacher, tmp_path / "a", views=2).logits(2), first)
    assert not torch.equal(answers(teacher, tmp_path / "a", views=3).logits(0), first)
    assert not torch.equal(answers(teacher, tmp_path / "a", seed=2).logits(0), first)


@pytest.mark.parametrize(
    "stored",
    [None, torch.zeros(11, 10), torch.zeros(12, 10, dtype=torch.int64), {"a": 1}],
    ids=["cut", "fewer", "integers", "a dict"],
)
def test_answers_that_are_damaged_or_of_another_set_are_named(tmp_path: Path, teacher: Path, stored: object) -> None:
    asked = answers(teacher, tmp_path / "a")
    asked.logits(0)
    (file,) = (tmp_path / "a").iterdir()
    torch.save(stored, file)
    if stored is None:
        file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(
        GatewrightError, match=r"teacher_view_2_\w+\.pt (is damaged|does not hold the teachers' answers for 12)"
    ):
        asked.logits(0)


def test_a_teacher_with_gates_is_refused(tmp_path: Path) -> None:
    spec = NetworkSpec(8, "channel", 0.5)
    save_checkpoint(tmp_path / "gated.safetensors", spec.build(), spec)
    with pytest.raises(GatewrightError, match=r"gated\.safetensors has gates; a teacher is a static network"):
        answers(tmp_path / "gated.safetensors", tmp_path / "a")


def test_several_teachers_answer_with_the_mean_of_their_logits(tmp_path: Path, teacher: Path) -> None:
    torch.manual_seed(21)
    deeper = tmp_path / "deeper.safetensors"
    save_checkpoint(deeper, NetworkSpec(14).build(), NetworkSpec(14))
    one, other = (answers(each, tmp_path / each.stem).logits(1) for each in (teacher, deeper))
    assert not torch.allclose(one, other)
    both = answers([teacher, deeper], tmp_path / "both").logits(1)
    torch.testing.assert_close(both, (one + other) / 2)
    copied = answers([deeper, teacher], tmp_path / "both")
    copied.forwards = []  # the order is all the same
    assert torch.equal(copied.logits(1), both)


def test_answers_of_other_teachers_are_not_taken_for_these(tmp_path: Path, teacher: Path) -> None:
    torch.manual_seed(22)
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, NetworkSpec(8).build(), NetworkSpec(8))
    first = answers(teacher, tmp_path / "a").logits(1)
    assert not torch.equal(answers(other, tmp_path / "a").logits(1), first)
    assert torch.equal(answers(teacher, tmp_path / "a").logits(1), first)


def test_teachers_of_other_classes_are_refused(tmp_path: Path, teacher: Path) -> None:
    spec, other = NetworkSpec(18, classes=20, size=32, family_name="resnet-imagenet"), tmp_path / "other.safetensors"
    save_checkpoint(other, spec.build(), spec)
    with pytest.raises(GatewrightError, match=r"different numbers of classes: \[10, 20\]"):
        answers([teacher, other], tmp_path / "a")


class _Interrupt(Exception):
    pass


def test_an_interrupted_run_with_a_teacher_ends_with_the_same_weights(tmp_path: Path, teacher: Path) -> None:
    spec, test = NetworkSpec(8, "dual", 0.5), image_set(6, 2)

    def run(folder: Path, **options: object) -> dict[str, torch.Tensor]:
        path = train(spec, RECIPE, DATA, test, folder, seed=1, teachers=[teacher], **options)  # type: ignore[arg-type]
        return load_checkpoint(path)[0].state_dict()

    def stop(record: dict[str, object]) -> None:
        if record["epoch"] == 3:
            raise _Interrupt

    whole = run(tmp_path / "whole")
    with pytest.raises(_Interrupt):
        run(tmp_path / "parts", report=stop)
    resumed = run(tmp_path / "parts", resume=True)
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
    plain = load_checkpoint(train(spec, RECIPE, DATA, test, tmp_path / "plain", seed=1))[0].state_dict()
    assert not torch.equal(whole["conv1.weight"], plain["conv1.weight"])


def test_each_image_is_trained_on_its_own_crop_and_answer(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are replaced by the images' labels, so a batch must find its own labels in them."""
    expected = answers(teacher, tmp_path / "views")
    labels = torch.from_numpy(DATA.labels)
    monkeypatch.setattr(TeacherAnswers, "logits", lambda self, epoch: torch.eye(10)[labels])
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def loss(logits: torch.Tensor, taught: torch.Tensor, batch_labels: torch.Tensor, *rest: float) -> torch.Tensor:
        assert torch.equal(taught.argmax(1), batch_labels)
        return distillation_loss(logits, taught, batch_labels, *rest)

    def batch(self: Batches, index: torch.Tensor, crops: Crops | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        assert crops is not None
        seen.append((index, crops.shift))
        return original(self, index, crops)

    original = Batches.batch
    monkeypatch.setattr("gatewright.models.training.training.distillation_loss", loss)
    monkeypatch.setattr(Batches, "batch", batch)
    train(NetworkSpec(8), RECIPE, DATA, image_set(6, 2), tmp_path / "run", seed=1, teachers=[teacher])
    assert len(seen) == 4 * 3  # epochs, batches
    for position, (index, shift) in enumerate(seen):
        assert torch.equal(shift, expected.crops(position // 3).shift[:, index])


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # PyTorch's own, on its first compilation
def test_compiling_changes_neither_the_teachers_answers_nor_the_training(tmp_path: Path, teacher: Path) -> None:
    """But for the rounding of bfloat16; a static network, because gates draw other noise when compiled."""
    recipe, results = replace(RECIPE, epochs=2, batch_size=6, learning_rate=0.001), []
    for compiled in (False, True):
        folder = tmp_path / str(compiled)
        train(NetworkSpec(8), recipe, DATA, DATA, folder, seed=1, teachers=[teacher], compiled=compiled)
        records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        results.append((torch.load(next(folder.glob("teacher_view_3_*.pt"))), [record["loss"] for record in records]))
    (eager, eager_losses), (fused, fused_losses) = results
    torch.testing.assert_close(fused, eager, rtol=0.03, atol=0.03 * float(eager.abs().max()))
    assert fused_losses == pytest.approx(eager_losses, rel=0.05)
