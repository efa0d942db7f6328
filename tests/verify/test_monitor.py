"""The monitor passes what is as expected, and names each kind of difference where it first is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Unit
from gatewright.verify.expectations import Expectation
from gatewright.verify.lockstep import keep_waves
from tests.verify.case import expected, with_epilogue_writes, with_writes_of
from tests.verify.replay import Replay
from tests.verify.replayed import Bend, bench_for, replayed

LOAD, STORE = 1 << Unit.LOAD, 1 << Unit.STORE


def _record(expectation: Expectation, unit: Unit, number: int) -> dict[str, int]:
    record = expectation.of_unit(unit)[number]
    return {name: int(record[name]) for name in ("instruction", "dispatch", "start", "run", "done")}


def test_equal_runs_pass_one_after_the_other(tmp_path: Path) -> None:
    expectations = [with_epilogue_writes(expected(seed)) for seed in range(3)]
    results = replayed(bench_for(expectations), expectations, tmp_path)
    for result, expectation in zip(results, expectations, strict=True):
        assert result.difference is None
        assert (result.cycles, result.instructions) == (expectation.cycles, len(expectation.trace.records))
        assert (result.writes, result.dram_writes) == (2 * 51, 51 + 25)
        assert result.events == 4 * 4 + 1


def test_any_unit_may_write_to_the_scratchpad(tmp_path: Path) -> None:
    units = (Unit.LOAD, Unit.GATHER, Unit.INDEX, Unit.STORE)
    expectations = [with_writes_of(expected(seed), *units) for seed in (4, 5)]
    for result in replayed(bench_for(expectations), expectations, tmp_path):
        assert result.difference is None
        assert (result.writes, result.dram_writes) == (2 * 51, 51 + 25)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_stalls_change_no_order_and_no_byte(tmp_path: Path, seed: int) -> None:
    expectations = [with_epilogue_writes(expected(seed)) for _ in range(2)]
    results = replayed(bench_for(expectations, stall=seed), expectations, tmp_path)
    assert [result.difference for result in results] == [None, None]


def test_a_memory_of_another_maker_leaves_the_same_bytes(tmp_path: Path) -> None:
    expectations = [with_epilogue_writes(expected(7))]
    results = replayed(bench_for(expectations, stall=5, bench="protocol_bench"), expectations, tmp_path)
    assert results[0].difference is None


def _early_start(replay: Replay, e: Expectation) -> None:
    cycle = _record(e, Unit.STORE, 0)["start"]
    replay.move("start", STORE, cycle, cycle - 3)


def _late_run(replay: Replay, e: Expectation) -> None:
    cycle = _record(e, Unit.STORE, 1)["run"]
    replay.move("run", STORE, cycle, cycle + 7)


def _no_retirement(replay: Replay, e: Expectation) -> None:
    replay.move("retire", LOAD, _record(e, Unit.LOAD, 1)["done"] - 1, None)


def _extra_start(replay: Replay, e: Expectation) -> None:
    replay.set(_record(e, Unit.STORE, 1)["start"] + 9, "start", STORE)


def _late_dispatch(replay: Replay, e: Expectation) -> None:
    cycle = _record(e, Unit.STORE, 1)["dispatch"]
    replay.move("dispatch", 1, cycle, cycle + 20)
    replay.set(cycle + 20, "dispatch_unit", Unit.STORE)


def _other_unit(replay: Replay, e: Expectation) -> None:
    replay.set(_record(e, Unit.STORE, 0)["dispatch"], "dispatch_unit", Unit.INDEX)


def _no_control(replay: Replay, e: Expectation) -> None:
    replay.move("control", 1, e.cycles - 1, None)


def _early_stop(replay: Replay, e: Expectation) -> None:
    replay.move("stop", 1, e.cycles - 1, e.cycles - 2)
    replay.answers = 0


def _late_stop(replay: Replay, e: Expectation) -> None:
    replay.move("stop", 1, e.cycles - 1, e.cycles + 4)


def _error(replay: Replay, e: Expectation) -> None:
    replay.set(40, "error", 1)
    replay.registers |= {"ERROR_CODE": 7, "ERROR_INSTRUCTION": 1, "ERROR_ENTRY": 3}


def _second_boot(replay: Replay, e: Expectation) -> None:
    replay.set(300, "boot", 1)


def _write(cycle: int, name: str, change: int) -> Bend:
    def bend(replay: Replay, e: Expectation) -> None:
        replay.rows[cycle][f"write_{name}"] ^= change

    return bend


def _no_write(replay: Replay, e: Expectation) -> None:
    for cycle in (102, 101):
        replay.rows[cycle].pop("write", None)


def _extra_write(replay: Replay, e: Expectation) -> None:
    replay.rows[103] = {**replay.rows[102], **replay.rows[103]}


def _dram(data: int = 0, strobe: int = 0, last: int = 0, beat: int = 30) -> Bend:
    def bend(replay: Replay, e: Expectation) -> None:
        cycle, d, s, la = replay.beats[beat]
        replay.beats[beat] = (cycle, d ^ data, s ^ strobe, la ^ last)

    return bend


def _beat_too_many(replay: Replay, e: Expectation) -> None:
    replay.beats.append(replay.beats[-1])


def _read(cycle: int, address: int, beats: int, times: int = 1) -> Bend:
    def bend(replay: Replay, e: Expectation) -> None:
        replay.reads += [(cycle, address, beats)] * times

    return bend


def _write_burst(replay: Replay, e: Expectation) -> None:
    cycle, address, beats = replay.writes[0]
    replay.writes[0] = (cycle, address + 4, beats)


CASES: dict[str, tuple[Bend, tuple[str, ...]]] = {
    "early start": (_early_start, ("start of STORE instruction 0 ", "    1 STORE", "3 cycles early")),
    "late run": (_late_run, ("run of STORE instruction 1 ", "    3 STORE", "7 cycles late")),
    "no retirement": (_no_retirement, ("retire of LOAD instruction 1 ", "    2 LOAD", "not yet")),
    "extra start": (_extra_start, ("start of STORE instruction 2 ", "expected never")),
    "late dispatch": (_late_dispatch, ("dispatch of STORE instruction 1 ", "20 cycles late")),
    "other unit": (_other_unit, ("dispatch 1 goes to another unit", "expected STORE", "got      INDEX")),
    "no control": (_no_control, ("control of SEQUENCER instruction 0 ", "    4 END")),
    "early stop": (_early_stop, ("the end of the program",)),
    "late stop": (_late_stop, ("the end of the program", "5 cycles late")),
    "error": (_error, ("cycle 40", "stopped with an error", "READ_BUS", "after    1 dispatched", "entry 3")),
    "second boot": (_second_boot, ("boots a second time",)),
    "write address": (_write(5, "address", 16), ("cycle 5", "write 4 of LOAD", "    0 LOAD", "address 0x70")),
    "write count": (_write(60, "count", 1), ("write 8 of EPILOGUE", "17 bytes")),
    "write byte": (_write(20, "data", 0xFF << 24), ("write 19 of LOAD", "lanes    3 differ")),
    "bytes of no write": (_write(20, "count", 16), ("write 19 of LOAD",)),
    "no write": (_no_write, ("number of write events of EPILOGUE", "expected 51", "got      49")),
    "extra write": (_extra_write, ("write 51 of EPILOGUE", "expected nothing more", "got      address 0x")),
    "write of a unit that writes nothing": (_write(20, "unit", Unit.LOAD ^ Unit.STORE), ("write 0 of STORE",)),
    "write of another unit": (_write(20, "unit", Unit.LOAD ^ Unit.EPILOGUE), ("write 0 of EPILOGUE",)),
    "beat's byte": (_dram(data=1 << 127), ("beat 30 that STORE", "    3 STORE", "lanes    15 differ")),
    "beat's strobe": (_dram(strobe=2), ("beat 30 that STORE",)),
    "beat's end": (_dram(last=1), ("WLAST",)),
    "beat too many": (_beat_too_many, ("within a write burst",)),
    "read over 4 KiB": (_read(100, 4096 - 32, 3), ("AXI: a read burst crosses", f"{0x40000 + 4096 - 32:#x}")),
    "reads at once": (_read(100, 0, 16, times=40), ("AXI: more read bursts",)),
    "write over no beat": (_write_burst, ("AXI: AW is not an incrementing",)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_difference_is_named(name: str, tmp_path: Path) -> None:
    bend, phrases = CASES[name]
    expectations = [with_epilogue_writes(expected(seed)) for seed in (1, 2)]
    first, second = replayed(bench_for(expectations), expectations, tmp_path, bend)
    assert first.difference is None
    assert second.difference is not None
    for phrase in phrases:
        assert phrase in second.difference, second.difference


def test_an_address_that_changes_while_it_waits_is_named(tmp_path: Path) -> None:
    expectations = [with_epilogue_writes(expected(1))]

    def bend(replay: Replay, e: Expectation) -> None:
        replay.unstable = True
        replay.reads += [(cycle, 0, 1) for cycle in range(1, 600)]

    (result,) = replayed(bench_for(expectations, stall=2), expectations, tmp_path, bend)
    assert result.difference is not None and "AR changed or was withdrawn" in result.difference


def test_a_machine_that_does_not_start_is_given_up(tmp_path: Path) -> None:
    def bend(replay: Replay, e: Expectation) -> None:
        replay.mute = True

    expectations = [expected(1)]
    with pytest.raises(GatewrightError, match="was started and nothing ended in 5324 cycles"):
        replayed(bench_for(expectations), expectations, tmp_path, bend)


@pytest.mark.parametrize("bent", ["beat", "write", "register"])
def test_without_single_writes_the_final_state_is_compared(bent: str, tmp_path: Path) -> None:
    whole = with_epilogue_writes(expected(3))
    expectation = replace(whole, writes=None)

    def bend(replay: Replay, e: Expectation) -> None:
        from tests.verify.replay import faithful

        full = faithful(whole)
        replay.rows, replay.writes, replay.beats = full.rows, full.writes, full.beats
        if bent == "beat":
            _dram(data=1 << 8, beat=0)(replay, whole)
        elif bent == "write":
            replay.rows[100]["write_data"] ^= 1
        else:
            replay.registers["CYCLES"] += 1

    (result,) = replayed(bench_for([expectation]), [expectation], tmp_path, bend)
    text = {"beat": "DRAM: 1 bytes differ", "write": "scratchpad: 1 bytes differ", "register": "register CYCLES"}
    assert result.difference is not None and text[bent] in result.difference
    assert result.finding is None


def test_a_window_of_waveforms_is_kept(tmp_path: Path) -> None:
    expectations = [with_epilogue_writes(expected(seed)) for seed in (1, 2)]
    bench = bench_for(expectations)
    job = tmp_path / "job"
    job.mkdir()
    result = replayed(bench, expectations, job, _late_run)[1]
    kept = keep_waves(bench, result, job, tmp_path / "out" / "window.vcd")
    assert kept.waves is not None and kept.difference == result.difference
    text = kept.waves.read_text()
    assert "trace_start" in text and len(text) > 10_000
