"""The driver with pynq's own classes, in the environment of ``make pynq-env``, on the Verilated RTL.

``python -m tests.driver.with_pynq`` writes driver, program, inputs and what the simulator gives into a folder, and runs
``pynq_side.py`` there with the other Python. Exit code 1 if anything is not as it must be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from gatewright.driver import Driver, load_program
from gatewright.driver_export import export_driver
from gatewright.machines.backends import pynq_python
from gatewright.machines.rtl import build_library
from gatewright.machines.simulator import SimulatedMachine
from tests.driver.tiny import ARCH, tiny_file, tiny_inputs

IMAGES = 7


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = tiny_file(folder)
        export_driver(folder)
        inputs = tiny_inputs(IMAGES)
        with Driver(SimulatedMachine(ARCH), load_program(made.path), slots=3) as driver:
            expected = driver.run(inputs)
        np.save(folder / "inputs.npy", inputs)
        np.save(folder / "logits.npy", np.stack([one.logits for one in expected.images]))
        about = {
            "library": str(build_library(ARCH)),
            "starts": [vars(one) for one in expected.starts],
            "middle": made.program.code_address + len(made.program.code) // 2 * 48,
        }
        (folder / "about.json").write_text(json.dumps(about))
        script = Path(__file__).with_name("pynq_side.py")
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"PYTHONPATH": name}
        return subprocess.run([str(pynq_python()), str(script)], cwd=folder, env=clean, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
