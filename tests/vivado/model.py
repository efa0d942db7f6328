"""A stand-in for Vivado's Tcl: what the scripts may ask of it.

It is no Vivado: it knows the commands that stand here and in ``block_design``, and the cells of ``kinds``. A command
that is not there is unknown to the interpreter, as one that Vivado lacks would be.
"""

from __future__ import annotations

import fnmatch
import tkinter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.vivado.block_design import BlockDesign, VivadoError
from tests.vivado.kinds import KINDS, machine_kind


@dataclass
class Vivado(BlockDesign):
    """One run. ``boards`` are the board files that are installed."""

    boards: tuple[str, ...] = ()
    runs: dict[str, bool] = field(default_factory=lambda: {"synth_1": True, "impl_1": True})
    slack: float = 0.1
    said: list[str] = field(default_factory=list)
    failed: str | None = None

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

    # Files, synthesis, place and route

    def tcl_get_property(self, name: str, thing: str) -> str:
        known = {
            "CONFIG.FREQ_HZ": "299997000",
            "PROGRESS": "100%" if self.runs.get(thing, True) else "40%",
            "SLACK": str(self.slack),
        }
        return known[name]

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
