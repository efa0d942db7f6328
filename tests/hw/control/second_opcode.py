"""Gives STORE a second opcode, in this process only: to be imported before anything that reads the instruction set.

``python -m tests.hw.control.second_opcode SEED`` runs benches of the control parts with that instruction set. Which
bits an instruction has, where it is queued and what makes it illegal follow from the formats, so the parts and their
benches need no more than the format. It is longer than STORE's own, and names a table, which may be illegal.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from enum import IntEnum
from typing import Any

from gatewright.contract import isa

SECOND = "SECOND"


def _install() -> None:
    numbers = {opcode.name: opcode.value for opcode in isa.Opcode}
    enumeration: Any = IntEnum
    opcodes = enumeration("Opcode", numbers | {SECOND: max(numbers.values()) + 1})
    vars(isa)["Opcode"] = opcodes
    for number, form in list(isa.FORMATS.items()):
        isa.FORMATS[number] = replace(form, opcode=opcodes(number))
    sizes = {"value": 8, "address": 20, "dram_address": 32, "row_table": 5, "beats": 16, "tile": 5}
    fields = tuple(isa.Field(name, bits, "") for name, bits in sizes.items())
    isa.FORMATS[opcodes[SECOND]] = isa.Format(opcodes[SECOND], isa.Unit.STORE, fields, "")


assert "gatewright.hw.layouts" not in sys.modules, "what was imported before has the other instruction set"
_install()


def main(seed: str) -> None:
    """Run the benches; an ``AssertionError`` says what differs."""
    from dataclasses import replace

    from gatewright.hw.control.queue import InstructionQueue
    from gatewright.hw.control.sequencer import Sequencer
    from tests.hw.instructions import ARCH, UNIT_OPCODES
    from tests.support.rtl import run_bench

    assert [opcode.name for opcode in UNIT_OPCODES[isa.Unit.STORE]] == ["STORE", SECOND]
    queue = InstructionQueue(isa.Unit.STORE, replace(ARCH, queue_depth=3))
    for component, bench, env in (
        (queue, "bench_queue", {"UNIT": "STORE", "DEPTH": "3"}),
        (Sequencer(ARCH), "bench_sequencer", {}),
        (Sequencer(ARCH), "bench_sequencer_errors", {}),
    ):
        run_bench(component, f"{__spec__.name},tests.hw.control.{bench}", env={"SEED": seed, **env})
        print(f"{bench} passed")


if __name__ == "__main__":
    main(sys.argv[1])
