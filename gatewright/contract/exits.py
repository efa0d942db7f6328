"""Early exits of a program: where its gates' thresholds lie in the image, and how they are changed there.

An exit gives logits, and ends the image if any of them reaches the threshold of its class. The machine compares
integers: it adds to each sum the logit's bias less its limit, and looks at the sign. Both biases lie in the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import PARAMETER_BYTES
from gatewright.contract.encodings import PARAMETER_DTYPE
from gatewright.contract.errors import GatewrightError

if TYPE_CHECKING:
    from gatewright.contract.program import Program
    from gatewright.contract.program_parts import ExitRecord

MOST_LOGIT = 1 << 30
"""Logits of an exit lie below it, and limits up to it: so their difference fits 32 bits whatever the thresholds are."""


def integer_limits(thresholds: Sequence[float] | npt.NDArray[np.float64], unit: float, strict: bool) -> list[int]:
    """The integer logits from which on a class answers, for thresholds in real numbers.

    ``unit`` is the value of one unit of the integer logits. ``strict``: the threshold must be exceeded. A threshold
    beyond every logit becomes a limit that is always, or never, reached; one may be infinite.
    """
    found = []
    for threshold in thresholds:
        if isnan(threshold):
            raise GatewrightError("a threshold of an early exit is not a number; give real ones")
        steps = min(max(float(threshold) / unit, -float(MOST_LOGIT)), float(MOST_LOGIT))
        limit = int(np.floor(steps)) + 1 if strict else int(np.ceil(steps))
        found.append(min(limit, MOST_LOGIT))
    return found


def limits_of(program: Program, record: ExitRecord) -> npt.NDArray[np.int64]:
    """The integer logits [classes] from which on an exit's classes answer, as its parameters in the image say."""
    (logits, compared) = _biases(program, record, program.image)
    return logits.astype(np.int64) - compared


def _biases(
    program: Program, record: ExitRecord, image: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """What is added to the sums that become logits, and to those that are compared with 0: places in the image."""
    (classes,) = (output.channels for output in program.outputs if output.name == record.output)
    size = classes * PARAMETER_BYTES
    entries = image[record.parameters : record.parameters + 2 * size].view(PARAMETER_DTYPE)["bias"]
    return entries[:classes], entries[classes:]


def thresholds_of(program: Program, record: ExitRecord) -> list[float]:
    """An exit's thresholds [classes] in real numbers: the values of its limits, and infinite where no logit decides.

    Of a strict exit, those that must be exceeded.
    """
    unit = next(one.scale for one in program.outputs if one.name == record.output)
    ends = {MOST_LOGIT: float("inf"), -MOST_LOGIT: -float("inf"), 1 - MOST_LOGIT: -float("inf")}
    return [ends.get(limit, (limit - record.strict) * unit) for limit in limits_of(program, record).tolist()]


def with_thresholds(program: Program, exit_name: str, thresholds: Sequence[float] | float) -> Program:
    """The program with other thresholds of one of its exits: its image alone is changed, nothing is compiled.

    Parameters
    ----------
    program
        A live program: one that was compiled for an image has no exit left to decide about.
    exit_name
        The name of the exit, as in ``Program.exits``.
    thresholds
        In real numbers, one for each class; or one for all.
    """
    record = next((one for one in program.exits if one.name == exit_name), None)
    if record is None:
        names = ", ".join(one.name for one in program.exits) or "none"
        raise GatewrightError(f"the program has no exit {exit_name!r}; it has {names}")
    if not program.live:
        raise GatewrightError(
            f"exit {exit_name}: the program was compiled for one image, which leaves where it leaves; compile a live "
            "program, whose thresholds can be changed"
        )
    output = next(one for one in program.outputs if one.name == record.output)
    numbers = [float(thresholds)] * output.channels if isinstance(thresholds, int | float) else list(thresholds)
    if len(numbers) != output.channels:
        raise GatewrightError(
            f"exit {exit_name}: {len(numbers)} thresholds for {output.channels} classes; give one for each, or one"
        )
    limits = integer_limits(numbers, output.scale, record.strict)
    image = program.image.copy()
    logits, compared = _biases(program, record, image)
    compared[:] = logits.astype(np.int64) - limits
    return replace(program, image=image)
