"""Places of buffers in the scratchpad: first fit by life, in what is left, or around rooms that take what is left."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import product

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.errors import GatewrightError

LONG_LIVED = 5
"""Buffers that live long of which every choice of sides is tried."""

SLACK_BYTES = 64
"""Around every map: the gather's four banks may read beyond a run; nothing of it is used."""


@dataclass
class Buffer:
    """A piece of scratchpad that one or more tensors share, from its first writer to its last reader.

    ``behind``, with ``lead``: a buffer that begins so many bytes behind this one's begin, and may overlap it.
    ``flexible``: ``size`` is what it would like to have; it takes what is left, ``least`` at least.
    ``last_place``: it lies at the end if it can, so that what is below it is one gap. ``high``: it has the last place
    that is free.
    """

    names: list[str]
    size: int
    first: int
    last: int
    address: int = -1
    behind: Buffer | None = None
    lead: int = 0
    flexible: bool = False
    least: int = 0
    last_place: bool = False
    high: bool = False

    def meets(self, other: Buffer) -> bool:
        """Whether both are needed at some time."""
        return self.first <= other.last and other.first <= self.last

    @property
    def span(self) -> int:
        """Bytes with the slack behind, whole beats."""
        return -(-(self.size + SLACK_BYTES) // BEAT_BYTES) * BEAT_BYTES


def place_all(buffers: list[Buffer], arch: ArchConfig) -> None:
    """First fit, in order of creation; what is flexible last, in the largest gap that is left."""
    placed: list[Buffer] = []
    followers = {id(buffer.behind): buffer for buffer in buffers if buffer.behind is not None}
    for buffer in buffers:
        if buffer.high and not buffer.flexible:
            _place_high(buffer, placed, arch)
        elif not buffer.flexible and buffer.behind is None:
            chain = [buffer]
            while id(chain[-1]) in followers:
                chain.append(followers[id(chain[-1])])
            _place(chain, placed, arch)
    for buffer in buffers:
        if buffer.flexible:
            _place_flexible(buffer, placed, arch)


def place_around_rooms(buffers: list[Buffer], rooms: Collection[str], below: Collection[str], arch: ArchConfig) -> None:
    """The buffers of ``rooms`` get what is left: maps that may turn out smaller, ``below``, lie below them.

    Other buffers lie above, but those that live long on the side that leaves rooms most. Raises ``DoesNotFitError``.
    """
    for buffer in buffers:
        buffer.high = not {*below} & {*buffer.names}
    wishes = [buffer.size for buffer in buffers]
    place_all(buffers, arch)
    long = [buffer for buffer in buffers if buffer.high and not buffer.flexible and len(buffer.names) > 1][:LONG_LIVED]
    others = [buffer for buffer in buffers if buffer not in long]
    best, found = -1, [(buffer.address, buffer.size, buffer.high) for buffer in buffers]
    for sides in product((True, False), repeat=len(long)):
        for buffer, high in zip(long, sides, strict=True):
            buffer.high = high
        for buffer, wanted in zip(buffers, wishes, strict=True):
            buffer.size = wanted
        try:
            place_all([*long, *others], arch)
        except DoesNotFitError:
            continue
        score = sum(buffer.size for buffer in buffers if buffer.names[0] in rooms)
        if score > best:
            best, found = score, [(buffer.address, buffer.size, buffer.high) for buffer in buffers]
    for buffer, (address, size, high) in zip(buffers, found, strict=True):
        buffer.address, buffer.size, buffer.high = address, size, high


def alive(buffer: Buffer, placed: list[Buffer]) -> list[Buffer]:
    """Buffers that live at the same time, by address."""
    return sorted((b for b in placed if b.meets(buffer)), key=lambda b: b.address)


def _place(chain: list[Buffer], placed: list[Buffer], arch: ArchConfig) -> None:
    """First fit of a buffer and of those that follow it, among the buffers that live at the same time.

    A follower's place is that of the buffer before it less its lead. A buffer with followers lies at the end if it can:
    what is below it, the lead too, is one gap for the others. So does one with ``last_place``.
    """
    buffer, offsets = chain[0], [0]
    for follower in chain[1:]:
        offsets.append(offsets[-1] - -(-follower.lead // BEAT_BYTES) * BEAT_BYTES)
    address = SLACK_BYTES - offsets[-1]
    if (len(chain) > 1 or buffer.last_place) and not any(alive(own, placed) for own in chain):
        address = max(address, (arch.scratchpad_bytes - buffer.span) // BEAT_BYTES * BEAT_BYTES)
    moved = True
    while moved:
        moved = False
        for own, offset in zip(chain, offsets, strict=True):
            for other in alive(own, placed):
                low = address + offset
                if low < other.address + other.span and other.address < low + own.span:
                    address, moved = other.address + other.span - offset, True
    missing = max(address + offset + own.span for own, offset in zip(chain, offsets, strict=True))
    missing -= arch.scratchpad_bytes
    if missing > 0:
        raise _does_not_fit(buffer, buffer.size, missing, arch)
    for own, offset in zip(chain, offsets, strict=True):
        own.address = address + offset
        placed.append(own)


def _place_high(buffer: Buffer, placed: list[Buffer], arch: ArchConfig) -> None:
    """The last place that is free."""
    address = (arch.scratchpad_bytes - buffer.span) // BEAT_BYTES * BEAT_BYTES
    for other in reversed(alive(buffer, placed)):
        if address < other.address + other.span and other.address < address + buffer.span:
            address = other.address - buffer.span
    if address < SLACK_BYTES:
        raise _does_not_fit(buffer, buffer.size, SLACK_BYTES - address, arch)
    buffer.address = address
    placed.append(buffer)


def _place_flexible(buffer: Buffer, placed: list[Buffer], arch: ArchConfig) -> None:
    """The largest gap, as far as it is wanted."""
    best, low = (0, 0), SLACK_BYTES
    ends = [(other.address, other.address + other.span) for other in alive(buffer, placed)]
    for begin, end in [*ends, (arch.scratchpad_bytes, 0)]:
        best = max(best, (begin - low - SLACK_BYTES, low))
        low = max(low, end)
    size, buffer.address = best
    buffer.size = max(0, min(buffer.size, size // BEAT_BYTES * BEAT_BYTES))
    if buffer.size < buffer.least:
        raise _does_not_fit(buffer, buffer.least, buffer.least - buffer.size, arch)
    placed.append(buffer)


class DoesNotFitError(GatewrightError):
    """Maps that the scratchpad has no room for, and the bytes that are missing."""

    def __init__(self, text: str, missing: int = 0) -> None:
        super().__init__(text)
        self.missing = missing


def _does_not_fit(buffer: Buffer, size: int, missing: int, arch: ArchConfig) -> DoesNotFitError:
    return DoesNotFitError(
        f"arch {arch.name}: the scratchpad of {arch.scratchpad_kib} KiB cannot hold tensor {buffer.names[0]} "
        f"({size} bytes) beside what lives with it: {missing} bytes are missing; raise scratchpad_kib",
        missing,
    )
