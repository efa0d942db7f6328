"""Distillation: softened answers of static teachers beside the labels (Hinton, Vinyals and Dean, 2015, section 2).

Several teachers answer together, by the mean of their logits: a committee knows more than its best member.

A short run has no time to learn what the labels do not say; a deeper network knows it already. Its answers depend on
the crop, and asking it for every crop of every epoch would cost more than the training. So crops come from a fixed
number of *views* of the whole set: epoch ``e`` trains on view ``e % views``, and a teacher sees each view once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint
from gatewright.models.checkpoints.pickled_tensors import load_pickled
from gatewright.models.datasets.augmentation import Batches, Crops
from gatewright.models.families.network import Network

BATCH = 250


def distillation_loss(logits: Tensor, taught: Tensor, labels: Tensor, temperature: float, weight: float) -> Tensor:
    """``(1 - weight)`` cross entropy with the labels and ``weight`` T^2 KL divergence from the teacher, per sample.

    ``logits`` and ``taught`` are [N, classes], ``labels`` [N]; the factor T^2 keeps the size of the gradient.
    """
    hard = F.cross_entropy(logits, labels)
    log_student = F.log_softmax(logits / temperature, 1)
    log_teacher = F.log_softmax(taught / temperature, 1)
    soft = F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    return (1 - weight) * hard + weight * temperature**2 * soft


class TeacherAnswers:
    """The teachers' mean logits for every image of a view; kept in ``folder``, so that a resumed run asks no more.

    The files' names say who answered: other teachers' answers are not taken for theirs.
    """

    def __init__(
        self,
        checkpoints: Sequence[str | Path],
        batches: Batches,
        folder: Path,
        seed: int,
        views: int,
        compiled: bool = False,
    ) -> None:
        self.batches, self.folder, self.seed, self.views = batches, folder, seed, views
        self.networks = [self._network(checkpoint) for checkpoint in checkpoints]
        digests = [hashlib.sha256(Path(checkpoint).read_bytes()).digest() for checkpoint in checkpoints]
        self.asked = hashlib.sha256(b"".join(sorted(digests))).hexdigest()[:8]
        counts = sorted({network.classes for network in self.networks})
        if len(counts) > 1:
            raise GatewrightError(f"the teachers know different numbers of classes: {counts}")
        (self.classes,) = counts
        frozen: dict[str, Any] = {"freezing": True}  # folds the batch norms into the filters
        self.forwards = [
            torch.compile(network, dynamic=False, options=frozen) if compiled else network for network in self.networks
        ]

    def _network(self, checkpoint: str | Path) -> Network:
        network, spec = load_checkpoint(checkpoint)
        if spec.gating != "none":
            raise GatewrightError(f"{checkpoint} has gates; a teacher is a static network")
        return network.to(self.batches.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def view(self, epoch: int) -> int:
        """The number of the epoch's view: it decides the crops, whatever the run."""
        return self.seed * self.views + epoch % self.views

    def crops(self, epoch: int) -> Crops:
        """The crops of the epoch's view, for the whole set."""
        generator = torch.Generator().manual_seed(self.view(epoch))
        return Crops.draw(len(self.batches.labels), torch.device("cpu"), generator).to(self.batches.device)

    def logits(self, epoch: int) -> Tensor:
        """[images, classes], float32, for the crops of the epoch's view."""
        file = self.folder / f"teacher_view_{self.view(epoch)}_{self.asked}.pt"
        if not file.exists():
            crops, answers = self.crops(epoch), []
            with torch.no_grad(), torch.autocast(self.batches.device.type, torch.bfloat16):
                for index in tqdm(torch.arange(len(self.batches.labels)).split(BATCH), "teacher", leave=False):
                    index = index.to(self.batches.device)
                    images, _ = self.batches.batch(index, crops.of(index))
                    each = [forward(images).float().cpu() for forward in self.forwards]
                    answers.append(torch.stack(each).mean(0))
            partial = file.with_suffix(".partial")
            torch.save(torch.cat(answers), partial)
            partial.replace(file)
        taught = load_pickled(file)
        count = len(self.batches.labels)
        if not isinstance(taught, Tensor) or taught.dtype != torch.float32 or taught.shape != (count, self.classes):
            raise GatewrightError(
                f"{file} does not hold the teachers' answers for {count} images; delete it, and they are made again"
            )
        return taught.to(self.batches.device)
