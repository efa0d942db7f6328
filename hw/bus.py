"""The bus to the DRAM, AXI4, from the side of the units that ask: LOAD reads, STORE writes."""

from __future__ import annotations

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.axi import ADDRESS_BITS
from gatewright.hw.signatures import BEAT_BITS


def read_bus() -> wiring.Signature:
    """AXI read channels, from the master: incrementing bursts of 16-byte beats, one ID, in order."""
    return wiring.Signature(
        {
            "ar_valid": Out(1),
            "ar_ready": In(1),
            "ar_address": Out(ADDRESS_BITS),
            "ar_length": Out(8),
            "r_valid": In(1),
            "r_ready": Out(1),
            "r_data": In(BEAT_BITS),
            "r_response": In(2),
            "r_last": In(1),
        }
    )


def write_bus() -> wiring.Signature:
    """AXI write channels, from the master."""
    return wiring.Signature(
        {
            "aw_valid": Out(1),
            "aw_ready": In(1),
            "aw_address": Out(ADDRESS_BITS),
            "aw_length": Out(8),
            "w_valid": Out(1),
            "w_ready": In(1),
            "w_data": Out(BEAT_BITS),
            "w_last": Out(1),
            "b_valid": In(1),
            "b_ready": Out(1),
            "b_response": In(2),
        }
    )
