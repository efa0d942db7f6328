"""Putting a trained network into the zoo: its files, and a card whose figures are measured here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gatewright import flow
from gatewright.compiler.graph.reference import ReferenceResult
from gatewright.contract.arch import load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import CARD
from gatewright.contract.whole_file import whole_file
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.datasets.images import ImageSet
from gatewright.models.training.curves import Record, read_metrics
from gatewright.models.training.evaluation import evaluate_float
from gatewright.models.zoo.catalogue import FOLDER, Card, card, find, metrics_path, sha256

ARCH = "ultra96"


@dataclass(frozen=True)
class Origin:
    """What the log of a run does not say: the commands, the seed and the machine that trained it."""

    command: str
    seed: int
    hardware: str
    name: str | None = None
    """In the zoo, if it is not what the network's spec is called: a second network of the same spec."""


def publish(checkpoint: Path, data: Path, origin: Origin) -> Card:
    """Copy a run's checkpoint and log into the zoo, measure its ranges and figures, and write the card.

    The zoo gets all files at the end, or none.
    """
    network, spec = load_checkpoint(checkpoint)
    if spec.synthetic:
        raise GatewrightError(f"{checkpoint} is synthetic; the zoo has trained networks only")
    log = checkpoint.parent / "metrics.jsonl"
    records = read_metrics(log)
    name = origin.name or spec.name
    if Path(name).name != name:
        raise GatewrightError(f"{name!r} cannot be a network's name in the zoo: it is a path")
    train_set, test_set = (spec.family.data.load(data, split) for split in ("train", "test"))
    with TemporaryDirectory(prefix=".", dir=FOLDER) as folder:
        path = Path(folder) / f"{name}.safetensors"
        save_checkpoint(path, network, spec)
        shutil.copyfile(log, metrics_path(path))
        flow.write_ranges(path, train_set)
        made = _measured(_blank(name, path, origin, records, train_set, test_set), path, test_set)
        for file in Path(folder).iterdir():
            file.replace(FOLDER / file.name)
    return _write(made, FOLDER / path.name)  # last: a network with a card is whole


def _blank(
    name: str, path: Path, origin: Origin, records: Sequence[Record], train_set: ImageSet, test_set: ImageSet
) -> Card:
    """A card without the figures that are measured."""
    return Card(
        name=name,
        command=origin.command,
        data=f"{test_set.source.name}, {len(train_set):,} training and {len(test_set):,} test images",
        seed=origin.seed,
        epochs=len(records),
        hardware=origin.hardware,
        wall_time_s=round(sum(record["seconds"] for record in records), 1),
        top1_float=0.0,
        top1_int8=None,
        gate_flip_rate=0.0,
        gate_flips={},
        mac_ratio=1.0,
        gate_densities={},
        spatial_dependent=None,
        channel_dependent=None,
        blocks_closed=0,
        exit_shares=[],
        cycles_arch=ARCH,
        cycles_images=0,
        cycles_dense=0,
        cycles_gated=None,
        sha256=sha256(path),
    )


def measure_again(name: str, data: Path) -> Card:
    """The figures of a network of the zoo, measured anew and written into its card."""
    path = find(name)
    known = card(name)
    if known.sha256 != sha256(path):
        raise GatewrightError(f"{path} is not the checkpoint that its card describes; install gatewright again")
    _, spec = load_checkpoint(path)
    return _write(_measured(known, path, spec.family.data.load(data, "test")), path)


def _measured(blank: Card, path: Path, test_set: ImageSet) -> Card:
    network, _ = load_checkpoint(path)
    floats = evaluate_float(network, test_set, progress=True)
    quantised = flow.load_network(path)
    integers = flow.evaluate(quantised, test_set)
    cycles = flow.measure_cycles(quantised, load_arch(blank.cycles_arch), test_set.source.sample())
    return replace(
        blank,
        top1_float=round(float(str(floats["top1"])), 4),
        top1_int8=round(test_set.accuracy(integers.predicted_int8, quantised.spec.classes), 4),
        gate_flip_rate=round(integers.flips.overall, 6),
        gate_flips={name: round(share, 6) for name, share in sorted(integers.flips.gates.items())},
        mac_ratio=round(float(str(floats["mac_ratio"])), 6),
        gate_densities={
            name: round(float(decided.mean()), 4) for name, decided in sorted(integers.reference.decisions.items())
        },
        spatial_dependent=_share(floats.get("spatial_dependent")),
        channel_dependent=_share(floats.get("channel_dependent")),
        blocks_closed=int(str(floats.get("blocks_closed", 0))),
        exit_shares=_exit_shares(integers.reference),
        cycles_images=cycles.images,
        cycles_dense=cycles.dense,
        cycles_gated=cycles.gated,
    )


def _share(measured: object) -> float | None:
    """A share as a card has it; None where the network has no gates of that kind."""
    return None if measured is None else round(float(str(measured)), 4)


def _exit_shares(reference: ReferenceResult) -> list[float]:
    """The share of images that leaves at each exit, the end last; nothing without exits."""
    exits = len(reference.stages.exits)
    if not exits:
        return []
    return [round(float((reference.taken == number).mean()), 4) for number in range(exits + 1)]


def _write(made: Card, path: Path) -> Card:
    with whole_file(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps({"format": CARD.name, **asdict(made)}, indent=1) + "\n")
    return made
