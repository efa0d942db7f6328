"""What ``tests.driver.with_pynq`` runs where pynq is: nothing of Gatewright is there but the copied driver."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pynq
from gatewright_driver import Driver, load_program
from gatewright_driver import errors as wrong
from gatewright_driver.verilated import VerilatedMachine
from gatewright_driver.verilated_device import through_pynq

SLOTS = 3


def check_works(machine, program, wait="interrupt"):  # type: ignore[no-untyped-def]
    """More images than slots, as the simulator has them."""
    with Driver(machine, program, slots=SLOTS, wait=wait, timeout=None) as driver:
        assert isinstance(driver._buffer, pynq.buffer.PynqBuffer)
        result = driver.run(np.load("inputs.npy"))
    assert [vars(one) for one in result.starts] == ABOUT["starts"]
    np.testing.assert_array_equal(np.stack([one.logits for one in result.images]), np.load("logits.npy"))


def fails(what, error, words):  # type: ignore[no-untyped-def]
    """It does, and says so."""
    try:
        what()
    except error as found:
        assert words in str(found), found
    else:
        raise AssertionError(f"no {error.__name__}")


ABOUT = json.loads(Path("about.json").read_text())
assert "gatewright" not in sys.modules and "torch" not in sys.modules
rtl = VerilatedMachine(ABOUT["library"])
machine, program = through_pynq(rtl), load_program("tiny.safetensors")
inputs = list(np.load("inputs.npy"))
check_works(machine, program)
check_works(machine, program, "poll")
with Driver(machine, program, timeout=0) as driver:
    fails(lambda: driver.run(inputs), wrong.TimedOutError, "was aborted")
check_works(machine, program)
with Driver(machine, program) as driver:
    driver.start(inputs)
    driver.abort()
    fails(driver.finish, wrong.AbortedError, "aborted")
with Driver(machine, program, slots=SLOTS) as driver:
    fails(lambda: driver.start(inputs), wrong.RingFullError, "7 images")
    fails(lambda: driver.run([inputs[0][1:]]), wrong.WrongInputError, "int8 [8, 8, 3]")
    driver._memory[ABOUT["middle"] : ABOUT["middle"] + 48] = 0
    fails(lambda: driver.run(inputs), wrong.StoppedError, "ILLEGAL_OPCODE")
check_works(machine, program)
assert rtl.memory.in_use == 0, "a buffer was not freed"
rtl.close()
print(f"pynq {pynq.__version__}, numpy {np.__version__}: everything as it must be")
