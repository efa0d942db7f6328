"""Waits for what lies far back: counts are compared modulo 2^16, and a wait may not lag by half of that."""

from __future__ import annotations

from gatewright.compiler.emit.access import reads, writes
from gatewright.compiler.emit.emit import Emitter
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import COUNT_BITS, WAITS, Opcode, Unit


def test_a_store_of_what_was_written_long_ago_waits_for_a_later_count() -> None:
    emitter, count = Emitter(PRESETS["ultra96"]), (1 << (COUNT_BITS - 2)) + 50
    emitter.emit(Opcode.EPILOGUE, [writes("scratchpad", 0, 16)], tile=1)
    for _ in range(count):
        emitter.emit(Opcode.EPILOGUE, [writes("scratchpad", 1024, 1040)], tile=1)
    emitter.emit(Opcode.STORE, [reads("scratchpad", 0, 16)], dram_address=0, address=0, beats=1)
    code = emitter.finish(0)
    (store,) = code[code[:, 0] == Opcode.STORE]
    waits = {int(store[1 + 2 * wait]): int(store[2 + 2 * wait]) for wait in range(WAITS)}
    assert waits[Unit.EPILOGUE] == 51, "of 16,435 that were given: 16,384 behind"
