"""The worst path to each register, memory and output, from the flattened netlist and the delays of its cells."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gatewright.contract.errors import GatewrightError

Pin = tuple[str, int]
"""A cell's port, and the bit of it."""

_REGISTERS = ("FD", "SRL")


@dataclass(frozen=True)
class EndPoint:
    """The slowest path to a bit of a register, of its controls, of a memory's or multiplier's port, or of an output."""

    picoseconds: int
    end: str
    start: str
    cells: int
    """On the path, with the one that it starts in."""

    def line(self) -> str:
        """A line for a terminal."""
        return f"{self.picoseconds / 1000:6.2f} ns {self.cells:3} cells  {self.end}  from {self.start}"


class _Delays:
    """Of a type of cell, in picoseconds: from clock to outputs, from inputs to outputs, and the set-up of inputs."""

    def __init__(self, model: dict[str, Any]) -> None:
        pins = {bit: (name, number) for name, port in model["ports"].items() for number, bit in enumerate(port["bits"])}
        self.launch: dict[Pin, int] = {}
        self.through: dict[Pin, list[tuple[Pin, int]]] = defaultdict(list)
        self.setup: dict[Pin, int] = {}
        for cell in model["cells"].values():
            if cell["type"] not in ("$specify2", "$specify3", "$specrule"):
                continue
            sources = [pins[bit] for bit in cell["connections"]["SRC"] if bit in pins]
            targets = [pins[bit] for bit in cell["connections"]["DST"] if bit in pins]
            if cell["type"] == "$specrule":
                for pin in sources:
                    self.setup[pin] = max(self.setup.get(pin, 0), _number(cell, "T_LIMIT_MAX"))
                continue
            delay = max(_number(cell, "T_RISE_MAX"), _number(cell, "T_FALL_MAX"))
            if cell["type"] == "$specify3":
                self.launch.update({pin: max(self.launch.get(pin, 0), delay) for pin in targets})
            elif _number(cell, "FULL"):
                for source in sources:
                    self.through[source] += [(target, delay) for target in targets]
            else:
                for source, target in zip(sources, targets, strict=True):
                    self.through[source].append((target, delay))


def _number(cell: dict[str, Any], name: str) -> int:
    """A parameter; what is unknown, or negative, counts as 0, as in Yosys's own analysis."""
    value = int(cell["parameters"][name].replace("x", "0"), 2)
    return 0 if value >> 31 else value


def worst_paths(text: str, top: str) -> list[EndPoint]:
    """All end points, the slowest first, from the JSON of a flattened netlist with the models of its cells."""
    modules = json.loads(text)["modules"]
    netlist = modules[top]
    names = _names(netlist["netnames"])
    cells = {name: cell for name, cell in netlist["cells"].items() if cell["type"] != "$scopeinfo"}
    found: dict[Any, _Delays] = {}
    arrival: dict[int, int] = {}
    levels: dict[int, int] = {}
    start: dict[int, str] = {}
    arcs: dict[int, list[tuple[int, int]]] = defaultdict(list)
    missing: dict[int, int] = defaultdict(int)
    ends: list[tuple[int, int, str]] = []
    for name, cell in cells.items():
        key = cell["type"], tuple(sorted(cell["parameters"].items())) if cell["type"].startswith("DSP") else ()
        if key not in found:
            found[key] = _Delays(_model(modules, cell))
        delays = found[key]
        for bit, delay in _bits(cell, delays.launch.items()):
            if delay > arrival.get(bit, -1):
                arrival[bit], levels[bit], start[bit] = delay, 1, names.get(bit, name)
        for source, targets in delays.through.items():
            for from_bit, _ in _bits(cell, [(source, 0)]):
                for bit, delay in _bits(cell, targets):
                    arcs[from_bit].append((bit, delay))
                    missing[bit] += 1
        for pin, setup in delays.setup.items():
            ends += [(bit, setup, _end(name, cell, pin, names)) for bit, _ in _bits(cell, [(pin, setup)])]
    for name, port in netlist["ports"].items():
        if port["direction"] == "output":
            ends += [(bit, 0, f"{name} (output)") for bit in port["bits"] if isinstance(bit, int)]
    ready = [bit for bit in {*arcs, *arrival} if not missing[bit]]
    while ready:
        bit = ready.pop()
        for target, delay in arcs[bit]:
            if arrival.get(bit, 0) + delay > arrival.get(target, -1):
                arrival[target] = arrival.get(bit, 0) + delay
                levels[target], start[target] = levels.get(bit, 0) + 1, start.get(bit, names.get(bit, "an input"))
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    if any(missing.values()):
        raise GatewrightError(f"{top} has a combinational loop: the paths through it have no end")
    worst: dict[str, EndPoint] = {}
    for bit, setup, end in ends:
        total = arrival.get(bit, 0) + setup
        if end not in worst or total > worst[end].picoseconds:
            worst[end] = EndPoint(total, end, start.get(bit, names.get(bit, "an input")), levels.get(bit, 0))
    return sorted(worst.values(), key=lambda path: (-path.picoseconds, path.end))


def _model(modules: dict[str, Any], cell: dict[str, Any]) -> dict[str, Any]:
    """The model of a cell: multipliers have one for each setting of their registers, other cells' delays are fixed."""
    kind: str = cell["type"]
    made = [model for name, model in modules.items() if name.startswith("$paramod") and name.endswith(f"\\{kind}")]
    if kind.startswith("DSP"):
        own = {name: _plain(value) for name, value in cell["parameters"].items()}
        made = [
            m for m in made if own.items() <= {n: _plain(v) for n, v in m["parameter_default_values"].items()}.items()
        ]
    model: dict[str, Any] = made[0] if made else modules[kind]
    return model


def _plain(value: str) -> int | str:
    """A parameter's value, whatever its width."""
    return int(value, 2) if value and set(value) <= {"0", "1"} else value


def _bits(cell: dict[str, Any], pins: Any) -> Iterator[tuple[int, int]]:
    """Of (pin, delay) the pins that are connected to something that changes, as bits of the netlist."""
    for (port, number), delay in pins:
        wires = cell["connections"].get(port, ())
        if number < len(wires) and isinstance(wires[number], int):
            yield wires[number], delay


def _names(nets: dict[str, Any]) -> dict[int, str]:
    """A name of each bit without its number: one of the design if there is any, of the outermost module."""
    names: dict[int, tuple[tuple[bool, int, int], str]] = {}
    for name, net in nets.items():
        rank = bool(net.get("hide_name", 0)), name.count("."), len(name)
        for bit in net["bits"]:
            if isinstance(bit, int) and (bit not in names or rank < names[bit][0]):
                names[bit] = rank, name
    return {bit: name for bit, (_, name) in names.items()}


def _end(name: str, cell: dict[str, Any], pin: Pin, names: dict[int, str]) -> str:
    """The end point that a pin belongs to."""
    kind, port = cell["type"], pin[0]
    if not kind.startswith(_REGISTERS):
        return f"{re.sub(r'([.][0-9]+)+([.]genblk.*)?$', '', name)} ({kind}.{port})"
    register = names.get(cell["connections"]["Q"][0], name)
    return register if port == "D" else f"{register} ({port})"
