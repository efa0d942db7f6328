"""What a file holds, checked against the dataclass that it becomes: one way to read every JSON and TOML of ours.

A kind is a dataclass, a ``TypedDict``, or a container of plain values. Types are strict (``true`` is no number, ``"3"``
neither), every key is there once, none is unknown, and numbers are finite. ``Annotated`` bounds hold. pydantic does
the work; it is imported when the first file is read, since most commands start without one.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from annotated_types import Interval

from gatewright.contract.errors import GatewrightError

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

T = TypeVar("T")

Count = Annotated[int, Interval(ge=0, lt=1 << 32)]
"""A number, size or address that the machine's 32 bits can hold."""

Total = Annotated[int, Interval(ge=0, lt=1 << 63)]
"""A sum of such numbers."""

_SHOWN = 60
"""Characters of a value that a message quotes."""

_COMPLAINTS = 3
"""Faults of a file that a message names."""


def parse_json(kind: type[T], text: str | bytes, what: str, fix: str) -> T:
    """Read JSON as ``kind``; a fault is a ``GatewrightError`` with ``what``, the key, its value and the ``fix``."""
    return parse(kind, load_json(text, what, fix), what, fix)


def load_json(text: str | bytes, what: str, fix: str) -> object:
    """JSON as it stands, for a reader that looks at its format first."""
    try:
        data: object = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise GatewrightError(f"{what} is not JSON ({error}); {fix}") from error
    return data


def format_of(data: object) -> object:
    """What a JSON or TOML file says under ``format``; None if it says nothing."""
    return data.get("format") if isinstance(data, dict) else None


def parse(kind: type[T], data: object, what: str, fix: str) -> T:
    """As ``parse_json``, from data that is read already."""
    from pydantic import ValidationError

    try:
        # Strict validation takes JSON's arrays for tuples, but not Python's lists.
        made: T = _adapter(cast(Any, kind)).validate_json(json.dumps([data], default=str))[0]
    except ValidationError as error:
        faults = [_complaint(details) for details in error.errors(include_url=False)[:_COMPLAINTS]]
        raise GatewrightError(f"{what}: {'; '.join(faults)}; {fix}") from error
    except (ValueError, RecursionError) as error:
        raise GatewrightError(f"{what} cannot be read ({error}); {fix}") from error
    except GatewrightError as error:  # of a dataclass that checks itself
        raise GatewrightError(f"{what}: {error}") from error
    missing = list(_missing(data, made, ""))
    if missing:
        raise GatewrightError(f"{what}: missing key {', '.join(missing[:_COMPLAINTS])}; {fix}")
    return made


def show(value: object) -> str:
    """A value as an error message quotes it: one line, not long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return f"an integer of {cast(int, value).bit_length()} bits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    """The kind inside a tuple: a configuration for a dataclass's reader can only be given from outside."""
    from pydantic import ConfigDict, TypeAdapter

    inside: Any = GenericAlias(tuple, (kind,))
    return TypeAdapter(inside, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))


def _complaint(details: ErrorDetails) -> str:
    path = ".".join(map(str, details["loc"][1:]))
    if details["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key {path}"
    if details["type"] == "missing":
        return f"missing key {path}"
    said = details["msg"].replace("Input should be", "must be", 1)
    if details["type"] == "dataclass_type":
        said = "must be a table of keys"
    return f"{path} = {show(details['input'])} {said}" if path else f"{show(details['input'])} {said}"


def _missing(given: object, made: object, path: str) -> Iterator[str]:
    """Keys that a dataclass's defaults stood in for: a file has to say everything."""
    if is_dataclass(made) and isinstance(given, dict):
        for field in fields(made):
            if field.name in given:
                yield from _missing(given[field.name], getattr(made, field.name), f"{path}{field.name}.")
            else:
                yield f"{path}{field.name}"
    elif isinstance(made, list | tuple) and isinstance(given, list | tuple):
        for index, (one, other) in enumerate(zip(given, made, strict=True)):
            yield from _missing(one, other, f"{path}{index}.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {show(twice)} is there twice")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")
