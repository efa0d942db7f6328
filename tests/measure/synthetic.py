"""Made-up runs of a network of the right shape: what the report's data and page are tested with."""

from __future__ import annotations

import numpy as np

from gatewright.measure.causes import Cause
from gatewright.measure.records import BlockWork, GateDecision, ImageRecord, LayerRecord, RunRecord

PEAK = 256
BLOCKS = [(stage, block) for stage in (1, 2, 3) for block in range(3)]
_SHAPES = {1: (16, 32, 4), 2: (32, 16, 2), 3: (64, 8, 2)}
CHANNEL_GATES = [f"layer{stage}.{block}.mask_c" for stage, block in BLOCKS]
SPATIAL_GATES = [f"layer{stage}.{block}.mask_s" for stage, block in BLOCKS]


def _layer(
    name: str, kind: str, macs: int, waste: dict[Cause, int], size: int, rng: np.random.Generator
) -> LayerRecord:
    """Whole cycles: what the wasted slots leave of the last one is lane rounding too."""
    noise = {cause: int(cycles * rng.uniform(0.8, 1.2)) * PEAK for cause, cycles in waste.items()}
    parts = {Cause.USEFUL: macs, **noise} if macs else noise
    parts[Cause.LANES] = parts.get(Cause.LANES, 0) + (-macs) % PEAK
    total = sum(parts.values()) // PEAK
    return LayerRecord(name, kind, total, macs, size, size // 12, min(total, macs // PEAK + 1), parts)


def _run(rng: np.random.Generator, gated: bool, hardness: float) -> RunRecord:
    layers = [
        _layer("boot", "control", 0, {Cause.DRAM: 110}, 1024, rng),
        _layer("start", "control", 0, {Cause.DRAM: 300, Cause.DISPATCH: 4}, 3072, rng),
        _layer("conv1", "ungated", 442_368, {Cause.LANES: 300, Cause.PIPELINE: 150}, 640, rng),
    ]
    gates, blocks = [], []
    for stage, block in BLOCKS:
        channels, size, tile = _SHAPES[stage]
        name = f"layer{stage}.{block}"
        incoming = channels // 2 if stage > 1 and block == 0 else channels
        tiles = np.ones((size // tile, size // tile), np.bool_)
        active = np.ones(channels, np.bool_)
        if gated:
            y, x = np.mgrid[: tiles.shape[0], : tiles.shape[1]] / (tiles.shape[0] - 1) - 0.5
            tiles = x**2 + y**2 + rng.normal(0, 0.06, tiles.shape) < hardness * 0.5
            tendency = np.linspace(-0.6, 1.6, channels)
            active = rng.random(channels) < tendency
            gates += [
                GateDecision(f"{name}.mask_s", "spatial", tiles),
                GateDecision(f"{name}.mask_c", "channel", active),
            ]
            for gate in ("mask_s", "mask_c"):
                waste = {Cause.PIPELINE: 90, Cause.STATIONARY: 15, Cause.INDEX: 20}
                layers.append(_layer(f"{name}.{gate}", "gate", 2304, waste, 700, rng))
        pixels = int(tiles.sum()) * tile * tile
        for conv, macs in (
            ("conv1", 9 * pixels * incoming * int(active.sum())),
            ("conv2", 9 * pixels * channels * int(active.sum())),
        ):
            bytes_read = 9 * channels * (int(active.sum()) if conv == "conv2" else channels)
            waste = {Cause.LANES: macs // PEAK // 12, Cause.STATIONARY: macs // PEAK // 60, Cause.PIPELINE: 90}
            if stage == 3:
                waste[Cause.DRAM] = 220
            layers.append(_layer(f"{name}.{conv}", "gated" if gated else "ungated", macs, waste, bytes_read, rng))
        if stage > 1 and block == 0:
            shortcut = size * size * channels * incoming
            layers.append(_layer(f"{name}.downsample", "ungated", shortcut, {Cause.PIPELINE: 80}, 600, rng))
        own = [layer for layer in layers if layer.name.startswith(f"{name}.") and layer.kind != "gate"]
        names = tuple(layer.name for layer in own)
        decided = (f"{name}.mask_s", f"{name}.mask_c")
        blocks.append(BlockWork(name, decided, names, sum(layer.macs for layer in own)))
    layers.append(_layer("fc", "ungated", 640, {Cause.PIPELINE: 120, Cause.DRAM: 90}, 700, rng))
    macs = sum(layer.macs for layer in layers)
    return RunRecord(sum(layer.cycles for layer in layers), PEAK, macs, tuple(layers), tuple(gates), tuple(blocks))


def dense_run(seed: int = 0) -> RunRecord:
    """The network without gates."""
    return _run(np.random.default_rng(seed), gated=False, hardness=1)


def image_records(count: int, seed: int = 1) -> list[ImageRecord]:
    """Gated runs, with their images."""
    rng = np.random.default_rng(seed)
    records = []
    for index in range(count):
        label = int(rng.integers(10))
        correct = rng.random(2) < 0.93
        y, x = np.mgrid[:32, :32] / 31
        colours = rng.uniform(0, 255, (3, 3))
        image = np.outer(x.ravel(), colours[0]) + np.outer(y.ravel(), colours[1])
        blob = np.exp(-((x - 0.5) ** 2 + (y - 0.5) ** 2) * 14).ravel()
        image = image / 2 * (1 - blob[:, None]) + blob[:, None] * colours[2]
        records.append(
            ImageRecord(
                index=index,
                label=label,
                predicted_float=label if correct[0] else (label + 1) % 10,
                predicted_int8=label if correct[1] else (label + 3) % 10,
                run=_run(rng, gated=True, hardness=float(rng.uniform(0.25, 0.75))),
                image=image.reshape(32, 32, 3).astype(np.uint8),
            )
        )
    return records


def flip_rates(seed: int = 2) -> dict[str, float]:
    """One rate per gate."""
    rng = np.random.default_rng(seed)
    return {name: float(rng.uniform(0, 0.02)) for name in SPATIAL_GATES + CHANNEL_GATES}


NETWORK = {"name": "resnet20 <dual>", "checkpoint": "dg20_06.safetensors", "target_density": 0.4}
