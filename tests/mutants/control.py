"""Faults of dispatch in the RTL: queues, waits, checks, fetch, NEXT, EXIT and END."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CONTROL = [
    Mutant(
        "third-wait-not-compared",
        "hw/control/queue.py",
        "self.met.eq(Cat(*met).all())",
        "self.met.eq(Cat(*met[:-1]).all())",
        "an instruction with three waits begins before its operands are there",
        "tests/hw/control/test_queue.py",
    ),
    Mutant(
        "completion-of-this-cycle-not-seen",
        "hw/control/queue.py",
        "met.append(holds | (needs & now))",
        "met.append(holds)",
        "an instruction begins a cycle after its wait is met",
        "tests/hw/control/test_queue.py",
    ),
    Mutant(
        "waits-of-exit-not-compared-yet",
        "hw/control/sequencer.py",
        "return age[-1] & comparison.met",
        "return comparison.met",
        "NEXT, EXIT and END run by the waits of the instruction before",
        "tests/hw/control/test_sequencer.py",
    ),
    Mutant(
        "idle-with-one-under-way",
        "hw/control/completions.py",
        "(was[1] & (less | retire))",
        "was[1]",
        "a program ends before its last instruction is complete",
        "tests/hw/control/test_queue.py -k completions",
    ),
    Mutant(
        "queue-one-shorter",
        "hw/control/queue.py",
        "self.full.eq(self.present & (count == self._depth - 1))",
        "self.full.eq(self.present & (count == self._depth - 2))",
        "the sequencer stalls an instruction too early; with a depth of 2 it overflows the queue",
        "tests/hw/control/test_queue.py",
    ),
    Mutant(
        "mask-number-unchecked",
        "hw/control/operand_rules.py",
        "return number >= MASKS",
        "return number > 2 * MASKS",
        "an instruction that names no mask reads some other one",
        "tests/hw/control/test_sequencer.py",
    ),
    Mutant(
        "wait-for-a-missing-unit",
        "hw/control/legality.py",
        "~Cat(waits[n].unit.matches(Unit.NONE, *QUEUED_UNITS) for n in range(WAITS)).all()",
        "Cat(waits[n].unit == Unit.SEQUENCER for n in range(WAITS)).any()",
        "waits for units 8 to 15 are waits for some other unit",
        "tests/hw/control/test_sequencer.py",
    ),
    Mutant(
        "exit-bit-inverted",
        "hw/control/sequencer.py",
        "(decoded[Opcode.EXIT] & self.mask.value)",
        "(decoded[Opcode.EXIT] & ~self.mask.value)",
        "easy images run to the end, hard ones exit early",
        "tests/hw/control/test_sequencer.py",
    ),
    Mutant(
        "exit-never-taken",
        "hw/control/sequencer.py",
        "(decoded[Opcode.EXIT] & self.mask.value)",
        "(decoded[Opcode.EXIT] & 0)",
        "no image exits early: right logits, no time saved",
        "tests/hw/control/test_sequencer.py",
    ),
    Mutant(
        "exit-before-its-bit-is-read",
        "hw/control/sequencer.py",
        "age = Signal(CONTROL_LATENCY)",
        "age = Signal(CONTROL_LATENCY - 1)",
        "an EXIT that nothing holds looks at the bit of another one, and NEXT, EXIT and END run a cycle early",
        "tests/hw/control/test_sequencer.py",
    ),
    Mutant(
        "fetched-places-kept-over-a-jump",
        "hw/control/fetch.py",
        "[last.eq(0), first.eq(0)]",
        "[last.eq(0)]",
        "behind a NEXT instructions come out of the places of others",
        "tests/hw/control/test_sequencer.py",
    ),
]
