"""The stages of EPILOGUE's pipeline, by number."""

from __future__ import annotations

from gatewright.contract.timing import EPILOGUE_LATENCY
from gatewright.hw.signatures import MASK_WRITE

READ, BIAS, STEP, ADDRESS, MASK, SATURATE, COLLECT, POOLED, OUTPUT = 2, 4, 6, 8, 9, 9, 10, 12, 13
"""Stages whose results are registers of the next one. READ: the accumulator's address is a register in this one, its
data arrive in BIAS, with the slot's parameter; then a value goes through two registers of the product and two of the
shift. ADDRESS: taken from its queue. MASK: the request to the masks, in this cycle. COLLECT: transposer, sums of tiles;
from there on averages have a product of their own, which ends in POOLED. OUTPUT: into the request to the scratchpad."""

assert MASK + MASK_WRITE <= EPILOGUE_LATENCY

RAW_STAGE = BIAS + 1
"""Raw totals leave from here: their slots enter RAW_DELAY cycles later than others."""

RAW_DELAY = 6
"""Raw totals are written in the three last stages of the contract, the first of them OUTPUT - 2."""
