"""Pictures of a training run, from the ``metrics.jsonl`` that it logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from gatewright.contract.errors import GatewrightError

Record = dict[str, Any]


def read_metrics(path: Path) -> list[Record]:
    """The records of a run's log, one for each epoch; a missing, empty or damaged log is an error."""
    try:
        records = [json.loads(line) for line in path.read_text().splitlines()]
        if records and all(isinstance(record["epoch"], int) for record in records):
            return records
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise GatewrightError(f"{path} is not the log of a training run ({error!r})") from error
    raise GatewrightError(f"{path} is not the log of a training run: it has no epochs")


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


def _lines(axis: Any, records: list[Record], series: dict[str, str], label: str) -> None:
    for key, name in series.items():
        points = [(record["epoch"], record[key]) for record in records if key in record]
        axis.plot(*zip(*points, strict=True), label=name)
    axis.set_xlabel("epoch")
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)
    axis.legend()


def _gates(axis: Any, records: list[Record], kind: str) -> None:
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
