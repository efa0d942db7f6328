"""A network as an exported program ``NAME.pt2``, and its calibration ``NAME.pt2.ranges.json`` beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval, Len

from gatewright.compiler.frontend.exported import load_exported
from gatewright.compiler.graph.graph import FloatGraph
from gatewright.compiler.kinds.classifier import FloatClassifier
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.ranges import Range
from gatewright.contract.errors import GatewrightError
from gatewright.contract.schema import parse_json
from gatewright.models.own import OwnSpec, own_images

Format = Literal["gatewright-calibration-1"]

FEWEST_IMAGES = 16
"""A range that fewer images gave says little of others."""

Mean = Annotated[float, Interval(ge=-1e6, le=1e6)]
Deviation = Annotated[float, Interval(ge=1e-6, le=1e6)]


@dataclass(frozen=True)
class Calibration:
    """What calibration adds to an exported program.

    ``program`` is the SHA-256 of the program's file. The network's input is ``(pixel / 255 - mean) / std``, with a mean
    and a std for each channel. ``images`` is how many images were seen, ``ranges`` the magnitude of each tensor that
    becomes 127.
    """

    format: Format
    program: Annotated[str, Len(64, 64)]
    mean: tuple[Mean, ...]
    std: tuple[Deviation, ...]
    images: Annotated[int, Interval(ge=FEWEST_IMAGES, lt=1 << 32)]
    ranges: dict[str, Range]


def calibration_path(path: Path) -> Path:
    """Where a program's calibration lies."""
    return path.with_name(path.name + ".ranges.json")


def calibrate_own(
    path: Path, images: str | Path, count: int, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,)
) -> Calibration:
    """Measure ranges on the first ``count`` images of a folder, and write them beside the program.

    Parameters
    ----------
    path
        The exported program.
    images
        A folder of photographs or arrays; if it holds ``train`` and ``val``, the first.
    mean, std
        Of pixels from 0 to 1, for each channel; or one for all.

    Raises
    ------
    GatewrightError
        The program cannot be used; too few images, or one that cannot be read; a mean or std out of bounds.
    """
    exported = load_exported(path)
    shape = exported.graph.shapes[exported.graph.input]
    means, stds = _each(mean, shape.channels, "mean"), _each(std, shape.channels, "std")
    _check_normalisation(means, stds)
    loaded = own_images((shape.channels, shape.height, shape.width), means, stds).load(images, "train", count)
    if len(loaded) < FEWEST_IMAGES:
        raise GatewrightError(
            f"{images} holds {len(loaded)} images; calibration needs at least {FEWEST_IMAGES}, of the kind that the "
            "network was trained on; a few hundred are better"
        )
    ranges = calibrate(exported.graph, loaded.normalised())
    rounded = {name: float(f"{value:.6g}") for name, value in ranges.items()}
    made = Calibration("gatewright-calibration-1", exported.digest, means, stds, len(loaded), rounded)
    target = calibration_path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        partial.write_text(json.dumps(asdict(made), indent=1) + "\n")
        partial.replace(target)
    except OSError as error:
        raise GatewrightError(f"cannot write {target}: {error.strerror}") from error
    return made


def load_own(path: Path) -> tuple[OwnSpec, FloatGraph, dict[str, float]]:
    """A calibrated program: what is known of it, what it computes, its ranges.

    Raises
    ------
    GatewrightError
        There is no calibration, it is damaged, or it is of another program.
    """
    exported = load_exported(path)
    shape = exported.graph.shapes[exported.graph.input]
    target, again = calibration_path(path), f"gatewright calibrate {path} --images FOLDER"
    if not target.is_file():
        raise GatewrightError(f"{path.name} has no ranges ({target.name} beside it); make them with: {again}")
    try:
        text = target.read_bytes()
    except OSError as error:
        raise GatewrightError(f"calibration {target} cannot be read ({error.strerror}); {again}") from error
    found = parse_json(Calibration, text, f"calibration {target} is damaged", f"make it again: {again}")
    if found.program != exported.digest:
        raise GatewrightError(
            f"calibration {target} belongs to another program: {path.name} was exported again, or is another file; "
            f"make it again: {again}"
        )
    if not len(found.mean) == len(found.std) == shape.channels:
        raise GatewrightError(
            f"calibration {target} has {len(found.mean)} means and {len(found.std)} deviations; the network's images "
            f"have {shape.channels} channels; make it again: {again}"
        )
    data = own_images((shape.channels, shape.height, shape.width), found.mean, found.std)
    spec = OwnSpec(path.name.removesuffix(".pt2"), _classes(exported.graph), data)
    return spec, exported.graph, found.ranges


def _classes(graph: FloatGraph) -> int:
    return next(len(layer.weight) for layer in graph.layers if isinstance(layer, FloatClassifier))


def _each(given: Sequence[float], channels: int, name: str) -> tuple[float, ...]:
    """One number for each channel."""
    values = tuple(map(float, given)) * (channels if len(given) == 1 else 1)
    if len(values) != channels:
        raise GatewrightError(f"{len(values)} numbers for {name}; the network's images have {channels} channels")
    return values


def _check_normalisation(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """The bounds of ``Calibration``, before work is done."""
    if not all(-1e6 <= value <= 1e6 for value in mean) or not all(1e-6 <= value <= 1e6 for value in std):
        raise GatewrightError(f"mean {mean} or std {std} is out of bounds; pixels are from 0 to 1, and std is positive")
