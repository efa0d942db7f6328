"""Faults of ``only``, by which MATMUL and EPILOGUE have work or none, in the RTL and in both simulators."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_LEGALITY = "tests/hw/control/test_sequencer.py -k illegal"

HARDWARE_ONLY = [
    Mutant(
        "a-full-block-in-both-ways",
        "hw/control/sizes.py",
        "Mux(only == Only.FEWER, 0, limit)",
        "limit",
        "a block of filters that is full is multiplied twice, and written twice",
    ),
    Mutant(
        "a-block-that-is-not-full-in-both-ways",
        "hw/control/sizes.py",
        "Mux(only == Only.ALL, 0, inside)",
        "inside",
        "filters that do not fill a block are multiplied and written twice",
    ),
    Mutant(
        "only-of-no-value-unchecked",
        "hw/control/operand_rules.py",
        "fields.only > max(Only),",
        "",
        "an EPILOGUE with an undefined value of only runs without a word",
        _LEGALITY,
    ),
    Mutant(
        "only-of-windows-unchecked",
        "hw/control/operand_rules.py",
        "        | fields.only.any()\n",
        "",
        "windows have no work without a word",
        _LEGALITY,
    ),
]

SIMULATOR_ONLY = [
    Mutant(
        "fast-only-of-what-is-there",
        "sim/fast/sizes.py",
        "0 < filters < limit",
        "0 < filters < limit - 1",
        "a block that lacks one filter counts as full",
    ),
    Mutant(
        "stepped-only-the-other-way-round",
        "sim/stepped/instruction.py",
        "(Only.FEWER if complete else Only.ALL)",
        "(Only.ALL if complete else Only.FEWER)",
        "full blocks have no work where they should have",
    ),
]
