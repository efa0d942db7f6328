"""What a user may choose about the machine, the presets, and the widths that follow.

The depths and banks of the buffers, and the widths that follow from them, come from here; the widths of
an instruction's fields, which bound them, are in ``gatewright/contract/isa.py``.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import ARCH
from gatewright.contract.schema import parse, show

BEAT_BYTES = 16
"""Bytes of one AXI data beat and of one scratchpad word."""

SCRATCHPAD_BANKS = 4
"""Word-interleaved banks: any 49 consecutive bytes can be read or written in one cycle."""

MOST_COLUMNS = 32
"""Columns of the widest array: what counts columns has room for them, in every machine."""

PORT_BYTES = 48
"""The most bytes that a port of the scratchpad moves in a cycle, from any byte address."""

TRANSPOSED_FILTERS = 16
"""Filters whose bytes EPILOGUE turns and writes at once where pixels stand still."""

OPERAND_BANKS = 4
"""Banks of the patch and weight buffers; vector v of slice s lies in bank (v + s) mod 4."""

ACCUMULATOR_BANKS = 4
"""Each belongs to ARRAY or to EPILOGUE at a time. With four, a short product in between (a gate's) does
not make the array wait for the epilogue of the long one before it."""

PARAMETER_BYTES = 8
"""One channel's epilogue parameters: bias int32, multiplier uint16, shift uint8, one byte unused."""

INSTRUCTION_BYTES = 48
MASK_BITS = 512
MASKS = 32
MASK_COLUMNS = 4
"""Columns of a kernel row whose mask bits GATHER looks up at once: the widest kernel with a ``source_mask``."""


@dataclass(frozen=True)
class DramConfig:
    """The DRAM model: a fixed latency, then beats at a rational rate, bursts in order."""

    latency: int = 64
    """Cycles from a burst's address to its first beat, when the data channel is free."""
    beats: int = 3
    """``beats`` beats of 16 bytes take ``per_cycles`` cycles."""
    per_cycles: int = 4
    burst_gap: int = 1
    """Idle cycles of the data channel between two bursts."""
    outstanding: int = 16
    """Read bursts that may be in flight."""
    shared: bool = False
    """Whether reads and writes share the rate, as LPDDR4 does, in the order of their addresses. If not, they are
    separate channels that do not slow each other."""

    def burst_cycles(self, beats: int) -> int:
        """Cycles that a burst of ``beats`` beats holds the data channel."""
        return -(-beats * self.per_cycles // self.beats)


@dataclass(frozen=True)
class ArchConfig:
    """The parameters of one machine. Validated when made; use ``load_arch`` for presets and files."""

    name: str = "ultra96"
    rows: int = 16
    """Rows of the array: consecutive reduction (k) values of one operand vector, a *slice*."""
    columns: int = 16
    """Columns of the array: stationary vectors held at once."""
    clock_mhz: int = 300
    load_vectors: int = 4
    """Stationary vectors loaded per cycle (1, 2 or 4)."""
    array_multipliers: int = 192
    """Multiplier blocks that the array may take. If it has more cells, pairs of its first columns share theirs, as many
    as are needed, and half of the columns at most; cycles and bytes are the same. The default: what the other units
    leave of three quarters of the ZU3EG's 360."""
    scratchpad_kib: int = 256
    patch_kib: int = 64
    weight_kib: int = 128
    accumulator_depth: int = 512
    """Entries (of ``columns`` int32) in each of the four accumulator banks."""
    parameter_entries: int = 4096
    table_entries: int = 512
    tables: int = 16
    instruction_entries: int = 512
    """Instruction memory, used as two pages."""
    queue_depth: int = 8
    """Instructions that wait in front of each unit."""
    depthwise: bool = True
    """Whether EPILOGUE has the kind DEPTHWISE."""
    dram: DramConfig = field(default_factory=DramConfig)

    def __post_init__(self) -> None:
        for holder, ranges, prefix in ((self, _RANGES, ""), (self.dram, _DRAM_RANGES, "dram.")):
            for name, low, high in ranges:
                value = getattr(holder, name)
                if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                    too_much = isinstance(value, int) and value > high and prefix + name in _WHY_NOT_MORE
                    raise GatewrightError(
                        f"arch {self.name}: {prefix}{name} = {show(value)} must be an integer from {low} to {high}"
                        + (f": {_WHY_NOT_MORE[prefix + name]}" if too_much else "")
                    )
        for key, value in (("depthwise", self.depthwise), ("dram.shared", self.dram.shared)):
            if not isinstance(value, bool):
                raise GatewrightError(f"arch {self.name}: {key} = {show(value)} must be true or false")
        if self.load_vectors not in (1, 2, 4):
            raise GatewrightError(f"arch {self.name}: load_vectors = {self.load_vectors} must be 1, 2 or 4")
        if self.dram.beats > self.dram.per_cycles:
            raise GatewrightError(f"arch {self.name}: dram delivers at most one beat a cycle; lower dram.beats")

    @property
    def gather_bytes(self) -> int:
        """Bytes that the dynamic index module moves from the scratchpad to the patch buffer per cycle."""
        return 3 * min(self.rows, BEAT_BYTES)

    @property
    def slices_per_beat(self) -> int:
        """Weight slices of ``rows`` bytes that one DRAM beat carries; the beat's rest is padding."""
        return max(1, BEAT_BYTES // self.rows)

    @property
    def scratchpad_bytes(self) -> int:
        return self.scratchpad_kib * 1024

    @property
    def patch_words(self) -> int:
        """Words of ``rows`` bytes in the patch buffer."""
        return self.patch_kib * 1024 // (4 * self.rows) * 4

    @property
    def weight_words(self) -> int:
        """Words of ``rows`` bytes in the weight buffer."""
        return self.weight_kib * 1024 // (4 * self.rows) * 4

    @property
    def page_instructions(self) -> int:
        """Instructions in a page: half of the instruction memory."""
        return self.instruction_entries // 2

    @property
    def peak_macs(self) -> int:
        """Multiply-accumulates per cycle."""
        return self.rows * self.columns

    def to_dict(self) -> dict[str, Any]:
        """The parameters as plain data, for reports and saved programs."""
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any], origin: str = "arch") -> ArchConfig:
        """The inverse of ``to_dict``; every key must be there, and no other.

        Two may be missing, since there was no choice before: ``dram.shared``, where channels are separate, and
        ``depthwise``, where the kind did not exist.
        """
        dram = ", ".join(f.name for f in fields(DramConfig))
        keys = ", ".join(f.name for f in fields(ArchConfig) if f.name != "dram")
        if isinstance(data, dict):
            data = {"depthwise": False, **data}
        if isinstance(data, dict) and isinstance(data.get("dram"), dict):
            data = {**data, "dram": {"shared": False, **data["dram"]}}
        return parse(ArchConfig, data, origin, f"the keys are {keys} and dram.{{{dram}}}")


_RANGES = (
    ("rows", 4, 16),
    ("columns", 4, MOST_COLUMNS),
    ("clock_mhz", 1, 2000),
    ("array_multipliers", 1, 512),
    ("scratchpad_kib", 4, 1024),
    ("patch_kib", 1, 64),
    ("weight_kib", 1, 256),
    ("accumulator_depth", 16, 1024),
    ("parameter_entries", 128, 4096),
    ("table_entries", 16, 4096),
    ("tables", 2, 31),
    ("instruction_entries", 64, 8192),
    ("queue_depth", 2, 64),
)

_WHY_NOT_MORE = {
    "rows": f"LOAD makes whole words of `rows` bytes of a beat, which has {BEAT_BYTES}; for a larger array take more "
    "columns",
    "columns": f"the writes of a total of int32 have room for {MOST_COLUMNS}",
    "scratchpad_kib": "a scratchpad address has 20 bits",
    "patch_kib": "patch_base has 12 bits, for units of four words, which may have 4 bytes",
    "weight_kib": "weight_base has 14 bits, for units of four words, which may have 4 bytes",
    "accumulator_depth": "an accumulator entry's number has 10 bits",
    "parameter_entries": "a parameter entry's number has 12 bits",
    "tables": "a table's number has 5 bits, and the last one stands for no table",
    "instruction_entries": "an entry's number in NEXT has 13 bits",
}
"""What of the machine would have to be another for more."""

MOST_DRAM_RATE = 1024
"""The largest ``beats`` and ``per_cycles`` of a DRAM's rate."""

_DRAM_RANGES = (
    ("latency", 2, 65_535),
    ("beats", 1, MOST_DRAM_RATE),
    ("per_cycles", 1, MOST_DRAM_RATE),
    ("burst_gap", 0, 65_535),
    ("outstanding", 1, 64),
)
"""Generous, and such that a whole program's cycles fit the simulators' 64 bits and the bench's 32-bit counters hold a
burst's; ``outstanding`` is the depth of a queue in the RTL, like ``queue_depth``."""

PRESETS = {
    "ultra96": ArchConfig(),
    "8x8": ArchConfig(name="8x8", rows=8, columns=8),
    "16x8": ArchConfig(name="16x8", rows=16, columns=8),
    "4x4": ArchConfig(name="4x4", rows=4, columns=4),
    "12x20": ArchConfig(name="12x20", rows=12, columns=20),
    "ultra96-lean": ArchConfig(name="ultra96-lean", depthwise=False),
}


def load_arch(name_or_path: str) -> ArchConfig:
    """A preset by name, or a TOML file with any of the keys of ``ArchConfig`` (``preset`` to start from one)."""
    if name_or_path in PRESETS:
        return PRESETS[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise GatewrightError(f"no arch preset or file {name_or_path!r}; presets are {', '.join(PRESETS)}")
    try:
        data = tomllib.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise GatewrightError(f"arch file {path} is not valid TOML: {error}") from error
    ARCH.check(data.pop("format", None), f"arch file {path}")
    preset = data.pop("preset", "ultra96")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise GatewrightError(f"arch file {path}: no preset {show(preset)}; presets are {', '.join(PRESETS)}")
    base = PRESETS[preset].to_dict()
    dram = data.get("dram", {})
    merged = {"name": path.stem, **{k: v for k, v in base.items() if k != "name"}, **data}
    if isinstance(dram, dict):
        merged["dram"] = {**base["dram"], **dram}
    return ArchConfig.from_dict(merged, f"arch file {path}")
