"""Pictures of a training run, from the ``metrics.jsonl`` that it logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from annotated_types import Interval
from typing_extensions import TypedDict  # pydantic takes typing's from Python 3.12 on

from gatewright.contract.errors import GatewrightError
from gatewright.contract.schema import parse_json

Share = Annotated[float, Interval(ge=0, le=1)]
Percent = Annotated[float, Interval(ge=0, le=100)]


class Record(TypedDict):
    """What a run logs of an epoch; the measurements of the test set only where it was evaluated."""

    epoch: Annotated[int, Interval(ge=1)]
    loss: float
    gating_loss: float
    train_top1: Percent
    learning_rate: Annotated[float, Interval(ge=0)]
    seconds: Annotated[float, Interval(ge=0)]
    top1: NotRequired[Percent]
    mac_ratio: NotRequired[Annotated[float, Interval(ge=0)]]
    cycle_ratio: NotRequired[Annotated[float, Interval(ge=0)]]
    """By a fitted model of a machine's cycles, where the run had one."""
    spatial_density: NotRequired[list[Share]]
    """By block, as ``channel_density``."""
    channel_density: NotRequired[list[Share]]
    spatial_dependent: NotRequired[Share]
    channel_dependent: NotRequired[Share]
    blocks_closed: NotRequired[Annotated[int, Interval(ge=0)]]
    exit_shares: NotRequired[list[Share]]
    """Of the images that leave at each early exit, and at the end."""
    thresholds: NotRequired[list[float]]


_MEASURED = ("top1", "mac_ratio", "spatial_density", "channel_density")


def read_metrics(path: Path) -> list[Record]:
    """The records of a run's log, one for each epoch; a missing, empty or damaged log is an error."""
    what = f"{path} is not the log of a training run"
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GatewrightError(f"{what} ({error})") from error
    fix = "give the folder of a run of gatewright train"
    records = [parse_json(Record, line, f"{what}: line {number}", fix) for number, line in enumerate(lines, start=1)]
    if [record["epoch"] for record in records] != list(range(1, len(records) + 1)) or not records:
        raise GatewrightError(f"{what}: its {len(records)} epochs are not counted from 1 on; {fix}")
    evaluated = [record for record in records if any(key in record for key in _MEASURED)]
    if not evaluated or any(key not in record for key in _MEASURED for record in evaluated):
        raise GatewrightError(f"{what}: no epoch was evaluated, or one not wholly ({', '.join(_MEASURED)}); {fix}")
    if len({len(record[key]) for key in ("spatial_density", "channel_density") for record in evaluated}) != 1:
        raise GatewrightError(f"{what}: its epochs have different numbers of blocks; {fix}")
    return records


def draw_curves(records: list[Record], title: str, out: Path) -> None:
    """Accuracy, losses, the share of MACs and the density of every gate by epoch; the file's suffix says the format."""
    gates = bool(np.ptp([record["mac_ratio"] for record in records if "mac_ratio" in record]) > 0)
    matplotlib.rcParams["svg.hashsalt"] = title  # the same log gives the same file
    figure, axes = plt.subplots(2 if gates else 1, 2, figsize=(9, 6.4 if gates else 3.4), squeeze=False)
    figure.suptitle(title)
    _lines(axes[0, 0], records, {"top1": "test", "train_top1": "training, augmented"}, "top-1, %")
    _lines(axes[0, 1], records, {"loss": "task", "gating_loss": "gates"} if gates else {"loss": "task"}, "loss")
    axes[0, 1].set_yscale("log")
    if gates:
        for axis, kind in zip(axes[1], ("spatial", "channel"), strict=True):
            _gates(axis, records, kind)
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    metadata: Any = {"Date": None} if out.suffix == ".svg" else None
    try:
        figure.savefig(out, metadata=metadata)
    except ValueError as error:  # a format that matplotlib does not know
        raise GatewrightError(f"cannot draw {out}: {str(error).splitlines()[0]}") from error
    finally:
        plt.close(figure)


def _lines(axis: Any, records: Sequence[Mapping[str, Any]], series: dict[str, str], label: str) -> None:
    for key, name in series.items():
        points = [(record["epoch"], record[key]) for record in records if key in record]
        axis.plot(*zip(*points, strict=True), label=name)
    axis.set_xlabel("epoch")
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)
    axis.legend()


def _gates(axis: Any, records: Sequence[Mapping[str, Any]], kind: str) -> None:
    measured = [record for record in records if f"{kind}_density" in record]
    epochs = [record["epoch"] for record in measured]
    densities = np.array([record[f"{kind}_density"] for record in measured])
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.95, densities.shape[1]))
    for block, colour in enumerate(colours):
        axis.plot(epochs, densities[:, block], color=colour, label=f"block {block}" if len(colours) < 10 else None)
    axis.plot(epochs, [record["mac_ratio"] for record in measured], "k--", label="MACs left")
    axis.set_xlabel("epoch")
    axis.set_ylabel(f"{kind} gates: share on")
    axis.set_ylim(-0.02, 1.02)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=6, ncols=2)
