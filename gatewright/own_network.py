"""A network as an exported program ``NAME.pt2``, and its calibration ``NAME.pt2.ranges.json`` beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval, Len

from gatewright.compiler.frontend.exported import load_exported
from gatewright.compiler.graph.graph import FloatGraph, QuantisedGraph
from gatewright.compiler.kinds.classifier import FloatClassifier
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.given import GivenRanges, given_ranges
from gatewright.compiler.quantise.quantise import quantise
from gatewright.compiler.quantise.ranges import LARGEST, Range, check_ranges
from gatewright.compiler.quantise.rounding_bias import mean_of_maps, without_rounding_bias
from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import CALIBRATION
from gatewright.contract.schema import format_of, load_json, parse
from gatewright.contract.whole_file import whole_file
from gatewright.models.own import OwnSpec, Resize, own_images

WITHOUT_RESIZE = 1
"""The version of a calibration that did not say how photographs are brought to the network's size."""

FEWEST_IMAGES = 16
"""A range that fewer images gave says little of others."""

Mean = Annotated[float, Interval(ge=-1e6, le=1e6)]
ChannelMean = Annotated[float, Interval(ge=-LARGEST, le=LARGEST)]
Deviation = Annotated[float, Interval(ge=1e-6, le=1e6)]


@dataclass(frozen=True)
class Calibration:
    """What calibration adds to an exported program.

    ``program`` is the SHA-256 of the program's file. The network's input is ``(pixel / 255 - mean) / std``, with a mean
    and a std for each channel; ``resize`` is how photographs are brought to its size (``own_images``). ``images`` is
    how many images were seen, None where the network brings its ranges along; ``ranges`` the magnitude of each tensor
    that becomes 127, ``means`` the mean of each channel of the maps that ungated convolutions read; without any
    the biases stay as they are.
    """

    format: str
    program: Annotated[str, Len(64, 64)]
    mean: tuple[Mean, ...]
    std: tuple[Deviation, ...]
    images: Annotated[int, Interval(ge=FEWEST_IMAGES, lt=1 << 32)] | None
    ranges: dict[str, Range]
    means: dict[str, tuple[ChannelMean, ...]]
    resize: Resize


def calibration_path(path: Path) -> Path:
    """Where a program's calibration lies."""
    return path.with_name(path.name + ".ranges.json")


def calibrate_own(
    path: Path,
    images: str | Path,
    count: int,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    resize: Resize = "cover",
) -> Calibration:
    """Measure ranges on the first ``count`` images of a folder, and write them beside the program.

    Ranges that the program brings along stay; then its biases do, too.

    Parameters
    ----------
    path
        The exported program.
    images
        A folder of photographs or arrays; if it holds ``train`` and ``val``, the first.
    mean, std
        Of pixels from 0 to 1, for each channel; or one for all.
    resize
        How photographs are brought to the network's size (``own_images``).

    Raises
    ------
    GatewrightError
        The program cannot be used; too few images, or one that cannot be read; a mean or std out of bounds.
    """
    exported = load_exported(path)
    shape = exported.graph.shapes[exported.graph.input]
    means, stds = _each(mean, shape.channels, "mean"), _each(std, shape.channels, "std")
    _check_normalisation(means, stds)
    loaded = own_images((shape.channels, shape.height, shape.width), means, stds, resize).load(images, "train", count)
    if len(loaded) < FEWEST_IMAGES:
        raise GatewrightError(
            f"{images} holds {len(loaded)} images; calibration needs at least {FEWEST_IMAGES}, of the kind that the "
            "network was trained on; a few hundred are better"
        )
    pixels = loaded.normalised()
    ranges = {name: _short(value) for name, value in calibrate(exported.graph, pixels).items()}
    given = given_ranges(exported.graph).ranges
    of_maps = {} if given else mean_of_maps(exported.graph, pixels)
    short = {name: tuple(map(_short, values)) for name, values in of_maps.items()}
    made = Calibration(CALIBRATION.name, exported.digest, means, stds, len(loaded), ranges | given, short, resize)
    _save(path, made)
    return made


def keep_given_ranges(
    path: Path, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,), resize: Resize = "cover"
) -> GivenRanges:
    """Of a program with scales of its own: write its ranges beside it, if it has all of them; say how they are kept.

    Raises
    ------
    GatewrightError
        As ``calibrate_own``.
    """
    exported = load_exported(path)
    channels = exported.graph.shapes[exported.graph.input].channels
    means, stds = _each(mean, channels, "mean"), _each(std, channels, "std")
    _check_normalisation(means, stds)
    given = given_ranges(exported.graph)
    if not given.missing:
        _save(path, Calibration(CALIBRATION.name, exported.digest, means, stds, None, given.ranges, {}, resize))
    return given


def _save(path: Path, made: Calibration) -> None:
    """Write a program's calibration beside it, whole or not at all."""
    target = calibration_path(path)
    with whole_file(target) as partial:
        partial.write_text(json.dumps(asdict(made), indent=1) + "\n")


def load_own(path: Path) -> tuple[OwnSpec, FloatGraph, QuantisedGraph]:
    """A calibrated program: what is known of it, what it computes, in float and in integers.

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
    damaged, fix = f"calibration {target} is damaged", f"make it again: {again}"
    data = load_json(text, damaged, fix)
    if CALIBRATION.check(format_of(data), f"calibration {target}", fix) == WITHOUT_RESIZE and isinstance(data, dict):
        data = {**data, "resize": "cover"}
    found = parse(Calibration, data, damaged, fix)
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
    of_images = own_images((shape.channels, shape.height, shape.width), found.mean, found.std, found.resize)
    spec = OwnSpec(path.name.removesuffix(".pt2"), _classes(exported.graph), of_images)
    check_ranges(found.ranges, exported.graph)
    to_round = without_rounding_bias(exported.graph, found.means, found.ranges) if found.means else exported.graph
    return spec, exported.graph, quantise(to_round, found.ranges)


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _classes(graph: FloatGraph) -> int:
    """Of the first classifier; 0 of a network that returns maps alone, such as a detector."""
    return next((len(layer.weight) for layer in graph.layers if isinstance(layer, FloatClassifier)), 0)


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
