"""The report as data: every figure that the page shows, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import REPORT
from gatewright.measure.block_work import UNITS as BLOCK_UNITS
from gatewright.measure.block_work import block_rows
from gatewright.measure.by_class import UNITS as CLASS_UNITS
from gatewright.measure.by_class import class_statistics
from gatewright.measure.causes import MEANINGS, TITLES, Cause
from gatewright.measure.easy_and_hard import UNITS as EASY_AND_HARD_UNITS
from gatewright.measure.easy_and_hard import easy_and_hard
from gatewright.measure.exit_statistics import UNITS as EXIT_UNITS
from gatewright.measure.exit_statistics import exit_rows
from gatewright.measure.gate_statistics import gate_rows, overall_flip_rate
from gatewright.measure.layer_rows import layer_rows
from gatewright.measure.records import ImageRecord, RunRecord
from gatewright.measure.sharing import UNITS as SHARING_UNITS
from gatewright.measure.sharing import SharingRow
from gatewright.measure.units import UNITS
from gatewright.measure.waterfall import ACCOUNTING, Waterfall, waterfall

PERCENTILES = (5, 50, 95, 99)
"""Of the cycles of images."""
_STEP_TITLES = {ACCOUNTING: "MACs outside the ratio", **{str(cause): title for cause, title in TITLES.items()}}
_STEP_MEANINGS = {
    ACCOUNTING: "Useful MACs beyond or short of the MAC ratio, which counts the gates' own MACs as well: "
    "those are part of gate evaluation here.",
    **{str(cause): meaning for cause, meaning in MEANINGS.items()},
}


def percentiles(cycles: Sequence[int] | npt.NDArray[np.int64]) -> dict[int, int]:
    """``PERCENTILES`` of the cycles of images [N]; each is that of a real image, not a value between two."""
    return {p: int(np.percentile(cycles, p, method="inverted_cdf")) for p in PERCENTILES}


def build_report(
    arch: ArchConfig,
    network: dict[str, Any],
    dense: RunRecord,
    images: list[ImageRecord],
    flips: dict[str, float],
    sharing: Sequence[SharingRow] = (),
    explanation: dict[str, Any] | None = None,
    classes: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything the report says, as plain data.

    Parameters
    ----------
    arch
        The machine that all runs were made for.
    network
        ``name``, ``checkpoint`` and ``target_density``; where images have no label ``no_accuracy``, the reason; further
        keys are kept, their values must be text.
    dense
        The run of the same network without gates.
    images
        One record per image; at least one.
    flips
        Per gate, the share of its decisions that differ between float and int8.
    sharing
        Images alone, and several at a time; empty if that was not asked for.
    explanation
        What ``gatewright explain`` finds out, which has units of its own; None if that was not asked for.
    classes
        What classes are called, by number; empty where they have numbers only.
    """
    if not images:
        raise GatewrightError("a report needs at least one image")
    needed = {"name", "checkpoint", "target_density"}
    if any(image.label is None for image in images):
        needed.add("no_accuracy")
    missing = sorted(needed - set(network))
    if missing:
        raise GatewrightError(f"the report's network lacks {', '.join(missing)}")
    if any(run.peak != arch.peak_macs for run in (dense, *(image.run for image in images))):
        raise GatewrightError(f"the report's runs were not made for arch {arch.name} of {arch.peak_macs} MACs a cycle")
    kinds = dict(dense.kinds)
    for image in images:  # the gated network knows which of the dense run's layers its gates touch
        kinds.update(image.run.kinds)
    waterfalls = [_waterfall(dense, image.run, kinds) for image in images]
    gates, exits, blocks = gate_rows(images, flips), exit_rows(images), block_rows(dense, images)
    by_class = class_statistics(images)
    return {
        "format": REPORT.name,
        "arch": arch.to_dict(),
        "network": dict(network),
        "summary": _summary(arch, dense, images, waterfalls, overall_flip_rate(gates)),
        "waterfall": _mean_waterfall(waterfalls),
        "cycles_by_cause": _cycles_by_cause(dense, images, kinds),
        "images": [_image_row(dense, image, fall) for image, fall in zip(images, waterfalls, strict=True)],
        "layers": layer_rows(dense, [image.run for image in images], kinds),
        "gates": gates,
        "blocks": blocks,
        "class_names": list(classes),
        "by_class": by_class,
        "exits": exits,
        "sharing": list(sharing),
        "explanation": explanation,
        "roofline": {
            "peak_macs": arch.peak_macs,
            "dram_bytes_per_cycle": BEAT_BYTES * arch.dram.beats / arch.dram.per_cycles,
        },
        "maps": easy_and_hard(images),
        "units": {
            **UNITS,
            **(EXIT_UNITS if exits else {}),
            **(BLOCK_UNITS | EASY_AND_HARD_UNITS if blocks else {}),
            **(CLASS_UNITS if by_class else {}),
            **(SHARING_UNITS if sharing else {}),
        },
    }


def _waterfall(dense: RunRecord, run: RunRecord, kinds: Mapping[str, str]) -> Waterfall:
    return waterfall(dense.folded(kinds), run.folded(kinds), run.peak, dense.macs, run.macs)


def _summary(
    arch: ArchConfig,
    dense: RunRecord,
    images: Sequence[ImageRecord],
    falls: Sequence[Waterfall],
    flip_rate: float,
) -> dict[str, float | int | None]:
    judged = all(image.label is not None for image in images)
    cycles = np.array([image.run.cycles for image in images])
    theoretical = np.array([fall.theoretical for fall in falls])
    realised = np.array([fall.realised for fall in falls])
    clock = arch.clock_mhz * 1e6
    replayed = [image.replay_cycles for image in images if image.replay_cycles is not None]
    replay = {"cycles_replay_mean": float(np.mean(replayed))} if len(replayed) == len(images) else {}
    return {
        **replay,
        "images": len(images),
        "top1_float": float(np.mean([image.predicted_float == image.label for image in images])) if judged else None,
        "top1_int8": float(np.mean([image.predicted_int8 == image.label for image in images])) if judged else None,
        "gate_flip_rate": flip_rate,
        "macs_dense": dense.macs,
        "macs_gated_mean": float(np.mean([image.run.macs for image in images])),
        "speedup_theoretical_mean": float(theoretical.mean()),
        "speedup_realised_mean": float(realised.mean()),
        "speedup_realised_of_means": float(dense.cycles / cycles.mean()),
        "realised_over_theoretical_mean": float((realised / theoretical).mean()),
        "realised_over_theoretical_of_means": float(realised.mean() / theoretical.mean()),
        "cycles_dense": dense.cycles,
        "cycles_gated_mean": float(cycles.mean()),
        **{f"cycles_gated_p{p}": value for p, value in percentiles(cycles).items()},
        "utilisation_dense": dense.utilisation,
        "utilisation_gated_mean": float(np.mean([image.run.utilisation for image in images])),
        "frames_per_second_dense": float(clock / dense.cycles),
        "frames_per_second_gated": float(clock / cycles.mean()),
    }


def _mean_waterfall(falls: Sequence[Waterfall]) -> dict[str, Any]:
    """The mean over images of every step; a mean of exact sums, so it too ends at the mean realised speedup."""
    speedup = float(np.mean([fall.theoretical for fall in falls]))
    steps: list[dict[str, str | float]] = []
    result: dict[str, Any] = {"theoretical": speedup, "steps": steps}
    for number, step in enumerate(falls[0].steps):
        after = float(np.mean([fall.steps[number].speedup_after for fall in falls]))
        steps.append(
            {
                "cause": step.cause,
                "title": _STEP_TITLES[step.cause],
                "meaning": _STEP_MEANINGS[step.cause],
                "cycles": float(np.mean([fall.steps[number].cycles for fall in falls])),
                "speedup_before": speedup,
                "speedup_after": after,
                "speedup_lost": speedup - after,
            }
        )
        speedup = after
    result["realised"] = float(np.mean([fall.realised for fall in falls]))
    return result


def _cycles_by_cause(
    dense: RunRecord, images: Sequence[ImageRecord], kinds: Mapping[str, str]
) -> list[dict[str, str | float]]:
    folded = [image.run.folded(kinds) for image in images]
    parts = dense.folded(kinds)
    return [
        {
            "cause": str(cause),
            "title": TITLES[cause],
            "meaning": MEANINGS[cause],
            "cycles_dense": parts[cause] / dense.peak,
            "cycles_gated_mean": float(np.mean([run[cause] for run in folded])) / dense.peak,
        }
        for cause in Cause
    ]


def _image_row(dense: RunRecord, image: ImageRecord, fall: Waterfall) -> dict[str, Any]:
    return {
        "index": int(image.index),
        "label": image.label,
        "predicted_float": image.predicted_float,
        "predicted_int8": image.predicted_int8,
        "macs_dense": dense.macs,
        "macs_gated": image.run.macs,
        "cycles_dense": dense.cycles,
        "cycles_gated": image.run.cycles,
        "speedup_theoretical": fall.theoretical,
        "speedup_realised": fall.realised,
        "utilisation": image.run.utilisation,
        "macs_by_block": [block.macs for block in image.run.blocks],
        "exit": image.exit,
        "waterfall": [
            {
                "cause": step.cause,
                "cycles": step.cycles,
                "speedup_before": step.speedup_before,
                "speedup_after": step.speedup_after,
                "speedup_lost": step.lost,
            }
            for step in fall.steps
        ],
    }
