"""The machines that a network is tried on: each differs from the given one in one field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from gatewright.contract.arch import BEAT_BYTES, MOST_DRAM_RATE, ArchConfig, DramConfig
from gatewright.contract.errors import GatewrightError

_DOUBLED = (
    ("rows", "rows of the array"),
    ("columns", "columns of the array"),
    ("load_vectors", "standing vectors loaded a cycle"),
    ("scratchpad_kib", "KiB of scratchpad"),
    ("patch_kib", "KiB of patch buffer"),
    ("weight_kib", "KiB of weight buffer"),
    ("accumulator_depth", "entries of an accumulator bank"),
    ("parameter_entries", "parameter entries"),
    ("table_entries", "entries of a table"),
    ("tables", "tables"),
    ("instruction_entries", "entries of the instruction memory"),
    ("queue_depth", "instructions in front of a unit"),
)
"""Fields that are tried doubled and halved."""

_ADDED = (
    ("rows", 1, "one more row of the array"),
    ("columns", 1, "one more column of the array"),
    ("scratchpad_kib", 64, "64 KiB more of scratchpad"),
    ("weight_kib", 32, "32 KiB more of weight buffer"),
)

GIGABYTE = 1000
"""Megabytes a second, which are bytes a cycle at so many MHz."""


@dataclass(frozen=True)
class Change:
    """A machine: what is different, in words and as it stands in an arch file; or why it cannot be."""

    more: bool
    """Whether there is more of it, or less."""
    what: str
    line: str
    arch: ArchConfig | None
    refused: str | None = None


def changes(arch: ArchConfig) -> Iterator[Change]:
    """Every machine to try beside ``arch``, with more of one thing and then with less of it."""
    for name, step, what in _ADDED:
        yield _changed(arch, True, what, name, getattr(arch, name) + step)
    yield _dram(arch, True, "1 GB/s more of DRAM", _rate(arch, _bytes_per_cycle(arch.dram) + _gigabytes(arch, 1)))
    for more in (True, False):
        for name, what in _DOUBLED:
            value = getattr(arch, name) * 2 if more else getattr(arch, name) // 2
            yield _changed(arch, more, f"{'twice' if more else 'half'} the {what}", name, value)
        scale = Fraction(2 if more else Fraction(1, 2))
        yield _dram(arch, more, f"{_times(more)} the DRAM's rate", _rate(arch, _bytes_per_cycle(arch.dram) * scale))
        latency = arch.dram.latency // 2 if more else arch.dram.latency * 2
        yield _dram(arch, more, f"{_times(not more)} the DRAM's latency", {"latency": latency})
        bursts = int(arch.dram.outstanding * scale)
        yield _dram(arch, more, f"{_times(more)} the bursts in flight", {"outstanding": bursts})


def _times(more: bool) -> str:
    return "twice" if more else "half"


def _bytes_per_cycle(dram: DramConfig) -> Fraction:
    return Fraction(BEAT_BYTES * dram.beats, dram.per_cycles)


def _gigabytes(arch: ArchConfig, count: int) -> Fraction:
    """Bytes a cycle that make so many GB/s."""
    return Fraction(count * GIGABYTE, arch.clock_mhz)


def _rate(arch: ArchConfig, bytes_per_cycle: Fraction) -> dict[str, int]:
    """``beats`` and ``per_cycles`` of the rate, or of the port's, if that is less and was not reached yet."""
    beats = (bytes_per_cycle / BEAT_BYTES).limit_denominator(MOST_DRAM_RATE)
    if beats > 1 and arch.dram.beats < arch.dram.per_cycles:
        beats = Fraction(1)
    return {"beats": beats.numerator, "per_cycles": beats.denominator}


def _field(name: str, value: int) -> dict[str, Any]:
    return {name: value}


def _changed(arch: ArchConfig, more: bool, what: str, name: str, value: int) -> Change:
    line = f"{name} = {value}"
    try:
        return Change(more, what, line, replace(arch, **_field(name, value)))
    except GatewrightError as error:
        return Change(more, what, line, None, _reason(str(error), arch))


def _dram(arch: ArchConfig, more: bool, what: str, values: dict[str, Any]) -> Change:
    line = ", ".join(f"dram.{name} = {value}" for name, value in values.items())
    changed = replace(arch.dram, **values)
    if "beats" in values and changed.beats == changed.per_cycles and arch.dram.beats < arch.dram.per_cycles:
        what += f" (as far as the port goes: {BEAT_BYTES} bytes a cycle)"
    try:
        return Change(more, what, line, replace(arch, dram=changed))
    except GatewrightError as error:
        return Change(more, what, line, None, _reason(str(error), arch))


def _reason(text: str, arch: ArchConfig) -> str:
    return text.removeprefix(f"arch {arch.name}: ")
