"""Random programs by kind and seed, each with what the machine has to do on it.

A program is first compared with an oracle in numpy, so that a fault of the simulator is not taken for one of the RTL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.sim.fast.machine import simulate, simulate_images
from gatewright.verify.expectations import Expectation, expect, expect_images
from gatewright.verify.kit import kinds
from gatewright.verify.kit.generate.illegal import SPOILERS, Illegal, Spoil, spoil
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.generate.random_crossings import random_crossings
from gatewright.verify.kit.generate.random_images import random_images
from gatewright.verify.kit.generate.random_programs import Network, random_network
from gatewright.verify.kit.generate.random_traffic import random_traffic
from gatewright.verify.kit.generate.random_waits import random_waits

Check = tuple[int, npt.NDArray[np.int8]]
"""An address, and the values that lie from there on in the end."""


def layers(seed: int, arch: ArchConfig, writes: bool = False) -> Expectation:
    """Random chains of layers, windows and gates."""
    return _of_network(seed, *random_network(seed, arch), writes)


def corners(seed: int, arch: ArchConfig, writes: bool = False) -> Expectation:
    """Early exits, skips, reductions over no channels, source masks, row tables, STOREs across 4 KiB."""
    return _of_network(seed, *random_corners(seed, arch), writes)


def waits(seed: int, arch: ArchConfig, writes: bool = False) -> Expectation:
    """Any opcode behind any unit: units that need nothing of each other, or layers and corners with waits more."""
    if seed % 3 == 0:
        program, checks = random_crossings(seed, arch)
        simulate(program, audit=True)
        expectation = expect(program, writes=writes)
        _hold(seed, "DRAM", expectation.dram, checks)
        return expectation
    return _of_network(seed, *random_waits(seed, arch), writes)


def _of_network(seed: int, network: Network, program: Program, writes: bool) -> Expectation:
    simulate(program, audit=True)  # a program that needs no luck: no two units race
    expectation = expect(program, writes=writes)
    logits = expectation.program.logits(expectation.dram)
    if not np.array_equal(logits, network.logits):
        raise GatewrightError(
            f"seed {seed}: the simulator is wrong: logits {logits.tolist()}, of the oracle {network.logits.tolist()}"
        )
    _hold(seed, "scratchpad", expectation.scratchpad, network.checks)
    _hold(seed, "DRAM", expectation.dram, network.dram_checks)
    return expectation


def images(seed: int, arch: ArchConfig, writes: bool = False) -> Expectation:
    """The corners for up to three images in one start: each leaves what it leaves alone, and takes as long."""
    case = random_images(seed, arch)
    case.assert_as_alone(simulate_images(case.program, case.dram, case.images))
    return expect_images(case.program, case.dram, case.images, writes=writes)


def traffic(seed: int, arch: ArchConfig, writes: bool = False) -> Expectation:
    """LOADs, STOREs and INDEXes alone: the DRAM's channels are what counts."""
    program, expected = random_traffic(seed, arch)
    expectation = expect(program, writes=writes)
    _hold(seed, "DRAM", expectation.dram, [(0, expected.view(np.int8))])
    return expectation


def _hold(seed: int, memory: str, contents: npt.NDArray[np.uint8], checks: Sequence[Check]) -> None:
    """The final contents of a memory, [bytes], against what the oracle says of places in it."""
    for address, values in checks:
        left, right = contents[address : address + values.size].view(np.int8), values.ravel()
        different = np.flatnonzero(left != right)
        if len(different):
            at = int(different[0])
            raise GatewrightError(
                f"seed {seed}: the simulator is wrong: {memory} at {address + at:#x} holds {left[at]}, "
                f"of the oracle {right[at]}"
            )


MAKERS: dict[str, Callable[[int, ArchConfig, bool], Expectation]] = {
    kinds.LAYERS: layers,
    kinds.CORNERS: corners,
    kinds.WAITS: waits,
    kinds.IMAGES: images,
    kinds.TRAFFIC: traffic,
}
"""Of the kinds that run, what makes the program of a seed for a machine; with True, every write is expected, too."""


def case(kind: str, seed: int, arch: ArchConfig, *, writes: bool = False) -> Expectation:
    """The program of a kind and a seed for a machine, and what the RTL has to do on it.

    ``writes``: every single write is expected, too, which takes the stepped simulator. A kind that does not exist, and
    a simulator that the oracle contradicts, are a ``GatewrightError``.
    """
    if kind not in MAKERS:
        raise GatewrightError(f"there is no kind {kind!r} of programs that run; there are {', '.join(MAKERS)}")
    return MAKERS[kind](seed, arch, writes)


def illegal(seed: int, arch: ArchConfig, *, in_corners: bool = False, ways: tuple[Spoil, ...] = SPOILERS) -> Illegal:
    """A program of ``layers`` or of ``corners`` with one instruction spoilt, and the error that it must end with."""
    program = (random_corners(seed, arch) if in_corners else random_network(seed, arch))[1]
    return spoil(np.random.default_rng(seed), program, simulate(program).trace.records["instruction"], ways)
