"""What the RTL is compared with: the simulators' cycles and writes, and the files that carry them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Unit
from gatewright.verify import expectations
from gatewright.verify.expectations import Expectation, expect, write_files
from gatewright.verify.final_state import Registers, final_differences
from gatewright.verify.memory_files import as_beats, read_words, words
from tests.support.graphs import random_inputs, resnet_graph
from tests.verify.case import ARCH, copy_program


@pytest.fixture(scope="module")
def network() -> Expectation:
    """A gated ResNet-8 on a 16x16 image, with the writes of all units."""
    from gatewright.contract.arch import PRESETS

    graph = resnet_graph(8, gated=True, size=16)
    sample = random_inputs(graph, 1, 3)
    decided = run_reference(graph, sample).decisions
    program = Compiler(graph, PRESETS["8x8"]).compile({name: d[0] for name, d in decided.items()}, sample[0])
    return expect(program)


def test_writes_make_the_final_memories(network: Expectation) -> None:
    assert network.writes is not None
    scratchpad = np.zeros_like(network.scratchpad)
    written = np.zeros(len(scratchpad), np.int64)
    assert set(network.writes.scratchpad) == {Unit.LOAD, Unit.EPILOGUE}
    for unit, sequence in network.writes.scratchpad.items():
        assert len(sequence) > 10
        for address, count, data in zip(sequence.addresses, sequence.counts, sequence.data, strict=True):
            written[address : address + count] += 1
            if unit == Unit.LOAD:
                scratchpad[address : address + count] = data[:count]
    once = np.flatnonzero(written == 1)
    epilogue = network.writes.scratchpad[Unit.EPILOGUE]
    for address, count, data in zip(epilogue.addresses, epilogue.counts, epilogue.data, strict=True):
        scratchpad[address : address + count] = data[:count]
    np.testing.assert_array_equal(scratchpad[once], network.scratchpad[once])
    assert len(once) > 1000

    dram = network.image.copy()
    store = network.writes.dram
    for address, data in zip(store.addresses, store.data, strict=True):
        dram[address : address + 16] = data[:16]
    np.testing.assert_array_equal(dram, network.dram)
    assert not np.array_equal(network.image, network.dram)


def test_a_write_belongs_to_an_instruction_of_its_unit(network: Expectation) -> None:
    assert network.writes is not None
    records = network.trace.records
    unit_of = dict(zip(records["instruction"].tolist(), records["unit"].tolist(), strict=True))
    for unit, sequence in (*network.writes.scratchpad.items(), (Unit.STORE, network.writes.dram)):
        assert {unit_of[int(i)] for i in sequence.instructions} == {int(unit)}
        assert np.all(np.diff(sequence.instructions) >= 0)


def test_files_say_what_the_trace_says(network: Expectation, tmp_path: Path) -> None:
    write_files(network, tmp_path, exact=True)
    settings = read_words(tmp_path / "settings.bin", 4).copy().view("<u4").ravel()
    events = read_words(tmp_path / "events.bin", 16).copy().view("<u4")
    records = network.trace.records
    assert settings[3] == network.cycles - 1 and settings[6] == len(records) == len(events)
    for unit in Unit:
        first, total = settings[24 + unit], settings[16 + unit]
        mine = records[records["unit"] == unit]
        assert total == len(mine)
        for column, (field, offset) in enumerate((("dispatch", 0), ("start", 0), ("run", 0), ("done", -1))):
            np.testing.assert_array_equal(events[first : first + total, column], mine[field] + offset)
    assert read_words(tmp_path / "order.bin", 1).ravel().tolist() == records["unit"].tolist()
    assert read_words(tmp_path / "dram.bin", 16).tobytes()[: len(network.image)] == network.image.tobytes()
    noted = read_words(tmp_path / "scratchpad_writes.bin", 52)
    assert network.writes is not None
    assert settings[7] == len(network.writes.dram) and len(noted) == sum(map(len, network.writes.scratchpad.values()))
    for unit in Unit:
        first, total = settings[40 + unit], settings[32 + unit]
        if unit not in network.writes.scratchpad:
            assert total == 0
            continue
        writes = network.writes.scratchpad[unit]
        assert total == len(writes)
        for row in (0, total // 2, total - 1):
            word = int.from_bytes(noted[first + row].tobytes(), "little")
            assert word >> 392 == writes.addresses[row] and word >> 384 & 0xFF == writes.counts[row]
            data = (word & (1 << 384) - 1).to_bytes(48, "little")
            assert data.rstrip(b"\0") == writes.data[row].tobytes().rstrip(b"\0")


def test_simulators_that_disagree_are_no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    step = expectations._step

    def late(*arguments: object) -> object:
        trace, writes = step(*arguments)  # type: ignore[arg-type]
        trace.records["run"][1] += 1
        return trace, writes

    monkeypatch.setattr(expectations, "_step", late)
    with pytest.raises(GatewrightError, match="disagree"):
        expect(copy_program(1))


def test_files_of_words_keep_bytes_in_order(tmp_path: Path) -> None:
    data = np.random.default_rng(5).integers(0, 256, 16 * 9 + 5).astype(np.uint8)
    (tmp_path / "a.bin").write_bytes(words(as_beats(data)))
    assert (tmp_path / "a.bin").read_bytes()[:16] == data[15::-1].tobytes()
    back = read_words(tmp_path / "a.bin", 16).ravel()
    assert back[: len(data)].tobytes() == data.tobytes() and not back[len(data) :].any()


def test_registers_that_are_wrong_are_named(tmp_path: Path) -> None:
    expectation = expect(copy_program(1), writes=False)
    assert expectation.program.arch == ARCH
    (tmp_path / "dram_out.bin").write_bytes(as_beats(expectation.dram).tobytes())
    (tmp_path / "scratchpad_out.bin").write_bytes(as_beats(expectation.scratchpad).tobytes())
    right = {"ID": 0x47575254, "ERROR_CODE": 0, "INSTRUCTIONS": 5, "CYCLES": expectation.cycles, "STATUS": 2}
    right |= {"IMAGE": 1, "COMPLETED_LOAD": 2, "COMPLETED_STORE": 2}
    right |= {f"COMPLETED_{name}": 0 for name in ("GATHER", "ARRAY", "EPILOGUE", "INDEX")}

    def found(interrupt: bool = True, after: bool = False, exact: bool = True, **changes: int) -> list[str]:
        return final_differences(
            expectation, tmp_path, Registers({**right, **changes}, interrupt, after, 0.0), exact=exact
        )

    assert found() == []
    assert found(CYCLES=1, exact=False) == []
    for name, value in (
        ("CYCLES", 1),
        ("INSTRUCTIONS", 6),
        ("IMAGE", 0),
        ("COMPLETED_STORE", 3),
        ("STATUS", 3),
        ("ERROR_CODE", 7),
    ):
        (line,) = found(**{name: value})
        assert line.startswith(f"register {name}: ")
    assert len(found(interrupt=False)) == len(found(after=True)) == 1
