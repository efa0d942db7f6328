"""The machine's Verilog with memories that lose what an image has left in them, before the next image's page 0 comes.

Queues and what is on its way stay: they are empty when an image has ended.
"""

from __future__ import annotations

import re

from gatewright.contract.arch import ArchConfig

MEMORIES = (
    "accumulators",
    "masks",
    "parameters",
    "patch_buffer",
    "scratchpad",
    "sequencer.fetch.memory",
    "tables",
    "weight_buffer",
)
"""The modules whose memories an image may not hand on: all that section 2 of docs/architecture.md has, and no other."""

IMAGES = "images"
"""The module that knows when an image is over."""

DELAY = 8
"""Cycles from an image's end to the poison: writes that END does not wait for have come to rest, and DRAM's first
bytes of the next image are far."""

_MODULE = re.compile(r"^module \\?gatewright\.([\w.]+)(?:\$\d+)?\s*\(.*?^endmodule$", re.MULTILINE | re.DOTALL)
_MEMORY = re.compile(r"^  reg \[(\d+):0\] (\w+) \[(\d+):0\];$", re.MULTILINE)
_COUNTS = re.compile(r"^    counts <= (.*) ;$", re.MULTILINE)


def poisoned(verilog: str, arch: ArchConfig, seed: int = 1) -> str:
    """Verilog of the machine ``arch`` with such memories; ``seed`` (not 0) is of what is written into them.

    Fails if one of ``MEMORIES`` is not there, or has no memory.
    """
    assert seed, "a shift register of zeros stays so"
    found: set[str] = set()

    def module(match: re.Match[str]) -> str:
        name, text = match[1], match[0]
        if name == IMAGES:
            found.add(name)
            return _before_end(text, "always @(posedge clk) poison::over <= {poison::over, over};")
        if name not in MEMORIES:
            return text
        found.add(name)
        text, memories = _MEMORY.subn(_noisy, text)
        assert memories, f"{name} has no memory"
        if name == "tables":
            text, counts = _COUNTS.subn(lambda row: _noisy_counts(row, arch), text)
            assert counts == 1, f"the tables' counts are set at {counts} places"
        return text

    text = _MODULE.sub(module, verilog)
    missing = {*MEMORIES, IMAGES} - found
    assert not missing, f"the Verilog has no module {', '.join(sorted(missing))}"
    return _PACKAGE.format(seed=seed, delay=DELAY) + text


_PACKAGE = """package poison;
  bit [{delay}:0] over;
  bit [31:0] state = {seed};
  function automatic bit now();
    return over[{delay}];
  endfunction
  function automatic bit [31:0] noise();
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
  endfunction
endpackage
"""


def _noise(bits: int) -> str:
    return "{" + ", ".join(["poison::noise()"] * -(-bits // 32)) + "}"


def _noisy(match: re.Match[str]) -> str:
    bits, name, depth = int(match[1]) + 1, match[2], int(match[3]) + 1
    loop = f"for (int word = 0; word < {depth}; word = word + 1) {name}[word] <= {_noise(bits)};"
    return f"{match[0]}\n  always @(posedge clk) if (poison::now()) begin\n    {loop}\n  end"


def _noisy_counts(match: re.Match[str], arch: ArchConfig) -> str:
    """Each count below the tables' length, in as many bits as a count has."""
    bits = arch.table_entries.bit_length()
    counts = ", ".join([f"{bits}'(poison::noise() % {arch.table_entries})"] * arch.tables)
    return f"    counts <= poison::now() ? {{{counts}}} : {match[1]} ;"


def _before_end(text: str, line: str) -> str:
    return text.removesuffix("endmodule") + f"  {line}\nendmodule"
