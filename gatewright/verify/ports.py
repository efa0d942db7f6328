"""The machine's ports, the contract's numbers and files of words as SystemVerilog macros for the benches' sources."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Shape
from amaranth.lib.wiring import In, Member

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.axi import BURST_BOUNDARY, BURST_SIZE, DECODE_ERROR, INCREMENTING, OKAY
from gatewright.contract.isa import QUEUED_UNITS, UNITS, Unit
from gatewright.hw.ports import BUS_PORTS, CONSTANT_PORTS, LITE_PORTS, TRACE_PORTS
from gatewright.verify.rules import rule_constants

FILE = "ports.svh"

LITE: dict[str, Member] = {f"s_axi_{name}": member for name, member in LITE_PORTS.items()}
BUS: dict[str, Member] = {f"m_axi_{name}": member for name, (_, _, member) in BUS_PORTS.items()}
BUS |= {f"m_axi_{name}": member for name, member in CONSTANT_PORTS.items()}
TRACE: dict[str, Member] = {f"trace_{name}": member for name, member in TRACE_PORTS.items()}

PORT_LISTS: dict[str, tuple[str, ...]] = {"GATEWRIGHT_LITE_PORTS": tuple(LITE), "GATEWRIGHT_BUS_PORTS": tuple(BUS)}
"""The names that a list of ports stands for, by its macro."""


def _signal(name: str, member: Member) -> str:
    width = Shape.cast(member.shape).width
    return f"logic {name}" if width == 1 else f"logic [{width - 1}:0] {name}"


def _ports(members: Mapping[str, Member], directions: tuple[str, str]) -> str:
    """A list of ports; ``directions`` are those of the machine's inputs and outputs."""
    lines = (f"{directions[member.flow != In]} {_signal(name, member)}" for name, member in members.items())
    return ", \\\n    ".join(lines)


def _with_file(mode: str, body: str) -> str:
    """A block that does ``body`` with the file ``words_file``, which the macro calls NAME."""
    opened = f'int words_file; words_file = $fopen(NAME, "{mode}");'
    checked = 'if (words_file == 0) $fatal(1, "no file %s", NAME);'
    return f"begin {opened} {checked} {body} $fclose(words_file); end"


def ports_text() -> str:
    """The text of ``FILE``.

    ``*_PORTS`` are lists with the machine's own directions, ``*_INPUTS`` the same for who only watches,
    ``GATEWRIGHT_MEMORY_PORTS`` the bus from the memory's side; ``*_SIGNALS`` and ``RULES`` are
    declarations. ``READ_FILE`` and ``WRITE_FILE`` are statements: a memory's first words, from and to
    a file (``memory_files.py``).
    """
    own, memory, watched = ("input", "output"), ("output", "input"), ("input", "input")
    macros = {
        "LITE_PORTS": _ports(LITE, own),
        "BUS_PORTS": _ports(BUS, own),
        "BUS_INPUTS": _ports(BUS, watched),
        "MEMORY_PORTS": _ports(BUS, memory),
        "BUS_SIGNALS": " ".join(f"{_signal(name, member)};" for name, member in BUS.items()),
        "TRACE_SIGNALS": " ".join(f"{_signal(name, member)};" for name, member in TRACE.items()),
        "TRACE_INPUTS": _ports(TRACE, watched),
        "UNITS": str(UNITS),
        **{f"UNIT_{unit.name}": str(int(unit)) for unit in (*QUEUED_UNITS, Unit.SEQUENCER)},
        "BEAT_BYTES": str(BEAT_BYTES),
        "BURST_BOUNDARY": str(BURST_BOUNDARY),
        "BURST_SIZE": str(BURST_SIZE),
        "INCREMENTING": str(INCREMENTING),
        "OKAY": str(OKAY),
        "DECODE_ERROR": str(DECODE_ERROR),
        "RULES": rule_constants(),
        "READ_FILE(NAME, MEMORY, COUNT)": _with_file("rb", "void'($fread(MEMORY, words_file, 0, COUNT));"),
        "WRITE_FILE(NAME, MEMORY, COUNT)": _with_file(
            "wb", 'for (int at = 0; at < int\'(COUNT); at++) $fwrite(words_file, "%u", MEMORY[at]);'
        ),
    }
    lines = ["// Generated from the contract and the machine's ports by gatewright.verify.ports."]
    lines += [f"`define GATEWRIGHT_{name} {value}" for name, value in macros.items()]
    return "\n".join(lines) + "\n"
