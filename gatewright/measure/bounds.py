"""What holds the cycles of a layer: the array, or the unit that the array waits for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from gatewright.contract.isa import Unit


class Holder(StrEnum):
    """Who had a cycle of the array's time."""

    ARRAY = "array"
    OPERAND = "stationary_operand"
    DRAIN = "array_drain"
    GATHER = "gather"
    EPILOGUE = "epilogue"
    INDEX = "index"
    LOAD = "load"
    STORE = "store"
    SEQUENCER = "sequencer"


HOLDER_TITLES: dict[Holder, str] = {
    Holder.ARRAY: "array",
    Holder.OPERAND: "stationary operand",
    Holder.DRAIN: "array's drain",
    Holder.GATHER: "GATHER",
    Holder.EPILOGUE: "EPILOGUE",
    Holder.INDEX: "INDEX",
    Holder.LOAD: "LOAD",
    Holder.STORE: "STORE",
    Holder.SEQUENCER: "sequencer",
}

HOLDER_MEANINGS: dict[Holder, str] = {
    Holder.ARRAY: "The array streams vectors through its standing operand.",
    Holder.OPERAND: "The array waits for its standing operand's load, or for the least distance of two accumulations.",
    Holder.DRAIN: "Nothing streams: sums are still on their way through the array, and something waits for them.",
    Holder.GATHER: "Nothing streams: patches are being formed.",
    Holder.EPILOGUE: "Nothing streams: results are being finished, written, summed or compared.",
    Holder.INDEX: "Nothing streams: a mask becomes a table.",
    Holder.LOAD: "Nothing streams: the image, filters, parameters or instructions are on their way from DRAM.",
    Holder.STORE: "Nothing streams: a result is on its way to DRAM.",
    Holder.SEQUENCER: "Nothing streams: the instruction has not been handed out, or its unit decodes it.",
}

_OF_UNIT = {
    Unit.LOAD: Holder.LOAD,
    Unit.GATHER: Holder.GATHER,
    Unit.ARRAY: Holder.DRAIN,
    Unit.EPILOGUE: Holder.EPILOGUE,
    Unit.INDEX: Holder.INDEX,
    Unit.STORE: Holder.STORE,
    Unit.SEQUENCER: Holder.SEQUENCER,
}


def holder_of(unit: Unit, working: bool) -> Holder:
    """Who holds cycles in which nothing streams, and an instruction of a unit is answerable for that."""
    return _OF_UNIT[unit] if working else Holder.SEQUENCER


def bound_by(held: Mapping[str, float]) -> str | None:
    """The holder of the most cycles; None of a layer that takes no time."""
    largest = max(held, key=lambda name: held[name], default=None)
    return largest if largest is not None and held[largest] else None
