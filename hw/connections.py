"""The wires between the memories and their users, from what each user declares.

A user has ``MEMORY_PORTS``: for each of its interfaces to a memory, which port of which memory it asks, written
``memory.port``. The scratchpad has the ports that are asked of it. A memory with a ``conflict`` line has ``CONFLICT``,
the error that the line stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from amaranth import Module
from amaranth.lib import wiring

from gatewright.contract.arch import ArchConfig
from gatewright.contract.registers import ErrorCode
from gatewright.hw.memories.accumulators import Accumulators
from gatewright.hw.memories.masks import Masks
from gatewright.hw.memories.parameters import Parameters
from gatewright.hw.memories.patch_buffer import PatchBuffer
from gatewright.hw.memories.scratchpad import Scratchpad, writes
from gatewright.hw.memories.tables import Tables
from gatewright.hw.memories.weight_buffer import WeightBuffer


class Connection(NamedTuple):
    """One interface of a user, at a port of a memory."""

    user: Any
    member: str
    memory: Any
    port: str

    @property
    def asking(self) -> Any:
        """The user's side."""
        return getattr(self.user, self.member)


def asked_of(memory: str, users: list[Any]) -> dict[str, wiring.Signature]:
    """The ports of a memory that its users ask, each with its user's signature."""
    asked = [(*where.split("."), user, member) for user in users for member, where in user.MEMORY_PORTS.items()]
    return {port: user.signature.members[member].signature for name, port, user, member in asked if name == memory}


def memories_for(users: list[Any]) -> dict[str, Callable[[ArchConfig], Any]]:
    """What makes each memory, by the name of the submodule, which is also the first half of ``memory.port``."""
    return {
        "tables": Tables,
        "masks": Masks,
        "scratchpad": partial(Scratchpad, asked=asked_of("scratchpad", users)),
        "patch_buffer": PatchBuffer,
        "weight_buffer": WeightBuffer,
        "accumulators": Accumulators,
        "parameters": Parameters,
    }


def connections(users: list[Any], memories: dict[str, Any]) -> list[Connection]:
    """All of them, in the order of the memories' ports; every port has to have one user, and every user its port."""
    asked = [(where, user, member) for user in users for member, where in user.MEMORY_PORTS.items()]
    by_port = {where: (user, member) for where, user, member in asked}
    if len(by_port) < len(asked):
        raise ValueError(f"two users of one port among {sorted(where for where, _, _ in asked)}")
    found = []
    for name, memory in memories.items():
        for port, flow_member in memory.signature.members.items():
            user, member = by_port.pop(f"{name}.{port}", (None, ""))
            if user is not None:
                found.append(Connection(user, member, memory, port))
            elif flow_member.is_signature and memory not in users:
                raise ValueError(f"nobody uses {name}.{port}; a unit's MEMORY_PORTS has to name it")
    if by_port:
        raise ValueError(f"no memory has {', '.join(sorted(by_port))}")
    return found


def connect(m: Module, made: list[Connection]) -> None:
    """Wire them."""
    for one in made:
        wiring.connect(m, one.asking, getattr(one.memory, one.port))


def scratchpad_writers(made: list[Connection]) -> list[Connection]:
    """Those that write to the scratchpad: what ``trace_write`` shows."""
    return [one for one in made if isinstance(one.memory, Scratchpad) and writes(one.asking.signature)]


def conflicts(memories: dict[str, Any]) -> list[tuple[Any, ErrorCode]]:
    """The memories' conflict lines and their errors, in the order of these."""
    lines = [(m.conflict, m.CONFLICT) for m in memories.values() if "conflict" in m.signature.members]
    return sorted(lines, key=lambda line: int(line[1]))
