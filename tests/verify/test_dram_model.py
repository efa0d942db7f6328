"""The DRAM model answers in the cycles of the contract (docs/architecture.md section 5, docs/rtl.md section 4)."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gatewright.contract.arch import BEAT_BYTES, DramConfig
from gatewright.contract.timing import STORE_LATENCY
from gatewright.verify import runner
from gatewright.verify.lockstep import Bench, judge, write_jobs
from tests.verify.case import ARCH, SLOW_DRAM, expected
from tests.verify.replay import Replay, faithful
from tests.verify.replayed import bench_for

FAST_DRAM = DramConfig(latency=2, beats=1, per_cycles=1, burst_gap=0, outstanding=1)

Burst = tuple[int, int, int]
"""The cycle in which its unit sends the address, the address, beats."""


@dataclass(frozen=True)
class Arrival:
    """What was on the bus: a beat read, or a write's answer."""

    cycle: int
    data: bytes
    response: int


def _arrivals(path: Path, letter: str) -> list[Arrival]:
    words = [line.split() for line in path.read_text().splitlines()]
    return [
        Arrival(int(cycle), bytes.fromhex(data.zfill(32))[::-1], int(response))
        for kind, cycle, data, response in words
        if kind == letter
    ]


def _beat_cycles(dram: DramConfig, bursts: list[Burst]) -> list[list[int]]:
    """The contract's formula: b(j) and the cycle of every beat."""
    cycles, end = [], None
    for sent, _, beats in bursts:
        begin = sent + dram.latency if end is None else max(sent + dram.latency, end + dram.burst_gap)
        cycles.append([begin + -(-(i + 1) * dram.per_cycles // dram.beats) - 1 for i in range(beats)])
        end = begin + -(-beats * dram.per_cycles // dram.beats)
    return cycles


def _random_bursts(rng: random.Random, dram: DramConfig, size: int, end: int) -> list[Burst]:
    """Bursts as LOAD sends them: at most one a cycle, at most ``outstanding`` in flight, none over 4 KiB.

    They read from the first ``size`` bytes and are through before cycle ``end``.
    """
    bursts: list[Burst] = []
    sent = 0
    for number in range(100):
        sent += 1 + (rng.randrange(60) if rng.random() < 0.2 else 0)
        if number >= dram.outstanding:
            sent = max(sent, _beat_cycles(dram, bursts)[number - dram.outstanding][-1] + 1)
        address = rng.randrange(size // BEAT_BYTES) * BEAT_BYTES
        most = (min(size, address // 4096 * 4096 + 4096) - address) // BEAT_BYTES
        bursts.append((sent, address, rng.randint(1, min(most, 20))))
        if _beat_cycles(dram, bursts)[-1][-1] >= end - 1:
            bursts.pop()
            break
    assert len(bursts) > 3
    return bursts


def _run(bench: Bench, replay: Replay, job: Path, dram: DramConfig) -> Path:
    expectation = expected(1, replace(ARCH, dram=dram))
    write_jobs(bench, [expectation], job)
    replay.save(job / "image_0")
    runner.run(bench.build(), job)
    result = judge(bench, expectation, job, 0)
    assert result.difference is None, result.difference
    return job / "image_0" / "arrivals.txt"


@pytest.mark.parametrize("dram", [DramConfig(), SLOW_DRAM, FAST_DRAM], ids=["default", "slow", "fast"])
def test_beats_and_answers_come_in_the_contract_s_cycles(dram: DramConfig, tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    expectation = expected(1, replace(ARCH, dram=dram))
    bench = bench_for([expectation])
    # Only what lies in front of what STORE writes: bytes that stand still.
    target = expectation.program.outputs[0].region.address
    bursts = _random_bursts(rng, dram, target, expectation.cycles)
    replay = faithful(expectation)
    replay.reads = [(sent + 1, address, beats) for sent, address, beats in bursts]
    path = _run(bench, replay, tmp_path, dram)
    beats = _arrivals(path, "r")
    assert [a.cycle for a in beats] == [cycle for burst in _beat_cycles(dram, bursts) for cycle in burst]
    places = [address + BEAT_BYTES * i for _, address, count in bursts for i in range(count)]
    assert [a.data for a in beats] == [expectation.image[at : at + BEAT_BYTES].tobytes() for at in places]
    assert all(a.response == 0 for a in beats)
    answers = [a.cycle for a in _arrivals(path, "b")]
    assert answers == _answer_cycles(dram, replay)
    # The last answer of an instruction is what its completion follows.
    done = [int(record["done"]) for record in expectation.trace.records if record["unit"] == 6]
    assert {done - 2 for done in done} <= set(answers)


def _answer_cycles(dram: DramConfig, replay: Replay) -> list[int]:
    """Bursts of one STORE follow each other; the first slot is STORE_LATENCY - 2 cycles after its start."""
    answers, end, instruction = [], 0, -1
    for bus, _, beats in replay.writes:
        if bus != instruction:
            instruction, end = bus, bus - 1 + STORE_LATENCY - 2
        end += -(-beats * dram.per_cycles // dram.beats) + dram.burst_gap
        answers.append(end + dram.latency)
    return answers


def _shared_cycles(dram: DramConfig, reads: list[Burst], replay: Replay) -> tuple[list[list[int]], list[int]]:
    """Section 9 for one channel: the cycle of every beat read, and of every answer, in the order of the addresses."""
    line = [(sent, 0, sent + dram.latency, beats) for sent, _, beats in reads]
    instruction, burst = -1, 0
    for bus, _, beats in replay.writes:
        instruction, burst = (instruction, burst + 1) if bus == instruction else (bus, 0)
        address = bus - 1 + burst
        line.append((address, 1, address + STORE_LATENCY - 2, beats))
    beat_cycles, answers, free = [], [], 0
    for _, kind, earliest, beats in sorted(line):
        begin = max(earliest, free)
        ends = [begin + -(-(i + 1) * dram.per_cycles // dram.beats) for i in range(beats)]
        free = ends[-1] + dram.burst_gap
        if kind:
            answers.append(free + dram.latency)
        else:
            beat_cycles.append([end - 1 for end in ends])
    return beat_cycles, answers


@pytest.mark.parametrize("slow", [False, True])
def test_one_channel_serves_reads_and_writes_in_the_order_of_their_addresses(slow: bool, tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    dram = replace(SLOW_DRAM if slow else DramConfig(), shared=True, outstanding=16)
    expectation = expected(1, replace(ARCH, dram=dram))
    target = expectation.program.outputs[0].region.address
    replay = faithful(expectation)
    first = replay.writes[0][0] - 1
    alone = answers = _answer_cycles(dram, replay)
    for _ in range(20):
        if answers != alone:
            break  # else no read comes in a write's way, and the draw would show nothing
        # Reads before, with, and behind the first write's address; as many as may be in flight.
        sent = sorted([*rng.sample(range(first - 20, first + 20), dram.outstanding - 1), first])
        bursts = [(cycle, BEAT_BYTES * rng.randrange(30), rng.randint(1, 20)) for cycle in sorted(set(sent))]
        while _shared_cycles(dram, bursts, replay)[1][-1] >= expectation.cycles - 1:
            bursts.pop(rng.randrange(len(bursts)))
        beat_cycles, answers = _shared_cycles(dram, bursts, replay)
    assert answers != alone
    assert len(bursts) > 3 and all(address + 20 * BEAT_BYTES <= target for _, address, _ in bursts)
    replay.reads = [(cycle + 1, address, beats) for cycle, address, beats in bursts]
    path = _run(bench_for([expectation]), replay, tmp_path, dram)
    assert [a.cycle for a in _arrivals(path, "r")] == [cycle for burst in beat_cycles for cycle in burst]
    assert [a.cycle for a in _arrivals(path, "b")] == answers


def test_a_hand_counted_burst(tmp_path: Path) -> None:
    """Sent in cycle 10, latency 64: three beats in four cycles from cycle 74 on, a gap, then the next burst's."""
    expectation = expected(1)
    replay = faithful(expectation)
    replay.reads = [(11, 0, 4), (12, 64, 1)]
    beats = _arrivals(_run(bench_for([expectation]), replay, tmp_path, DramConfig()), "r")
    # The first four take ceil(16 / 3) = 6 cycles, 74 to 79; cycle 80 is the gap; the fifth needs two cycles.
    assert [a.cycle for a in beats] == [75, 76, 77, 79, 82]


def test_outside_the_image_the_answer_is_an_error(tmp_path: Path) -> None:
    expectation = expected(1)
    replay = faithful(expectation)
    end = -(-len(expectation.image) // BEAT_BYTES) * BEAT_BYTES
    replay.reads = [(11, end - BEAT_BYTES, 1), (12, end, 1)]
    beats = _arrivals(_run(bench_for([expectation]), replay, tmp_path, DramConfig()), "r")
    assert [a.response for a in beats] == [0, 3]


@pytest.mark.parametrize("seed", [1, 2])
def test_stalls_keep_the_order_of_the_data(seed: int, tmp_path: Path) -> None:
    dram = DramConfig()
    expectation = expected(1)
    bench = replace(bench_for([expectation]), stall=seed)
    target = expectation.program.outputs[0].region.address
    bursts = _random_bursts(random.Random(seed), dram, target, expectation.cycles // 2)
    replay = faithful(expectation)
    replay.reads = [(sent + 1, address, beats) for sent, address, beats in bursts]
    beats = _arrivals(_run(bench, replay, tmp_path, dram), "r")
    places = [address + BEAT_BYTES * i for _, address, count in bursts for i in range(count)]
    assert [a.data for a in beats] == [expectation.image[at : at + BEAT_BYTES].tobytes() for at in places]
    assert [a.cycle for a in beats] != [cycle for burst in _beat_cycles(dram, bursts) for cycle in burst]
