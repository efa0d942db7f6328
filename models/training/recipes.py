"""Named training schedules; ``docs/training.md`` says what each is for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

BoundGradient = Literal["mean", "official"]

SPARSITY_WEIGHT = 5.0
"""lambda of equation (10) for CIFAR-10 (paper, section 4.1)."""

BOUND_WEIGHT = 1.0
"""gamma of equation (10) for CIFAR-10 (paper, section 4.1)."""


@dataclass(frozen=True)
class Recipe:
    """A training schedule. ``epochs`` rescales whatever changes on the way, so that short runs see all of it.

    Gates have DGNet's losses, and a target density, or with ``shaping_weight`` or ``complexity_weight`` the losses of
    ``batch_shaping`` and none.
    """

    epochs: int
    learning_rate: float
    schedule: str
    """``step``: divide by ten at 50% and 75%; ``late-step``: at 60%, 75% and 90%; ``one-cycle``: linear warm-up, then
    linear to zero."""
    batch_size: int = 128
    weight_decay: float = 5e-4
    momentum: float = 0.9
    slack_decay: float = 6.0
    """alpha * epochs of the bound's annealing: 0.02 * 300 in the paper (below equation (9)). Less of it keeps
    the density of every gate near the target, which a short run would otherwise not have the time to find."""

    slack_start: float = 1.0
    """The bound's slack at the start: less than 1 for gates that have found their densities."""

    bound_gradient: BoundGradient = "mean"
    """Gradient of a density in the bound's loss: ``mean`` as equation (9) is written, the same for every decision;
    ``official`` that of the 1-norm in the public code, zero where a gate was sampled off."""

    logit_limit: float | None = None
    """Gates' logits are held within this magnitude in training; see ``gates.dgnet.limited``. None: as the paper."""

    gate_noise: float = 1.0
    """Share of the logistic noise that the gates draw; 0: they decide as in evaluation, for a network whose gates have
    learnt already."""

    gates_apart: bool = False
    """Let no gradient through the gates' inputs: else the filters, too, are changed to move the gates, and a network
    that is trained already loses its footing."""

    gate_rate: float = 1.0
    """The gates' learning rate, as a share of the network's: less for a network whose filters should have the time to
    follow what its gates decide."""

    liveness_weight: float = 0.0
    """Weight of ``losses.liveness_loss``, which the paper does not have."""

    revived_share: float | None = None
    """Begin with spatial gates that are on, and off, for at least this share of the images; see ``revival``."""

    softened: float | None = None
    """Begin with gates whose logits have at most this magnitude in the middle; see ``revival.soften``."""

    fresh_gates: bool = False
    """Of the checkpoint that a run starts from, leave the gates: they begin anew, with random weights."""

    frozen: bool = False
    """Only gates and exits learn: the filters stay, and batch norms, too, which use the averages that they have."""

    tiles_between: bool = False
    """Mask tiles between a block's convolutions in training too, as the machine does; see ``BasicBlock``."""

    exit_weight: float = 0.5
    """Weight of each early exit's answer in the loss, if there are any; that of the end is 1."""

    shaping_weight: float = 0.0
    """Lambda of the batch-shaping loss at the start; linearly zero after 20% of the run (100 of 500 epochs)."""

    complexity_weight: float = 0.0
    """Gamma of the L0 loss; zero until 20% of the run, then linearly more until 60%."""

    sparsity_weight: float = SPARSITY_WEIGHT
    bound_weight: float = BOUND_WEIGHT
    teacher_weight: float = 0.9
    """Share of the teacher in the loss, if there is one; the labels have the rest."""
    temperature: float = 4.0
    views: int = 8
    """Different crops of the whole set that a run with a teacher uses; see ``distillation``."""

    def rate(self, progress: float) -> float:
        """Learning rate at ``progress`` in [0, 1] of the run."""
        if self.schedule == "step":
            return self.learning_rate * 0.1 ** ((progress >= 0.5) + (progress >= 0.75))
        if self.schedule == "late-step":
            return self.learning_rate * 0.1 ** sum(progress >= at for at in (0.6, 0.75, 0.9))
        warm_up = 0.15
        return self.learning_rate * (progress / warm_up if progress < warm_up else (1 - progress) / (1 - warm_up))

    def slack(self, epoch: int) -> float:
        """p of equation (9)."""
        return self.slack_start * math.exp(-self.slack_decay * epoch / self.epochs)

    @property
    def shapes_batches(self) -> bool:
        """Whether gates have the losses of ``batch_shaping``."""
        return bool(self.shaping_weight or self.complexity_weight)

    def shaping(self, epoch: int) -> float:
        """Weight of the batch-shaping loss."""
        return self.shaping_weight * max(0.0, 1 - epoch / self.epochs / 0.2)

    def complexity(self, epoch: int) -> float:
        """Weight of the L0 loss."""
        return self.complexity_weight * min(1.0, max(0.0, epoch / self.epochs - 0.2) / 0.4)


DISTILLED = Recipe(
    epochs=42,
    learning_rate=0.1,
    schedule="one-cycle",
    batch_size=125,
    slack_decay=2.0,
    sparsity_weight=40.0,
    bound_weight=4.0,
)
CONTINUED = replace(
    DISTILLED, epochs=24, learning_rate=0.05, slack_decay=1.0, slack_start=0.2, tiles_between=True, views=24
)
BAS = Recipe(
    epochs=500,
    learning_rate=0.1,
    schedule="late-step",
    batch_size=256,
    shaping_weight=0.75,
    complexity_weight=0.05,
)
RECIPES = {
    "paper": Recipe(epochs=300, learning_rate=0.1, schedule="step"),
    "short": Recipe(epochs=24, learning_rate=0.2, schedule="one-cycle"),
    "short-gated": Recipe(epochs=24, learning_rate=0.1, schedule="one-cycle"),
    "distilled": DISTILLED,
    "continued": CONTINUED,
    "tightened": replace(CONTINUED, epochs=10, learning_rate=0.04, slack_start=0.7),
    "alive": replace(
        CONTINUED,
        epochs=120,
        learning_rate=0.1,
        views=40,
        slack_start=0.5,
        slack_decay=2.0,
        logit_limit=4.0,
        liveness_weight=1.0,
        fresh_gates=True,
    ),
    "bas": BAS,
    "l0": replace(BAS, shaping_weight=0.0),
    "short-bas": replace(BAS, epochs=24, schedule="one-cycle", batch_size=125, views=24),
    "continued-bas": replace(
        BAS,
        epochs=14,
        learning_rate=0.06,
        schedule="one-cycle",
        batch_size=125,
        complexity_weight=0.01,
        fresh_gates=True,
        views=7,
    ),
    "ddi-warm-up": replace(
        CONTINUED, epochs=1, views=7, fresh_gates=True, frozen=True, sparsity_weight=0.0, bound_weight=0.0
    ),
    "ddi": replace(CONTINUED, epochs=5, learning_rate=0.04, views=7, slack_start=0.6),
    "exits": replace(CONTINUED, epochs=4, learning_rate=0.04, views=7),
    "softened": replace(CONTINUED, epochs=5, learning_rate=0.03, views=5, softened=2.0, gate_noise=0.0),
    "revived": replace(
        CONTINUED,
        epochs=3,
        learning_rate=0.01,
        gate_rate=0.1,
        views=7,
        slack_start=0.0,
        logit_limit=4.0,
        gate_noise=0.0,
        gates_apart=True,
        revived_share=0.05,
        liveness_weight=0.05,
    ),
}
