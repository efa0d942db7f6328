"""The self-test on the RTL: every event in the simulator's cycle, every byte, and every counter."""

from __future__ import annotations

from pathlib import Path

from gatewright.bringup.counters import Expected
from gatewright.bringup.self_test import self_test
from gatewright.verify import design, lockstep, runner
from gatewright.verify.expectations import expect
from gatewright.verify.final_state import read_registers
from tests.bringup.test_self_test import ARCH


def test_the_rtl_passes_it_and_counts_as_expected(tmp_path: Path) -> None:
    program = self_test(ARCH).program
    expectation = expect(program, writes=False)
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, lockstep.capacity_for([expectation]))
    assert bench.capacity == runner.Capacity(), "the build is that of other tests"
    lockstep.write_jobs(bench, [expectation], tmp_path)
    runner.run(bench.build(), tmp_path)
    result = lockstep.judge(bench, expectation, tmp_path, 0)
    assert result.difference is None, result.difference
    print(f"{result.cycles:,} cycles, {result.events:,} events, {result.compared_bytes:,} bytes")
    (start,) = Expected(program, [1], None).with_dram(ARCH.dram)
    registers = read_registers(tmp_path / "image_0" / "registers.json").values
    assert {name: registers[name] for name in start.named()} == start.named()
