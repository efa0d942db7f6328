"""A block design as Vivado's Tcl makes one: cells that know their pins, nets, buses, and the map of addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.vivado.kinds import KINDS, Kind, machine_kind


class VivadoError(Exception):
    """What Vivado would stop at."""


@dataclass
class BlockDesign:
    """The design, and what its commands have to know of the run. ``folder`` is that of the IP.

    ``called``: the commands of the script so far.
    """

    folder: Path
    called: list[str] = field(default_factory=list)
    cells: dict[str, Kind] = field(default_factory=dict)
    properties: dict[str, dict[str, str]] = field(default_factory=dict)
    driver: dict[str, str] = field(default_factory=dict)
    """What drives an input pin, and which master is at a slave's bus and the other way round."""
    mapped: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    excluded: set[str] = field(default_factory=set)
    validated: bool = False

    def tcl_create_bd_design(self, name: str) -> None:
        if "create_project" not in self.called:
            raise VivadoError("no project")

    def tcl_create_bd_cell(self, *words: str) -> str:
        _type, _ip, _vlnv, vlnv, name = words
        if "create_bd_design" not in self.called:
            raise VivadoError("no block design")
        if name in self.cells:
            raise VivadoError(f"cell {name} is there")
        own, machine = machine_kind(self.folder / "ip" / "component.xml")
        kinds = {f"xilinx.com:ip:{kind}:1.0": value for kind, value in KINDS.items()} | {own: machine}
        if vlnv not in kinds:
            raise VivadoError(f"no IP {vlnv}")
        self.cells[name] = kinds[vlnv]
        return name

    def tcl_apply_bd_automation(self, *words: str) -> None:
        _rule, rule, _config, config, cell = words
        assert (rule, config) == ("xilinx.com:bd_rule:zynq_ultra_ps_e", 'apply_board_preset "1"'), words
        if "board_part" not in self.properties.get("project", {}):
            raise VivadoError("the project has no board whose preset could be applied")
        self._cell(cell)

    def tcl_set_property(self, *words: str) -> None:
        if words[0] == "-dict":
            pairs, thing = words[1].split(), words[2]
            values = dict(zip(pairs[::2], pairs[1::2], strict=True))
        else:
            values, thing = {words[0]: words[1]}, words[2]
        self.properties.setdefault(thing, {}).update(values)

    def _cell(self, name: str) -> Kind:
        if name not in self.cells:
            raise VivadoError(f"no cell {name}")
        return self.cells[name]

    def _there(self, cell: str, name: str) -> bool:
        need = self._cell(cell).needs.get(name)
        if need is None:
            return True
        key, _, more = need.partition(">")
        return int(self.properties.get(cell, {}).get(key, "0")) > int(more or 0)

    def _find(self, path: str, what: str) -> str:
        cell, _, name = path.partition("/")
        if name not in getattr(self._cell(cell), what) or not self._there(cell, name):
            raise VivadoError(f"no {path} among the {what}")
        return path

    def tcl_get_bd_cells(self, name: str) -> str:
        self._cell(name)
        return name

    def tcl_get_bd_pins(self, path: str) -> str:
        return self._find(path, "pins")

    def tcl_get_bd_intf_pins(self, path: str) -> str:
        return self._find(path, "buses")

    def tcl_get_bd_addr_spaces(self, path: str) -> str:
        return self._find(path, "spaces")

    def tcl_get_bd_addr_segs(self, *words: str) -> str:
        try:
            return self._find(words[-1], "segments")
        except VivadoError:
            if words[0] == "-quiet":
                return ""
            raise

    def _direction(self, path: str, what: str = "pins") -> str:
        cell, _, name = path.partition("/")
        return str(getattr(self.cells[cell], what)[name])

    def _drive(self, sink: str, source: str) -> None:
        if sink in self.driver:
            raise VivadoError(f"{sink} is driven by {self.driver[sink]} already")
        self.driver[sink] = source

    def tcl_connect_bd_net(self, source: str, sink: str) -> None:
        if (self._direction(source), self._direction(sink)) != ("out", "in"):
            raise VivadoError(f"{source} cannot drive {sink}")
        self._drive(sink, source)

    def tcl_connect_bd_intf_net(self, master: str, slave: str) -> None:
        if (self._direction(master, "buses"), self._direction(slave, "buses")) != ("master", "slave"):
            raise VivadoError(f"{master} cannot be the master of {slave}")
        self._drive(slave, master)
        self._drive(master, slave)

    def tcl_assign_bd_address(self, *words: str) -> None:
        options = dict(zip(words[:6:2], words[1:6:2], strict=True))
        base, size = int(options["-offset"], 0), int(options["-range"], 0)
        space, segment = options["-target_address_space"], words[6]
        assert words[7:] == ("-force",), words
        if size < 4096 or size & (size - 1) or base % size:
            raise VivadoError(f"{segment}: {size:#x} bytes at {base:#x} cannot be decoded")
        for (other, name), (first, last) in self.mapped.items():
            if other == space and base < last and first < base + size:
                raise VivadoError(f"{segment} and {name} overlap")
        self.mapped[space, segment] = base, base + size

    def tcl_exclude_bd_addr_seg(self, _flag: str, space: str, segment: str) -> None:
        self.excluded.add(segment)

    def tcl_validate_bd_design(self) -> None:
        """Every input is driven, every bus connected, each in one clock, every segment mapped where it can be seen."""
        for cell, kind in self.cells.items():
            inputs = [name for name, way in kind.pins.items() if way == "in"]
            for name in (name for name in (*inputs, *kind.buses) if self._there(cell, name)):
                if f"{cell}/{name}" not in self.driver:
                    raise VivadoError(f"{cell}/{name} is not connected")
        for one, other in self.driver.items():
            cell, _, name = one.partition("/")
            if name in self.cells[cell].buses and self._clock(one) != self._clock(other):
                raise VivadoError(f"{one} and {other} are in different clocks")
        found = {segment for _, segment in self.mapped} | self.excluded
        for cell, kind in self.cells.items():
            for segment in kind.segments:
                if f"{cell}/{segment}" not in found:
                    raise VivadoError(f"{cell}/{segment} is neither mapped nor excluded")
        self.validated = True

    def _clock(self, bus: str) -> str:
        cell, _, name = bus.partition("/")
        return self.driver[f"{cell}/{self.cells[cell].clocked[name]}"]

    def tcl_save_bd_design(self) -> None:
        if not self.validated:
            raise VivadoError("saved before it was validated")
