"""Damage that any file can take: flipped bits, lost ends, and JSON whose keys, types or numbers are others."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np

Random = np.random.Generator

EXTREMES = [0, 1, -1, 2, 127, 255, 1 << 15, 1 << 16, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, 1 << 64]
EXTREMES += [-(1 << 31), -(1 << 63), 10**25, 10**400]

STRANGE = [None, True, False, "", "3", "none", [], [1], {}, {"a": 1}, 2.5, 1e308, -0.0, float("nan"), float("inf")]


def pick(rng: Random, items: list[Any]) -> Any:
    """One of the items, as it is."""
    return items[int(rng.integers(len(items)))]


def flip_bits(rng: Random, data: bytes, first: int = 0) -> bytes:
    """One to four bits of the bytes from ``first`` on."""
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if len(damaged) > first:
            damaged[int(rng.integers(first, len(damaged)))] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def cut(rng: Random, data: bytes) -> bytes:
    """Without a piece: the end, the beginning, or one from the middle."""
    low, high = sorted(int(n) for n in rng.integers(0, len(data) + 1, 2))
    return pick(rng, [data[:low], data[high:], data[:low] + data[high:]])


def damage_json(rng: Random, data: Any) -> str:
    """JSON text of data with one edit, or two, or with an edit of the text itself."""
    kind = int(rng.integers(10))
    if kind == 0:
        return flip_bits(rng, json.dumps(data).encode()).decode(errors="replace")
    if kind == 1:
        return cut(rng, json.dumps(data).encode()).decode(errors="replace")
    if kind == 2:
        return _key_twice(rng, json.dumps(data))
    edited = copy.deepcopy(data)
    for _ in range(pick(rng, [1, 1, 2])):
        edited = _edit(rng, edited)
    return json.dumps(edited)


def other_value(rng: Random, value: Any) -> Any:
    """Another number, another type, or (for a number) one nearby."""
    if isinstance(value, int) and not isinstance(value, bool) and rng.integers(3):
        nearby = [value + 1, value - 1, 2 * value, value + 16, value - 16, -value, value ^ 1 << int(rng.integers(12))]
        return pick(rng, nearby if rng.integers(2) else EXTREMES)
    if isinstance(value, float) and rng.integers(3):
        return pick(rng, [value * 2, value / 3, -value, value * 1e30, value * 1e-30, value * 1e-300, 0.0, 1e300])
    if isinstance(value, str) and rng.integers(2):
        return pick(
            rng, [value + "x", value[:-1], value.upper(), "output", "input", "map", "compact", "logits", "gate"]
        )
    return pick(rng, STRANGE + EXTREMES)


def _edit(rng: Random, data: Any) -> Any:
    """One edit, at a place that is found by walking down at random."""
    if isinstance(data, dict) and data:
        keys = list(data)
        key = pick(rng, keys)
        if isinstance(data[key], dict | list) and data[key] and rng.integers(5):
            return {**data, key: _edit(rng, data[key])}
        match int(rng.integers(6)):
            case 0:
                return {name: value for name, value in data.items() if name != key}
            case 1:
                return {**data, f"{key}{pick(rng, ['x', ' ', '_'])}": data[key]}
            case 2:
                other = pick(rng, keys)
                return {**data, key: data[other], other: data[key]}
            case _:
                return {**data, key: other_value(rng, data[key])}
    if isinstance(data, list) and data:
        at = int(rng.integers(len(data)))
        if isinstance(data[at], dict | list) and data[at] and rng.integers(5):
            return [*data[:at], _edit(rng, data[at]), *data[at + 1 :]]
        match int(rng.integers(6)):
            case 0:
                return data[:at] + data[at + 1 :]
            case 1:
                return [*data[:at], data[at], *data[at:]]
            case 2:
                other = int(rng.integers(len(data)))
                swapped = list(data)
                swapped[at], swapped[other] = data[other], data[at]
                return swapped
            case _:
                return [*data[:at], other_value(rng, data[at]), *data[at + 1 :]]
    return other_value(rng, data)


def _key_twice(rng: Random, text: str) -> str:
    """A key given twice, with two values."""
    places = [
        at for at in range(1, len(text)) if text[at - 1] in "{ " and text[at] == '"' and '": ' in text[at : at + 80]
    ]
    if not places:
        return text * 2
    at = pick(rng, places)
    end = text.index('": ', at)
    return f"{text[: end + 3]}{pick(rng, ['0', 'null', '1', '[]'])}, {text[at:]}"
