# amaranth: UnusedElaboratable=no
"""The memories' wiring: a port that nobody asks, that two ask, or that does not exist, is named."""

from __future__ import annotations

from typing import Any

import pytest

from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import Unit
from gatewright.hw.connections import asked_of, connections, memories_for, scratchpad_writers
from gatewright.hw.control.sequencer import Sequencer
from gatewright.hw.top import QUEUED
from tests.hw.memories.scratchpad_users import asked

Parts = tuple[dict[str, Any], Sequencer, dict[str, Any]]


@pytest.fixture
def parts() -> Parts:
    """Users by name, the sequencer, and the memories."""
    arch = PRESETS["4x4"]
    users = {unit.name: made(arch) for unit, (_, made) in QUEUED.items()}
    memories = {name: made(arch) for name, made in memories_for(list(users.values())).items()}
    return users, Sequencer(arch), memories


def test_every_port_has_one_user(parts: Parts) -> None:
    users, sequencer, memories = parts
    made = connections([sequencer, *users.values()], {**memories, "sequencer": sequencer})
    assert len(made) == 25
    assert [one.user for one in scratchpad_writers(made)] == [users[Unit.EPILOGUE.name], users[Unit.LOAD.name]]


def test_the_scratchpad_has_the_ports_that_units_ask(parts: Parts) -> None:
    users, _, memories = parts
    assert asked_of("scratchpad", list(users.values())) == asked()
    ports = {name for name, member in memories["scratchpad"].signature.members.items() if member.is_signature}
    assert ports == set(asked())


def test_a_port_that_nobody_asks_is_named(parts: Parts) -> None:
    users, sequencer, memories = parts
    del users["INDEX"]
    with pytest.raises(ValueError, match=r"nobody uses tables\.index"):
        connections([sequencer, *users.values()], {**memories, "sequencer": sequencer})


def test_a_port_that_does_not_exist_is_named(parts: Parts) -> None:
    users, sequencer, memories = parts
    del memories["masks"]
    with pytest.raises(ValueError, match=r"no memory has masks\.gather, masks\.index, masks\.write"):
        connections([sequencer, *users.values()], {**memories, "sequencer": sequencer})


def test_two_users_of_a_port_are_refused(parts: Parts) -> None:
    users, sequencer, memories = parts
    with pytest.raises(ValueError, match="two users of one port"):
        connections([sequencer, *users.values(), users["STORE"]], {**memories, "sequencer": sequencer})
