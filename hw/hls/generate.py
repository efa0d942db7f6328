"""From an architecture to the folder of HLS C++: sources as they are, and what the contract generates."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Any

import jinja2

from gatewright.contract import arch as arch_module
from gatewright.contract import arithmetic, encodings, isa
from gatewright.contract.arch import ArchConfig
from gatewright.contract.instruction_words import field_place
from gatewright.contract.isa import FORMATS, HEADER_BITS, UNIT_BITS, WAITS, EpilogueKind, Only, Opcode, Space, Unit
from gatewright.contract.registers import ErrorCode

SOURCES = Path(__file__).resolve().parent / "cpp"
TEMPLATE = ".j2"
"""The end of the names of generated files' templates."""

_ENUMS: dict[str, type[IntEnum]] = {
    "OPCODE": Opcode,
    "UNIT": Unit,
    "SPACE": Space,
    "STATIONARY": isa.Stationary,
    "ONLY": Only,
    "KIND": EpilogueKind,
    "ERROR": ErrorCode,
}


def files(arch: ArchConfig) -> dict[str, str]:
    """The texts of the folder by file name."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SOURCES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    texts = {}
    for path in sorted(path for path in SOURCES.iterdir() if path.is_file()):
        if path.suffix == TEMPLATE:
            texts[path.stem] = environment.get_template(path.name).render(_contract(arch))
        else:
            texts[path.name] = path.read_text()
    return texts


def write(arch: ArchConfig, folder: Path) -> list[Path]:
    """Write all files; returns their paths. A file that has its text already keeps its time, for make's sake."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in files(arch).items():
        path = folder / name
        if not (path.is_file() and path.read_text() == text):
            path.write_text(text)
        paths.append(path)
    return paths


def _contract(arch: ArchConfig) -> dict[str, Any]:
    """What the templates name."""
    queued = {unit.name for unit in isa.QUEUED_UNITS}
    return {
        "arch": arch,
        "constants": _constants(arch),
        "arrays": {
            "DEPTHWISE_ROW_ENTRY": [entry for entry, _ in encodings.DEPTHWISE_ROWS],
            "DEPTHWISE_ROW_BYTE": [byte for _, byte in encodings.DEPTHWISE_ROWS],
        },
        "enums": {prefix: list(values) for prefix, values in _ENUMS.items()},
        "opcode_bits": isa.OPCODE_BITS,
        "unit_bits": UNIT_BITS,
        "count_bits": isa.COUNT_BITS,
        "waits": [
            {part: _place(Opcode.END, f"wait {number} {part}") for part in ("unit", "count")} for number in range(WAITS)
        ],
        "formats": [_format(opcode) for opcode in FORMATS],
        "queued": sorted(queued),
    }


def _constants(arch: ArchConfig) -> dict[str, int]:
    """The sizes and limits of the machine, by their names in C++."""
    window_bits = next(field.bits for field in FORMATS[Opcode.EPILOGUE].fields if field.name == "window")
    return {
        "ROWS": arch.rows,
        "COLUMNS": arch.columns,
        "SLICES_PER_BEAT": arch.slices_per_beat,
        "SCRATCHPAD_BYTES": arch.scratchpad_bytes,
        "PATCH_WORDS": arch.patch_words,
        "WEIGHT_WORDS": arch.weight_words,
        "ACCUMULATOR_DEPTH": arch.accumulator_depth,
        "PARAMETER_ENTRIES": arch.parameter_entries,
        "TABLES": arch.tables,
        "TABLE_ENTRIES": arch.table_entries,
        "INSTRUCTION_ENTRIES": arch.instruction_entries,
        **{name: getattr(arch_module, name) for name in _ARCH},
        **{name: getattr(encodings, name) for name in _ENCODINGS},
        **{name: getattr(isa, name) for name in ("NO_TABLE", "NO_MASK", "WAITS", "UNITS", "COUNT_BITS")},
        "BIAS_BYTE": encodings.PARAMETER_OFFSETS["bias"],
        "MULTIPLIER_BYTE": encodings.PARAMETER_OFFSETS["multiplier"],
        "SHIFT_BYTE": encodings.PARAMETER_OFFSETS["shift"],
        "DIGIT_MASK": (1 << encodings.DIGIT_BITS) - 1,
        "MOST_WINDOW": (1 << window_bits) - 1,
        "MOST_TAPS_WINDOW": encodings.most_taps_window(arch.columns),
        "SHIFT_MAX": arithmetic.SHIFT_MAX,
        "INT8_LEAST": arithmetic.INT8_MIN,
        "INT8_MOST": arithmetic.INT8_MAX,
        "INT16_LEAST": arithmetic.INT16_MIN,
        "INT16_MOST": arithmetic.INT16_MAX,
    }


_ARCH = (
    "ACCUMULATOR_BANKS",
    "BEAT_BYTES",
    "INSTRUCTION_BYTES",
    "MASKS",
    "MASK_BITS",
    "MASK_COLUMNS",
    "PARAMETER_BYTES",
)
_ENCODINGS = (
    "REGION_UNIT",
    "SCRATCHPAD_SPACE",
    "DIGIT_BITS",
    "LOGIT_BYTES",
    "MOST_DIGITS_WINDOW",
    "MOST_DEPTHWISE_WINDOW",
    "MOST_DEPTHWISE_STEP",
    "DEPTHWISE_ENTRIES",
    "DEPTHWISE_PARTS",
    "TABLE_ENTRIES_PER_BEAT",
    "COORDINATE_BITS",
    "COORDINATE_MASK",
    "PARAMETERS_PER_BEAT",
    "INSTRUCTION_BEATS",
)


def _place(opcode: Opcode, name: str) -> dict[str, int]:
    """A field's bits, and the lowest and the highest of them in an instruction."""
    low, bits = field_place(opcode, name)
    return {"bits": bits, "low": low, "high": low + bits - 1}


def _format(opcode: Opcode) -> dict[str, Any]:
    """An instruction's fields with their places."""
    form = FORMATS[opcode]
    fields = [{"name": field.name, "doc": field.doc, **_place(opcode, field.name)} for field in form.fields]
    summary = form.doc.split(". ")[0].rstrip(".") + "."
    name = {"name": opcode.name, "type": opcode.name.capitalize(), "unit": form.unit.name, "summary": summary}
    return {**name, "fields": fields, "end": HEADER_BITS + form.bits}
