"""The HLS C++ against the fast simulator: the same bytes, the same exits, the same errors. Built with sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gatewright.cli.main import main
from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import lay_out
from gatewright.contract.isa import Opcode, Space, Unit
from gatewright.contract.program import of_image
from gatewright.contract.program_parts import Output, Region
from gatewright.contract.registers import ErrorCode
from gatewright.hw.hls.csim import Job, build, find_ap_types, make, run_csim, run_jobs, write_job
from gatewright.machines.backends import Job as BackendJob
from gatewright.machines.backends import run_on
from gatewright.verify.kit.programs import Image, make_program, row
from tests.end_to_end.networks import Case, case_of
from tests.hls.agreement import KINDS, difference, run_illegal, run_legal, simulated
from tests.hls.mutants import MUTANTS
from tests.mutants.mutant import Mutant
from tests.support.exits import SIZE, GatedWithExit

ARCH = PRESETS["4x4"]
FLAGS = "-O1"


@pytest.fixture(scope="module")
def binary() -> Path:
    return build(ARCH, sanitize=True, flags=FLAGS)


@pytest.mark.parametrize("kind", KINDS)
def test_random_programs_leave_the_same_bytes(binary: Path, kind: str) -> None:
    assert run_legal(binary, ARCH, kind, range(12)) == (12, "")


@pytest.mark.parametrize("kind", ["network", "corners"])
def test_an_illegal_instruction_stops_with_its_code_where_the_simulator_stops(binary: Path, kind: str) -> None:
    assert run_illegal(binary, ARCH, kind, range(12)) == (12, "")


@pytest.fixture(scope="module")
def case() -> Case:
    """Spatial and channel gates, and an early exit at which some of the images leave."""
    case = case_of(GatedWithExit("dual").eval(), SIZE)
    assert set(case.reference.taken.tolist()) == {0, 1}
    return case


def test_a_live_program_gives_each_of_several_images_its_logits(binary: Path, case: Case) -> None:
    live, samples = Compiler(case.graph, ARCH).compile_live(), list(case.inputs)
    run = run_csim(binary, live, samples)
    np.testing.assert_array_equal(np.array(run.logits), case.reference.logits)
    job = Job(live, *lay_out(live, samples))
    assert difference(run.left, simulated(job)) == ""


def test_a_replayed_program_runs_too(binary: Path, case: Case) -> None:
    program = Compiler(case.graph, ARCH).compile(case.reference.decisions_of(0), case.inputs[0])
    run = run_csim(binary, program, [])
    np.testing.assert_array_equal(run.logits[0], case.reference.logits[0])
    assert difference(run.left, simulated(Job(program, program.image))) == ""


def test_a_program_of_several_images_runs_on_its_own_image(binary: Path) -> None:
    image = Image()
    inputs, behind = image.add(np.arange(64, dtype=np.int8)), image.reserve(64)
    rows = [
        row(Opcode.LOAD, dram_address=inputs, space=Space.SCRATCHPAD, rows=1, row_beats=2, ring=1),
        row(Opcode.STORE, [(Unit.LOAD, 1)], dram_address=behind, beats=2, ring=1),
    ]
    outputs = [
        Output(
            name := of_image("map", number, 2), "map", Region(name, "output", behind + 16 * number, 16), 1, 1, 16, 1.0
        )
        for number in (0, 1)
    ]
    program = replace(
        make_program(ARCH, rows, image, input_region=(inputs, 16)), images=2, input_stride=16, outputs=outputs
    )
    found = run_csim(binary, program, []).values
    assert [values["map"].reshape(-1).tolist() for values in found] == [list(range(16)), list(range(16, 32))]


def test_a_long_program_may_execute_as_many_instructions_as_in_the_simulator(tmp_path: Path) -> None:
    short = make_program(ARCH, [row(Opcode.INDEX, bits=8)])
    for program, limit in (short, 250_000), (replace(short, code=short.code[:1].repeat(200_000, 0)), 400_000):
        write_job(Job(program, program.image), tmp_path)
        assert f"instruction_limit {limit}" in (tmp_path / "start").read_text().splitlines()


def test_the_backend_runs_no_other_image_through_a_program_of_one(case: Case, tmp_path: Path) -> None:
    program = Compiler(case.graph, ARCH).compile(case.reference.decisions_of(0), case.inputs[0])
    program.save(tmp_path / "one.safetensors")
    with pytest.raises(GatewrightError, match="hls: one.safetensors was compiled for the gates of one image"):
        run_on("hls", BackendJob(tmp_path / "one.safetensors", ARCH, case.inputs[:1]))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_random_programs_notice_a_fault(binary: Path, tmp_path: Path, mutant: Mutant) -> None:
    folder = tmp_path / "mutant"
    shutil.copytree(binary.parents[1], folder)
    mutant.apply(folder)
    faulty = make(folder, find_ap_types(), sanitize=True, flags=FLAGS)
    same, wrong = run_legal(faulty, ARCH, MUTANTS[mutant], range(30))
    assert same < 30 and wrong


def test_an_error_is_told_by_its_code_and_its_instruction(binary: Path, case: Case) -> None:
    live = Compiler(case.graph, ARCH).compile_live()
    image = live.image.copy()
    image[live.code_address] = 0
    with pytest.raises(GatewrightError, match=r"image 0: instruction 0 \(entry 0\) stopped .* with ILLEGAL_OPCODE"):
        run_csim(binary, replace(live, image=image), [case.inputs[0]])


def test_an_access_beyond_dram_is_an_error_of_the_bus(binary: Path) -> None:
    job = KINDS["traffic"](0, ARCH)
    left = run_jobs(binary, [replace(job, dram=job.dram[: job.program.code_address])])[0]
    assert (left.code, left.instruction) == (ErrorCode.READ_BUS, 0)


def test_the_command_writes_a_job_that_the_simulation_compares(binary: Path, case: Case, tmp_path: Path) -> None:
    program = Compiler(case.graph, ARCH).compile(case.reference.decisions_of(0), case.inputs[0])
    program.save(tmp_path / "program.safetensors")
    arguments = ["hls", "-o", str(tmp_path / "out"), "--program", str(tmp_path / "program.safetensors")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    for path in binary.parents[1].iterdir():
        if path.is_file() and path.name != "lock":
            assert (tmp_path / "out" / path.name).read_text() == path.read_text()
    run = [str(binary.resolve()), str(tmp_path / "out" / "job")]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert " ".join(map(str, case.reference.logits[0])) in done.stdout
    expected = tmp_path / "out" / "job" / "scratchpad.expected"
    expected.write_bytes(bytes([expected.read_bytes()[0] ^ 1]) + expected.read_bytes()[1:])
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 1 and f"{expected}: 1 of {ARCH.scratchpad_bytes} bytes differ" in done.stdout


def test_without_the_headers_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AP_TYPES", str(tmp_path))
    with pytest.raises(GatewrightError, match=r"no ap_int\.h in .*hls4ml==1\.3\.0"):
        build(ARCH)
