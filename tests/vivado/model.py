"""A stand-in for Vivado's Tcl: what the scripts may ask of it, with a block design that knows its cells' pins.

It is no Vivado: it knows the commands that stand here and the cells of ``kinds``. A command that is not here is unknown
to the interpreter, as one that Vivado lacks would be.
"""

from __future__ import annotations

import fnmatch
import tkinter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.vivado.kinds import KINDS, Kind, machine_kind


class VivadoError(Exception):
    """What Vivado would stop at."""


@dataclass
class Vivado:
    """One run. ``folder`` is that of the IP; ``boards`` are the board files that are installed."""

    folder: Path
    boards: tuple[str, ...]
    runs: dict[str, bool] = field(default_factory=lambda: {"synth_1": True, "impl_1": True})
    slack: float = 0.1
    said: list[str] = field(default_factory=list)
    failed: str | None = None
    called: list[str] = field(default_factory=list)
    cells: dict[str, Kind] = field(default_factory=dict)
    properties: dict[str, dict[str, str]] = field(default_factory=dict)
    driver: dict[str, str] = field(default_factory=dict)
    """What drives an input pin, and which master is at a slave's bus and the other way round."""
    mapped: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    excluded: set[str] = field(default_factory=set)
    validated: bool = False

    def source(self, script: Path, *arguments: str) -> None:
        """Run a script; a Tcl error is a VivadoError."""
        interpreter = tkinter.Tcl()
        self.called.clear()
        for name in dir(self):
            if name.startswith("tcl_"):
                interpreter.createcommand(name.removeprefix("tcl_"), self._command(interpreter, name))
        interpreter.createcommand("puts", lambda *words: self.said.append(words[-1]) or "")
        interpreter.createcommand("exit", self._exit)
        interpreter.setvar("argv", " ".join(arguments))
        self.failed = None
        try:
            interpreter.evalfile(str(script))
        except tkinter.TclError as error:
            raise VivadoError(self.failed or f"{error}") from error

    def _command(self, interpreter: object, name: str) -> Callable[..., str]:
        def call(*words: str) -> str:
            self.called.append(name.removeprefix("tcl_"))
            try:
                return str(getattr(self, name)(*words) or "")
            except VivadoError as error:
                self.failed = f"{name.removeprefix('tcl_')}: {error}"
                raise

        return call

    def _exit(self, code: str = "0") -> str:
        self.failed = self.said[-1] if code != "0" else None
        raise VivadoError("exit")

    # Catalogue and project

    def tcl_get_board_parts(self, _quiet: str, pattern: str) -> str:
        return " ".join(fnmatch.filter(self.boards, pattern))

    def tcl_get_ipdefs(self, _all: str, pattern: str) -> str:
        own = [machine_kind(self.folder / "ip" / "component.xml")[0]] if "update_ip_catalog" in self.called else []
        return " ".join(fnmatch.filter([f"xilinx.com:ip:{name}:1.0" for name in KINDS] + own, pattern))

    def tcl_create_project(self, *words: str) -> str:
        force, _, folder, flag, _ = words
        assert (force, flag) == ("-force", "-part") and Path(folder) == self.folder / "build", words
        return "project"

    def tcl_current_project(self) -> str:
        return "project"

    def tcl_current_fileset(self) -> str:
        return "sources_1"

    def tcl_update_ip_catalog(self, flag: str) -> None:
        if Path(self.properties.get("project", {}).get("ip_repo_paths", "")) != self.folder / "ip":
            raise VivadoError("the machine's folder is not in ip_repo_paths")

    # Block design

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

    def tcl_get_property(self, name: str, thing: str) -> str:
        known = {
            "CONFIG.FREQ_HZ": "299997000",
            "PROGRESS": "100%" if self.runs.get(thing, True) else "40%",
            "SLACK": str(self.slack),
        }
        return known[name]

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

    # Files, synthesis, place and route

    def tcl_get_files(self, name: str) -> str:
        return name

    def tcl_generate_target(self, _all: str, design: str) -> None:
        if not self.validated:
            raise VivadoError("generated before it was validated")

    def tcl_make_wrapper(self, *words: str) -> str:
        return "wrapper.v"

    def tcl_add_files(self, *words: str) -> None:
        pass

    def tcl_update_compile_order(self, *words: str) -> None:
        pass

    def tcl_open_project(self, path: str) -> None:
        pass

    def tcl_launch_runs(self, run: str, *words: str) -> None:
        if run == "impl_1" and "wait_on_run" not in self.called:
            raise VivadoError("synthesis has not been waited for")

    def tcl_wait_on_run(self, run: str) -> None:
        if "launch_runs" not in self.called:
            raise VivadoError("nothing was launched")

    def tcl_get_runs(self, run: str) -> str:
        if run not in self.runs:
            raise VivadoError(f"no run {run}")
        return run

    def tcl_open_run(self, run: str) -> None:
        pass

    def tcl_report_utilization(self, *words: str) -> None:
        pass

    def tcl_report_timing_summary(self, *words: str) -> None:
        pass

    def tcl_get_timing_paths(self, *words: str) -> str:
        return "path"

    def tcl_read_verilog(self, path: str) -> None:
        if not Path(path).is_file():
            raise VivadoError(f"no file {path}")

    def tcl_synth_design(self, *words: str) -> None:
        pass

    def tcl_get_ports(self, name: str) -> str:
        if name not in machine_kind(self.folder / "ip" / "component.xml")[1].pins:
            raise VivadoError(f"no port {name}")
        return name

    def tcl_create_clock(self, _name: str, name: str, _period: str, period: str, port: str) -> None:
        self.properties.setdefault("clock", {})[port] = period

    def tcl_opt_design(self) -> None:
        if "synth_design" not in self.called:
            raise VivadoError("nothing is synthesised")

    def tcl_place_design(self) -> None:
        if "opt_design" not in self.called:
            raise VivadoError("not optimised")

    def tcl_phys_opt_design(self) -> None:
        pass

    def tcl_route_design(self) -> None:
        if "place_design" not in self.called:
            raise VivadoError("not placed")
