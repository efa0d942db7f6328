"""The Yosys script: what is done to a design in which order, and why."""

from __future__ import annotations

from dataclasses import dataclass

MARK = "gatewright step "
"""Printed by the script before each step."""

TECHMAPS = ("dsp48e1.v", "dsp48e2.v", "carry8.v", "cells.v")
"""Files of this folder that the script reads."""

LIBRARY, NETLIST, STATISTICS, TIMING, CELLS = "library.v", "netlist.v", "statistics.json", "timing.txt", "cells.json"
"""Files that the script reads and writes, in the output folder."""

_XILINX = "synth_xilinx -family xcup -flatten -noiopad -noclkbuf"
_DSP_LIMITS = (
    "-D DSP_A_MAXWIDTH=27 -D DSP_B_MAXWIDTH=18 -D DSP_A_MAXWIDTH_PARTIAL=18 "
    "-D DSP_Y_MINWIDTH=9 -D DSP_SIGNEDONLY=1 -D DSP_NAME=$__MUL27X18"
)


@dataclass(frozen=True)
class Step:
    """A part of the script that is timed as one."""

    name: str
    commands: tuple[str, ...]


def steps(source: str, top: str, kept: list[str], dsp_width: int) -> list[Step]:
    """The script for the RTLIL file ``source`` with the top module ``top``.

    Modules in ``kept`` (and the top) are synthesised each on its own, with everything below them; multipliers with
    an operand narrower than ``dsp_width`` bits become look-up tables.
    """
    keep = [f"setattr -mod -set keep_hierarchy 1 {_escape(name)}" for name in kept]
    return [
        Step(
            "read",
            (
                "read_verilog -lib -specify +/xilinx/cells_sim.v",
                f"read_verilog -lib -specify -overwrite {LIBRARY} cells.v",
                f"read_rtlil {source}",
                # Wires with an index in their names, from layouts at ports, are mistaken for bits by abc9.
                r"rename -hide w:*\[*\]",
                f"hierarchy -check -top {_escape(top)}",
                *keep,
            ),
        ),
        Step(
            "prepare",
            (
                "proc",
                "flatten",
                # Constants, unused and doubled signals across the boundaries that stay.
                "opt_hier",
                f"{_XILINX} -run prepare:map_dsp",
                "opt_hier",
                "opt",
            ),
        ),
        Step(
            "multipliers",
            (
                "memory_dff",
                "alumacc -macc-only",
                "maccmap -unmap",
                "opt_clean",
                f"techmap -map +/mul2dsp.v -map dsp48e1.v {_DSP_LIMITS} "
                f"-D DSP_A_MINWIDTH={dsp_width} -D DSP_B_MINWIDTH={dsp_width}",
                "select a:mul2dsp",
                "setattr -unset mul2dsp",
                "opt_expr -fine",
                "wreduce",
                "select -clear",
                # The packer takes a sum and its register into the block although the register has other readers, an
                # accumulator for one, and loses the sum. It leaves registers alone whose output is to be kept.
                "select -set sums t:$add %co1:+[Y] w:* %i",
                "select -set registered @sums %co1:+[D] t:$*dff* %i %co1:+[Q] w:* %i",
                "select -set readers @registered %co1 c:* %i t:DSP48E1 %d",
                "select -set shared @readers %ci1 w:* %i @registered %i",
                "setattr -set keep 1 @shared",
                # The packer of registers, post-adders and cascades exists for series 7 only.
                "xilinx_dsp -family xc7",
                "setattr -unset keep @shared",
                "chtype -set $mul t:$__soft_mul",
                # Later, what has lost its driver would become a constant and not be found. A wide register may read a
                # bit for an output that the packer took over, so registers are looked at bit by bit.
                "design -push-copy",
                "simplemap t:$*dff*",
                "opt_clean",
                "check -assert",
                "design -pop",
            ),
        ),
        Step("memories", (f"{_XILINX} -run coarse:fine",)),
        Step(
            "arithmetic",
            (
                # ``opt -full`` without opt_share, which puts a choice in front of sums with a common operand. Where a
                # choice is late, it is behind them on purpose.
                "opt -fine -undriven -mux_undef -mux_bool",
                "xilinx_srl -variable -minlen 3",
                # alumacc puts a sum's operands into any order. The carry takes the first one as it is: it should be the
                # one that is not chosen or gated in front of the sum.
                "select -set gates t:$mux t:$pmux t:$and t:$or",
                "select -set first @gates %co1:+[Y] w:* %i %co1:+[A] t:$alu %i",
                "select -set second @gates %co1:+[Y] w:* %i %co1:+[B] t:$alu %i",
                "select -set swapped @first @second %d",
                "chtype -set $__alu_swapped @swapped",
                "techmap -map carry8.v t:$__alu_swapped",
                "chtype -set $alu t:$__alu_swapped",
                "techmap -map +/techmap.v -D LUT_SIZE=6 -map carry8.v",
                "opt -fast",
            ),
        ),
        Step(
            "tables",
            (
                f"{_XILINX} -run map_cells:map_luts",
                "opt_expr -mux_undef -noclkinv",
                # An enable or a reset that is active at 0 has an inverter for each bit of its register: abc leaves them
                # apart.
                "opt_merge",
                # The stock script's abc9 counts a table of 3 inputs as 3/5 of one of 6, and makes the rotators of
                # 2:1 multiplexers. Counted as tables, plain abc needs a fifth less.
                "abc -lut 6",
                "clean",
                "xilinx_srl -fixed -minlen 3",
                "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
                "xilinx_dffopt",
                "opt_lut_ins -tech xilinx",
                "clean",
            ),
        ),
        Step(
            "timing",
            (
                "design -push-copy",
                "setattr -mod -unset keep_hierarchy *",
                "flatten",
                f"tee -q -o {TIMING} sta",
                "delete =A:*/p:*",
                f"write_json {CELLS}",
                "design -pop",
            ),
        ),
        Step(
            "netlist",
            (
                "check -noinit -assert",
                "techmap -map dsp48e2.v",
                # Inputs that the packer left open.
                "setundef -zero -undriven",
                "clean",
                f"tee -q -o {STATISTICS} stat -json",
                f"write_verilog -noattr {NETLIST}",
            ),
        ),
    ]


def script(parts: list[Step]) -> str:
    """The steps as a Yosys script."""
    lines = []
    for step in parts:
        lines += [f"log {MARK}{step.name}", *step.commands]
    return "\n".join([*lines, f"log {MARK}end", ""])


def _escape(name: str) -> str:
    return name if name.replace("_", "").isalnum() else f"\\{name}"
