"""Every kind of file that is written and read again: its version, and what a reader says of another one.

A file says its format as ``gatewright-KIND-VERSION``. A version is raised when today's readers would refuse, or
misunderstand, a file of yesterday, or yesterday's one of today; keys that may be missing are no reason. What a reader
does not know it refuses, with what to do. ``docs/formats.md`` is made from this, and ``tests/formats`` holds files of
each version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gatewright.contract.errors import GatewrightError
from gatewright.contract.schema import show

_NAME = re.compile(r"gatewright-([a-z-]+)-([1-9]\d{0,8})")


@dataclass(frozen=True)
class FileFormat:
    """A kind of file.

    ``version`` is what is written, ``read`` are the versions that are read. ``unmarked``: the version of a file that
    says nothing; None if it must say it. ``fix``: what to do about a file that is not read.
    """

    kind: str
    version: int
    files: str
    """How such files are called."""
    holds: str
    where: str
    """The key that says the format."""
    fix: str
    read: tuple[int, ...] = ()
    unmarked: int | None = None
    older: str = ""
    """How versions that are read, but no longer written, differ."""

    @property
    def name(self) -> str:
        """What a file of today says."""
        return f"gatewright-{self.kind}-{self.version}"

    @property
    def versions(self) -> tuple[int, ...]:
        """Those that are read."""
        return self.read or (self.version,)

    def check(self, found: object, what: str, fix: str = "") -> int:
        """The version of a file ``what`` that says ``found`` (None: nothing); one that is not read is an error."""
        fix = fix or self.fix
        if found is None and self.unmarked is not None:
            return self.unmarked
        named = _NAME.fullmatch(found) if isinstance(found, str) else None
        if named is None or named[1] != self.kind:
            raise GatewrightError(f"{what} is not a {self.name} file; its format is {show(found)}; {fix}")
        version = int(named[2])
        if version > self.version:
            raise GatewrightError(
                f"{what} is of a newer Gatewright: its format is {found}, this one reads {self.name}; install the "
                f"newer one, or {fix}"
            )
        if version not in self.versions:
            raise GatewrightError(f"{what} has the format {found}, which is no longer read, only {self.name}; {fix}")
        return version


PROGRAM = FileFormat(
    "program", 2, "`NAME.safetensors`", "a program: instructions, DRAM image, header; with it the instruction set",
    "metadata `format`", "compile it again",
)  # fmt: skip

CHECKPOINT = FileFormat(
    "checkpoint", 2, "`NAME.safetensors`", "a network's tensors and its spec", "metadata `format`",
    "train it again, or fetch it again", read=(1, 2), older="1 has no checksum, and may lack keys of the spec",
)  # fmt: skip

RANGES = FileFormat(
    "ranges", 2, "`NAME.ranges.json`", "a checkpoint's activation ranges", "key `format`",
    "calibrate the same network again", read=(1, 2), unmarked=1, older="1 is the ranges alone, by tensor",
)  # fmt: skip

CALIBRATION = FileFormat(
    "calibration", 2, "`NAME.pt2.ranges.json`", "an exported program's ranges, means and normalisation", "key `format`",
    "calibrate it again", read=(1, 2), older="1 does not say how photographs are scaled: they cover the size",
)  # fmt: skip

ARCH = FileFormat(
    "arch", 1, "`NAME.toml`", "a machine", "key `format`", "write it with the keys of gatewright/contract/arch.py",
    unmarked=1,
)  # fmt: skip

BOARD = FileFormat(
    "board", 1, "`NAME.toml`", "a board: chip, clocks, DRAM, machine", "key `format`",
    "write it as those in gatewright/boards", unmarked=1,
)  # fmt: skip

CARD = FileFormat(
    "card", 1, "`NAME.json` in the zoo", "what is known of a network of the zoo", "key `format`",
    "publish the network again", unmarked=1,
)  # fmt: skip

COUNTERS = FileFormat(
    "counters", 1, "what `--counters` names", "what a board, or what stands for one, has counted", "key `format`",
    "let the driver write it again, with --counters",
)  # fmt: skip

REPORT = FileFormat(
    "report", 1, "`report.json`", "every figure of a report; more keys may come in the same version", "key `format`",
    "make the report again",
)  # fmt: skip

CYCLES = FileFormat(
    "cycles", 1, "what `fit-cycles -o` names", "a network's cycles by what its gates decide, fitted", "key `format`",
    "make it again with gatewright fit-cycles",
)  # fmt: skip

SPACE = FileFormat(
    "space", 1, "`NAME.toml`", "a space of machines, and what to look for in it", "key `format`",
    "write it with the keys of docs/explore.md", unmarked=1,
)  # fmt: skip

ENERGY = FileFormat(
    "energy", 1, "`NAME.toml`", "picojoules of each access", "key `format`",
    "write it with the keys of docs/explain.md", unmarked=1,
)  # fmt: skip

COVERAGE = FileFormat(
    "coverage", 1, "what `--coverage` names", "what random programs have reached of a machine", "key `format`",
    "make it again with gatewright verify --random N --coverage",
)  # fmt: skip

COMPARISON = FileFormat(
    "comparison", 1, "`comparison.json`", "two reports side by side", "key `format`", "compare the reports again",
)  # fmt: skip

EXPLANATION = FileFormat(
    "explain", 1, "what `--json` names", "answers about a network on a machine", "key `format`", "explain it again",
)  # fmt: skip

FORMATS = (
    PROGRAM,
    CHECKPOINT,
    RANGES,
    CALIBRATION,
    ARCH,
    BOARD,
    CARD,
    COUNTERS,
    REPORT,
    CYCLES,
    SPACE,
    ENERGY,
    COVERAGE,
)
"""What is read again."""

WRITTEN = (COMPARISON, EXPLANATION)
"""What is written for others alone; more keys may come in the same version."""
