"""Coverage as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from gatewright.contract.isa import Opcode
from gatewright.verify.kit.coverage.coverage import Coverage, Memory
from gatewright.verify.kit.coverage.edges import EDGES
from gatewright.verify.kit.coverage.held import Held
from gatewright.verify.kit.coverage.impossible import why_no_edge, why_not_held

BARRED = "."
"""In a table: what no program can reach."""


def text_of(coverage: Coverage) -> str:
    """Two tables, opcodes by what held them and by edges; then what was never reached."""
    lines = [f"coverage     {coverage.instructions:,} instructions on {coverage.arch.name}: {_programs(coverage)}"]
    lines += ["", *_table("held by", coverage, Held, lambda o, h: why_not_held(o, Held(h)), lambda h: (h, "any"))]
    names = [edge.name for edge in EDGES]
    arch = coverage.arch
    lines += ["", *_table("edge", coverage, names, lambda o, e: why_no_edge(o, e, arch), lambda e: ("any", e))]
    lines += ["", f"{BARRED} cannot be; a second number is with a memory that pauses", "", *_never(coverage)]
    return "\n".join(lines)


def _programs(coverage: Coverage) -> str:
    parts = []
    for one in coverage.programs:
        pauses = f" with pauses {one.stall}" if one.stall else ""
        parts.append(f"{one.count} {one.kind} from seed {one.first}{pauses}")
    return "; ".join(parts) or "programs of your own"


def _table(
    title: str,
    coverage: Coverage,
    names: Iterable[str],
    barred: Callable[[Opcode, str], str | None],
    place: Callable[[str], tuple[str, str]],
) -> Iterator[str]:
    """A row for each name that some opcode can have, a column for each opcode."""
    rows = [[title, *(opcode.name for opcode in Opcode)]]
    for name in names:
        if all(barred(opcode, name) is not None for opcode in Opcode):
            continue
        cells = [BARRED if barred(opcode, name) else _cell(coverage, opcode, *place(name)) for opcode in Opcode]
        rows.append([name, *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        right = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join([row[0].ljust(widths[0]), *right]).rstrip()


def _cell(coverage: Coverage, opcode: Opcode, condition: str, edge: str) -> str:
    steady, pausing = (coverage.count(opcode, condition, edge, memory) for memory in Memory)
    return f"{steady}+{pausing}" if pausing else str(steady)


def _never(coverage: Coverage) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for place in coverage.never():
        found.setdefault(place.opcode, []).append(place.what)
    for opcode in Opcode:
        reached, possible = coverage.pairs(opcode)
        missing = "; ".join(found.get(opcode.name, [])) or "nothing that it could have reached"
        if not coverage.count(opcode):
            missing = "the opcode itself"
        yield f"{opcode.name:<9} never: {missing}"
        if possible:
            yield f"{'':<9} {reached} of {possible} pairs of what holds it and an edge"
