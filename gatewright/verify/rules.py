"""The rules of AXI that the bench watches: their names in SystemVerilog, and what is said where one is broken."""

from __future__ import annotations

RULES = {
    "AR_UNSTABLE": "AR changed or was withdrawn before it was taken",
    "AW_UNSTABLE": "AW changed or was withdrawn before it was taken",
    "W_UNSTABLE": "W changed or was withdrawn before it was taken",
    "AR_KIND": "AR is not an incrementing burst of aligned 16-byte beats",
    "AW_KIND": "AW is not an incrementing burst of aligned 16-byte beats",
    "AR_BOUNDARY": "a read burst crosses a 4 KiB boundary",
    "AW_BOUNDARY": "a write burst crosses a 4 KiB boundary",
    "W_LAST": "WLAST is not with the last beat of its burst",
    "AR_IN_RESET": "ARVALID during reset",
    "AW_IN_RESET": "AWVALID during reset",
    "W_IN_RESET": "WVALID during reset",
    "QUEUE_FULL": "more write bursts or beats wait for their other half than any machine needs",
    "OUTSTANDING": "more read bursts are in flight than dram.outstanding",
}
"""Their codes are their places, from 1 on."""


def rule_constants() -> str:
    """A declaration of the codes by name, for SystemVerilog."""
    codes = ", ".join(f"{name} = {code}" for code, name in enumerate(RULES, start=1))
    return f"localparam logic [7:0] {codes};"


def rule_text(code: int) -> str:
    """What the rule with a code says."""
    texts = list(RULES.values())
    return texts[code - 1] if 0 < code <= len(texts) else "unknown rule"
