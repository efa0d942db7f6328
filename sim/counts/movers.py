"""LOAD, STORE, INDEX and MATMUL: what they access follows from their sizes."""

from __future__ import annotations

from gatewright.contract.arch import BEAT_BYTES, INSTRUCTION_BYTES, PARAMETER_BYTES
from gatewright.contract.encodings import MASK_WORD_BITS
from gatewright.contract.isa import Space, Stationary
from gatewright.sim.counts.ports import CELLS, MACS, Counts, Executed, words


def load(one: Executed) -> Counts:
    """A beat a word of the scratchpad, two entries of parameters, ...: by the space."""
    moved = one.done["bytes"]
    row_bytes = one["row_beats"] * BEAT_BYTES
    rows = moved // row_bytes if row_bytes else 0
    found = {"dram.read": moved, "tables.read": rows if one.lists("row_table") else 0}
    space = Space(one["space"])
    if space == Space.SCRATCHPAD:
        found["scratchpad.write"] = moved // BEAT_BYTES * int(words(one["address"], BEAT_BYTES, BEAT_BYTES))
    elif space == Space.WEIGHTS_BY_VECTOR:
        found["weight.write"] = rows * one["count"] * one.arch.rows
    elif space == Space.WEIGHTS_BY_REDUCTION:
        found["weight.write"] = rows * one["taps"] * one["vectors"]
    elif space == Space.PARAMETERS:
        found["parameters.write"] = moved // PARAMETER_BYTES
    elif space == Space.TABLE:
        found["tables.write"] = one["count"] if rows else 0
    else:
        found["instructions.write"] = moved // INSTRUCTION_BYTES
    return found


def store(one: Executed) -> Counts:
    """A word of the scratchpad is a beat."""
    return {"dram.write": one.done["bytes"], "scratchpad.read": one.done["bytes"] // BEAT_BYTES}


def index(one: Executed) -> Counts:
    """All words of the mask, and what is listed of it."""
    return {"masks.read": -(-one["bits"] // MASK_WORD_BITS), "tables.write": one.done["filters"]}


def matmul(one: Executed) -> Counts:
    """Each standing vector once a slice, each streamed one once a slice and block; sums in as many accumulations."""
    blocks, slices = one.done["blocks"], one.done["slices"]
    if not blocks:
        return {}
    pixels, filters = one.done["pixels"], one.done["filters"]
    filters_stand = one["stationary"] == Stationary.FILTERS
    streamed = pixels if filters_stand else filters
    of_filters = slices * filters * (1 if filters_stand else blocks)
    of_pixels = slices * pixels * (blocks if filters_stand else 1)
    listed = one.lists("filter_table") and not one["in_order"]
    return {
        "weight.read": of_filters,
        "patch.read": of_pixels if one.done["reduction"] else 0,
        "tables.read": filters if listed else 0,
        "accumulators.write": blocks * slices * streamed,
        "accumulators.read": blocks * streamed * (slices if one["accumulate"] else slices - 1),
        MACS: one.done["macs"],
        CELLS: blocks * slices * streamed * one.arch.peak_macs,
    }
