"""The driver's folder stands alone, and what it has of the contract is the contract's."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gatewright import driver
from gatewright.contract.arch import PRESETS
from gatewright.contract.program_parts import InputLayout
from gatewright.driver.program import load_program
from gatewright.driver_export import NAME, export_driver
from gatewright.listing.driver_registers import driver_registers
from tests.driver.tiny import tiny_file, tiny_inputs

FOLDER = Path(driver.__file__).parent
ALLOWED = {"numpy", "pynq"}
BOARD_PYTHON = (3, 10)
"""What runs on the boards' images."""


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_the_driver_imports_numpy_pynq_and_the_standard_library_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(), feature_version=BOARD_PYTHON)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level < 2, f"line {node.lineno} leaves the folder"
            names = [] if node.level else [node.module or ""]
        else:
            continue
        for name in names:
            top = name.split(".")[0]
            assert top in ALLOWED or top in sys.stdlib_module_names, f"line {node.lineno} imports {name}"


def test_its_numbers_are_the_contract_s() -> None:
    assert (FOLDER / "registers.py").read_text() == driver_registers(), "run make isa"


def test_a_copy_runs_without_gatewright(tmp_path: Path) -> None:
    """In a process that has nothing of the project on its path."""
    program = tiny_file(tmp_path).path
    export_driver(tmp_path, PRESETS["4x4"])
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import {NAME} as driver, {NAME}.verilated, {NAME}.on_pynq, {NAME}.__main__
print(len(driver.load_program({str(program)!r}).instructions))
foreign = {{"gatewright", "torch", "safetensors", "pydantic", "pynq"}}
print(sorted({{name.split(".")[0] for name in sys.modules}} & foreign))
"""
    words = [sys.executable, "-P", "-c", script]
    done = subprocess.run(words, cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [str(len(tiny_file(tmp_path).program.code)), "[]"]


def test_what_it_reads_of_a_file_is_what_gatewright_reads(tmp_path: Path) -> None:
    made = tiny_file(tmp_path)
    program, loaded = made.program, load_program(made.path)
    assert loaded.arch == program.arch.to_dict() and loaded.images == program.images
    assert [one.name for one in loaded.outputs] == [one.name for one in program.outputs]
    np.testing.assert_array_equal(loaded.image, program.image)
    sample = tiny_inputs(1)[0]
    np.testing.assert_array_equal(loaded.pack(sample), program.packed(sample))
    assert "INDEX" in "".join(loaded.line(row) for row in range(len(program.code)))


@pytest.mark.parametrize("seed", range(20))
def test_samples_are_packed_as_the_contract_says(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    height, width, channels, rows = (int(rng.integers(1, 6)) for _ in range(4))
    layout = InputLayout(height, width, channels, rows, int(rng.integers(0, rows)))
    loaded = load_program(tiny_file(tmp_path).path)
    loaded.header["input_layout"] = vars(layout)
    sample = rng.integers(-128, 128, (height, width, channels)).astype(np.int8)
    np.testing.assert_array_equal(loaded.pack(sample), layout.pack(sample), f"seed {seed}")
