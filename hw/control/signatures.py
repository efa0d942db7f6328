"""What the sequencer, the queues and the units tell each other.

Every signature is written from the side that asks, but for a unit's progress, from the unit's.
"""

from __future__ import annotations

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gatewright.contract.arch import ArchConfig
from gatewright.contract.axi import ADDRESS_BITS
from gatewright.contract.encodings import INSTRUCTION_BEATS
from gatewright.contract.isa import UNITS, Unit
from gatewright.hw.layouts import COUNTS, head_layout


def head_signature(unit: Unit) -> wiring.Signature:
    """A unit's view of its queue. ``take`` in a cycle is the start s; allowed only while ``valid``.

    ``valid``: the head has been at the head for DECODE_LATENCY cycles. ``waits_met``: its waits hold now.
    ``head`` holds its value from the cycle in which it comes to the head.
    """
    return wiring.Signature({"head": In(head_layout(unit)), "valid": In(1), "waits_met": In(1), "take": Out(1)})


def progress_signature() -> wiring.Signature:
    """What a unit tells: ``start`` in cycle s, ``run`` in cycle r, ``retire`` in cycle e - 1; one cycle each."""
    return wiring.Signature({"start": Out(1), "run": Out(1), "retire": Out(1)})


def completions_signature() -> wiring.Signature:
    """The units' completion ``counts``, and by ``retires`` (by ``Unit``) those that rise at the end of this cycle.

    ``idle``: all that was given is complete, unless some was given in this cycle or the two before.
    """
    return wiring.Signature({"counts": In(COUNTS), "retires": In(UNITS), "idle": In(1)})


def boot_signature(arch: ArchConfig) -> wiring.Signature:
    """The sequencer tells LOAD to read page 0: ``start`` in cycle 0; ``done`` from the cycle e of the boot load on."""
    return wiring.Signature(
        {
            "start": Out(1),
            "address": Out(ADDRESS_BITS),
            "beats": Out(ceil_log2(arch.page_instructions * INSTRUCTION_BEATS + 1)),
            "done": In(1),
        }
    )
