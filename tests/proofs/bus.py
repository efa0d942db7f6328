"""The rules of an AXI channel, in the words of the standard."""

from __future__ import annotations

from typing import Any

from amaranth import Value
from amaranth.utils import ceil_log2

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.axi import BURST_BOUNDARY
from tests.proofs.harness import Harness


def check_held(h: Harness, name: str, valid: Any, ready: Any) -> None:
    """What was offered and not accepted is still offered."""
    h.check(f"{name}_held", ~h.before(valid & ~ready, f"{name}_refused") | valid)


def check_stable(h: Harness, name: str, valid: Any, ready: Any, payload: Value) -> None:
    """What was offered and not accepted is unchanged."""
    refused = h.before(valid & ~ready, f"{name}_kept")
    h.check(f"{name}_stable", ~refused | (payload == h.before(payload, f"{name}_offered")))


def check_burst(h: Harness, name: str, valid: Any, address: Value, length: Value) -> None:
    """A burst of ``length`` + 1 whole beats lies within 4 KiB."""
    beat = ceil_log2(BEAT_BYTES)
    place = address[beat : ceil_log2(BURST_BOUNDARY)]
    h.check(f"{name}_aligned", ~valid | (address[:beat] == 0))
    h.check(f"{name}_within", ~valid | (place + length < BURST_BOUNDARY // BEAT_BYTES))
