"""``gatewright import``: an ONNX file as an exported program, ``NAME.pt2``, that the machine takes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gatewright.compiler.frontend.exported import SUFFIX, load_exported
from gatewright.compiler.quantise.given import GivenRanges, weights_kept
from gatewright.contract.errors import GatewrightError
from gatewright.from_onnx.convert import Converted, convert
from gatewright.models.own import Resize
from gatewright.own_network import calibration_path, keep_given_ranges


@dataclass(frozen=True)
class Imported:
    """What was made of an ONNX file: the program's ``path``, how it was taken, and how many layers it has.

    ``given`` is how the machine keeps the ranges of a quantised file, ``weights`` how many of its layers with weights
    keep the file's integers, of how many; None of a float file.
    """

    path: Path
    converted: Converted
    layers: int
    given: GivenRanges | None
    weights: tuple[int, int] | None


def import_onnx(
    source: Path,
    target: Path,
    size: tuple[int, int] | None = None,
    outputs: Sequence[str] = (),
    symmetric: bool = False,
    as_float: bool = False,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    resize: Resize = "cover",
    bgr: bool = False,
) -> Imported:
    """Write an ONNX file's network as an exported program, if the machine has all its layers.

    The file takes images from blue to red, if ``bgr``; the program takes them from red to blue in any case. A quantised
    file's ranges are written beside it, with how its images are made (``own_network.Calibration``).

    Raises
    ------
    GatewrightError
        The file cannot be taken (``from_onnx.convert``), the compiler refuses a layer or a combination of layers, or
        the program cannot be written.
    """
    if target.suffix != SUFFIX:
        raise GatewrightError(
            f"{target}: an exported program's name ends with {SUFFIX}; for example {source.stem}{SUFFIX}"
        )
    partial = target.with_name(target.name.removesuffix(SUFFIX) + ".partial" + SUFFIX)
    try:  # before the work: torch's own exception does not say why it cannot write
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise GatewrightError(f"cannot write {target}: {error.strerror}") from error
    converted = convert(source, size, outputs, symmetric, as_float, bgr)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch.export warns about its own internals
            program = torch.export.export(converted.network, (torch.zeros(1, *converted.shape),))
            torch.export.save(program, partial)
        graph = load_exported(partial).graph
        partial.replace(target)
        calibration_path(target).unlink(missing_ok=True)  # of another program
    except OSError as error:
        raise GatewrightError(f"cannot write {target}: {error.strerror}") from error
    except GatewrightError as error:
        reason = str(error).removeprefix(f"exported program {partial}: ")
        raise GatewrightError(f"{source}: {reason}") from error
    finally:
        partial.unlink(missing_ok=True)
    if not graph.rounding:
        return Imported(target, converted, len(graph.layers), None, None)
    given = keep_given_ranges(target, mean, std, resize)
    return Imported(target, converted, len(graph.layers), given, weights_kept(graph))
