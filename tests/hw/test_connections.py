# amaranth: UnusedElaboratable=no
"""The memories' wiring: a port that nobody asks, that two ask, or that does not exist, is named."""

from __future__ import annotations

from typing import Any

import pytest

from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import Unit
from gatewright.hw.connections import MEMORIES, connections, scratchpad_writers
from gatewright.hw.control.sequencer import Sequencer
from gatewright.hw.top import QUEUED

Parts = tuple[dict[str, Any], Sequencer, dict[str, Any]]


@pytest.fixture
def parts() -> Parts:
    """Users by name, the sequencer, and the memories."""
    arch = PRESETS["4x4"]
    users = {unit.name: made(arch) for unit, (_, made) in QUEUED.items()}
    return users, Sequencer(arch), {name: made(arch) for name, made in MEMORIES.items()}


def test_every_port_has_one_user(parts: Parts) -> None:
    users, sequencer, memories = parts
    made = connections([sequencer, *users.values()], {**memories, "sequencer": sequencer})
    assert len(made) == 26
    assert [one.user for one in scratchpad_writers(made)] == [users[Unit.EPILOGUE.name], users[Unit.LOAD.name]]


def test_a_port_that_nobody_asks_is_named(parts: Parts) -> None:
    users, sequencer, memories = parts
    del users["STORE"]
    with pytest.raises(ValueError, match=r"nobody uses scratchpad\.store"):
        connections([sequencer, *users.values()], {**memories, "sequencer": sequencer})


def test_a_port_that_does_not_exist_is_named(parts: Parts) -> None:
    users, sequencer, memories = parts
    del memories["masks"]
    with pytest.raises(ValueError, match=r"no memory has masks\.exit, masks\.gather, masks\.index, masks\.write"):
        connections([sequencer, *users.values()], {**memories, "sequencer": sequencer})


def test_two_users_of_a_port_are_refused(parts: Parts) -> None:
    users, sequencer, memories = parts
    with pytest.raises(ValueError, match="two users of one port"):
        connections([sequencer, *users.values(), users["STORE"]], {**memories, "sequencer": sequencer})
