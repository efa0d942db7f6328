"""The users of the scratchpad for its own tests, and their widths for its bench."""

from __future__ import annotations

import json
from collections.abc import Mapping

from amaranth.lib.wiring import Signature

from gatewright.hw.signatures import scratchpad_read, scratchpad_write

READERS = {"gather": 48, "epilogue_read": 32, "store": 16}
WRITERS = {"epilogue_write": 48, "load": 16}
"""The machine's: bytes of a request."""

MORE_READERS = {**READERS, "wide_read": 48}
MORE_WRITERS = {**WRITERS, "middle_write": 32, "other_load": 16, "other_write": 48}
"""And of a machine with more of them."""


def asked(readers: Mapping[str, int] = READERS, writers: Mapping[str, int] = WRITERS) -> dict[str, Signature]:
    """What ``Scratchpad`` is made for."""
    reads = {name: scratchpad_read(width) for name, width in readers.items()}
    return reads | {name: scratchpad_write(width) for name, width in writers.items()}


def bench_environment(
    readers: Mapping[str, int] = READERS, writers: Mapping[str, int] = WRITERS, /, **others: int
) -> dict[str, str]:
    """The variables that the bench reads."""
    lists = {"READERS": json.dumps(dict(readers)), "WRITERS": json.dumps(dict(writers))}
    return lists | {name: str(value) for name, value in others.items()}
