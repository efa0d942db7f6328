"""The command that adds a trained checkpoint to the zoo: publish."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command(
    epilog="Example: gatewright publish runs/dgnet-0.4/model.safetensors --data cifar-10-python.tar.gz "
    "--command 'gatewright train ...' --hardware '2 cores' --wall-time 3600 --epochs 24"
)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="CIFAR-10: archive or unpacked folder.")
@click.option("--command", "made_by", required=True, help="The commands that trained it.")
@click.option("--seed", type=int, default=0, help="Seed of the training.")
@click.option("--epochs", type=int, required=True, help="Epochs of the training, in all.")
@click.option("--hardware", required=True, help="What it was trained on.")
@click.option("--wall-time", type=float, required=True, help="Seconds of training.")
def publish(
    checkpoint: Path, data: Path, made_by: str, seed: int, epochs: int, hardware: str, wall_time: float
) -> None:
    """Copy CHECKPOINT into the zoo with its activation ranges and a card.

    The card's figures are measured here: float and int8 top-1 and gate flips on the 10,000 test
    images, the share of MACs that is left, and the mean density of every gate.
    """
    from dataclasses import asdict

    from gatewright import flow
    from gatewright.models.checkpoint import load_checkpoint, save_checkpoint
    from gatewright.models.datasets import load_cifar10
    from gatewright.models.training import evaluate_float
    from gatewright.models.zoo import FOLDER, Card, sha256

    network, spec = load_checkpoint(checkpoint)
    path = FOLDER / f"{spec.name}.safetensors"
    save_checkpoint(path, network, spec)
    flow.write_ranges(path, load_cifar10(data, "train"))
    test_set = load_cifar10(data, "test")
    floats = evaluate_float(network, test_set, progress=True)
    evaluation = flow.evaluate(flow.load_network(path), test_set)
    predictions = evaluation.predicted_int8 == test_set.labels
    card = Card(
        name=spec.name,
        command=made_by,
        data="CIFAR-10, 50,000 training and 10,000 test images",
        seed=seed,
        epochs=epochs,
        hardware=hardware,
        wall_time_s=wall_time,
        top1_float=round(float(str(floats["top1"])), 4),
        top1_int8=round(float(predictions.mean() * 100), 4),
        gate_flip_rate=round(evaluation.flips.overall, 6),
        mac_ratio=round(float(str(floats["mac_ratio"])), 6),
        gate_densities={
            name: round(float(decided.mean()), 4) for name, decided in sorted(evaluation.reference.decisions.items())
        },
        sha256=sha256(path),
    )
    path.with_suffix(".json").write_text(json.dumps(asdict(card), indent=1) + "\n")
    click.echo(json.dumps(asdict(card), indent=1))


COMMANDS: tuple[click.Command, ...] = (publish,)
