"""`gatewright rtl`: what is written is clean, complete, and says what it was made from."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gatewright.cli.main import main
from gatewright.contract.arch import PRESETS
from gatewright.contract.registers import REGISTERS, ErrorCode
from gatewright.hw.ports import port_members
from gatewright.hw.verilog.generate import WAIVERS, header, source_hash
from gatewright.verify.tools import tool_environment


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rtl")
    result = CliRunner().invoke(main, ["rtl", "--arch", "4x4", "-o", str(out)])
    assert result.exit_code == 0, result.output
    return out


def test_verilator_lints_it_clean_with_the_waivers_that_have_reasons(folder: Path) -> None:
    files = ["gatewright.vlt", "gatewright.v"]
    done = subprocess.run(
        ["verilator", "--lint-only", "-Wall", "--top-module", "gatewright", *files],
        cwd=folder,
        env=tool_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr[:2000]
    text = (folder / "gatewright.vlt").read_text()
    for rule, reason in WAIVERS.items():
        assert f"// {reason}\nlint_off -rule {rule}\n" in text


def test_the_top_module_has_exactly_the_documented_ports(folder: Path) -> None:
    text = (folder / "gatewright.v").read_text()
    (ports,) = re.findall(r"^module gatewright\((.*?)\);", text, re.MULTILINE | re.DOTALL)
    assert {port.strip() for port in ports.split(",")} == {"clk", "rst", *port_members()}


def test_memories_without_contents_are_zeroed_in_a_loop_and_tables_keep_theirs(folder: Path) -> None:
    text = (folder / "gatewright.v").read_text()
    memories = re.findall(r"^  reg \[[0-9]+:0\] (\S+ ?) ?\[([0-9]+):0\];", text, re.MULTILINE)
    loops = re.findall(r"each_word < (\d+); each_word = each_word \+ 1\) (\S+ ?)\[each_word\] = \d+'[hd]0+;", text)
    tables = re.findall(r"^  initial begin\n(.*?)^  end", text, re.MULTILINE | re.DOTALL)
    assert tables, "reciprocals are tables with contents"
    for block in tables:
        assert re.search(r"= \d+'[hd]\w*[1-9a-f]\w*;", block), block[:200]
    assert len(memories) == len(loops) + len(tables) and len(loops) > 20
    assert {(name.strip(), int(last) + 1) for name, last in memories} >= {(name.strip(), int(n)) for n, name in loops}


def test_every_process_is_clocked(folder: Path) -> None:
    """What reads only constants never runs in an ``always @*``: it stays X in a simulator that begins with none."""
    text = (folder / "gatewright.v").read_text()
    assert set(re.findall(r"always\S* *(@ *\(?[a-z]*|\S+)", text)) == {"@(posedge"}
    assert "function" not in text and "casez" not in text


def test_the_manifest_names_parameters_and_sources(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["arch"] == json.loads(json.dumps(PRESETS["4x4"].to_dict()))
    assert manifest["source_sha256"] == source_hash()
    assert "gatewright" in manifest["modules"]
    assert f"32'd{int(source_hash()[:8], 16)}" in (folder / "gatewright.v").read_text(), "register SOURCE_HASH"


def test_the_header_compiles_and_holds_every_register_and_code(folder: Path, tmp_path: Path) -> None:
    names = [f"GATEWRIGHT_{r.name} == 0x{r.offset:X}" for r in REGISTERS]
    names += [f"GATEWRIGHT_ERROR_{code.name} == {code.value}" for code in ErrorCode]
    checks = "\n".join(f'static_assert({name}, "{name}");' for name in names)
    (tmp_path / "check.cpp").write_text(f'#include "gatewright_registers.h"\n{checks}\n')
    subprocess.run(["g++", "-fsyntax-only", f"-I{folder}", str(tmp_path / "check.cpp")], check=True)
    assert header() == (folder / "gatewright_registers.h").read_text()


def test_the_same_sources_give_the_same_verilog() -> None:
    """In another process, whose hashes of strings differ."""
    script = (
        "import hashlib; from gatewright.contract.arch import PRESETS; from gatewright.hw.memories.masks import Masks; "
        "from gatewright.hw.verilog.text import verilog_text; "
        "print(hashlib.sha256(verilog_text(Masks(PRESETS['4x4']), 'masks').encode()).hexdigest())"
    )
    runs = {subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(runs) == 1
