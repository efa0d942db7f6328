"""What a run must have in common with the integer reference: its results, and what its gates have decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from gatewright.compiler.graph.graph import Decisions
from gatewright.compiler.graph.reference import Outputs
from gatewright.contract.errors import GatewrightError
from gatewright.sim.result import SimResult


class Disagreement(AssertionError):
    """A run and the integer reference differ: a fault of ours, and no ``GatewrightError``.

    A search, or an explanation, takes one of those for a machine that a network does not fit.
    """


@contextmanager
def of_users_network(name: str) -> Iterator[None]:
    """Where a user says which network a program is of, a difference is most likely the wrong name: say so."""
    try:
        yield
    except Disagreement as error:
        raise GatewrightError(f"{error}; is {name} the network that the program was compiled from?") from error


def check_run(name: str, result: SimResult, expected: Outputs, decisions: Decisions) -> None:
    """An observed run must end with the reference's results, and every gate have decided as the reference did."""
    check_outputs(name, result.outputs, expected)
    check_gates(name, result.gates, decisions)


def check_gates(name: str, gates: Mapping[str, npt.NDArray[np.bool_]], decisions: Decisions) -> None:
    """The gates that a run has evaluated, [bits] by name, must be the reference's, and have decided as they did."""
    if gates.keys() != decisions.keys():
        missing, more = sorted(decisions.keys() - gates.keys()), sorted(gates.keys() - decisions.keys())
        raise Disagreement(f"{name}: gates {', '.join(missing) or 'none'} were not evaluated, {more} were besides")
    for gate, decision in decisions.items():
        different = int(np.count_nonzero(gates[gate] != decision.reshape(-1)))
        if different:
            raise Disagreement(f"{name}: {different} decisions of gate {gate} differ from the reference's")


def check_outputs(name: str, outputs: Outputs, expected: Outputs) -> None:
    """What a run gives, by name, must be the reference's results."""
    if outputs.keys() != expected.keys():
        raise Disagreement(f"{name}: the outputs are {list(outputs)}, the reference's {list(expected)}")
    for output, values in expected.items():
        got = outputs[output]
        if values.ndim == 1 and not np.array_equal(got, values):
            raise Disagreement(f"{name}: logits {got.tolist()} differ from the reference's {values.tolist()}")
        if not np.array_equal(got, values):
            different = np.count_nonzero(got != values)
            raise Disagreement(f"{name}: {different} values of output {output} differ from the reference's")
