"""``gatewright import``: an ONNX file as an exported program, ``NAME.pt2``, that the machine takes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gatewright.compiler.frontend.exported import SUFFIX, load_exported
from gatewright.contract.errors import GatewrightError
from gatewright.from_onnx.convert import Converted, convert


@dataclass(frozen=True)
class Imported:
    """What was made of an ONNX file: the program's ``path``, how it was taken, and its layers."""

    path: Path
    converted: Converted
    layers: int


def import_onnx(
    source: Path,
    target: Path,
    size: tuple[int, int] | None = None,
    outputs: Sequence[str] = (),
    symmetric: bool = False,
    as_float: bool = False,
) -> Imported:
    """Write an ONNX file's network as an exported program, if the machine has all its layers.

    Raises
    ------
    GatewrightError
        The file cannot be taken (``from_onnx.convert``), the compiler refuses a layer or a combination of layers, or the
        program cannot be written.
    """
    if target.suffix != SUFFIX:
        raise GatewrightError(f"{target}: an exported program's name ends with {SUFFIX}; for example {source.stem}{SUFFIX}")
    converted = convert(source, size, outputs, symmetric, as_float)
    partial = target.with_name(target.name.removesuffix(SUFFIX) + ".partial" + SUFFIX)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch.export warns about its own internals
            program = torch.export.export(converted.network, (torch.zeros(1, *converted.shape),))
            torch.export.save(program, partial)
        layers = len(load_exported(partial).graph.layers)
        partial.replace(target)
    except OSError as error:
        raise GatewrightError(f"cannot write {target}: {error.strerror}") from error
    except GatewrightError as error:
        reason = str(error).removeprefix(f"exported program {partial}: ")
        raise GatewrightError(f"{source}: {reason}") from error
    finally:
        partial.unlink(missing_ok=True)
    return Imported(target, converted, layers)
