"""The IP's description against the Verilog and the register map; the schema's part is ``python -m tests.vivado``."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import chain

import pytest

from gatewright.contract.arch import PRESETS
from gatewright.contract.registers import REGISTERS, ErrorCode
from gatewright.verify.design import machine_verilog
from gatewright.vivado.component import component_xml
from tests.vivado.kinds import SPIRIT


@pytest.fixture(scope="module")
def root() -> ET.Element:
    return ET.fromstring(component_xml(PRESETS["4x4"]))


def texts(element: ET.Element, path: str) -> list[str]:
    return [str(found.text) for found in element.findall(path, SPIRIT)]


def test_the_ports_are_those_of_the_verilog(root: ET.Element) -> None:
    """Names, directions and widths, against the text that the IP carries."""
    verilog = machine_verilog(PRESETS["4x4"])
    top = verilog[verilog.index("module gatewright(") :]
    top = top[: top.index("endmodule")]
    declared = re.findall(r"^  (input|output)(?: wire| reg)? (?:\[(\d+):0\] )?(\w+)(?: [,;]|;)", top, re.MULTILINE)
    expected = {name: (way.removesuffix("put"), int(left or 0) + 1) for way, left, name in declared}
    found = {}
    for port in root.iterfind(".//spirit:port", SPIRIT):
        (name,), (way,) = texts(port, "spirit:name"), texts(port, "spirit:wire/spirit:direction")
        left = texts(port, "spirit:wire/spirit:vector/spirit:left")
        found[name] = (way, int(left[0]) + 1 if left else 1)
    assert found == expected and len(found) > 40


def test_every_bus_signal_is_a_port_once(root: ET.Element) -> None:
    ports = set(texts(root, ".//spirit:port/spirit:name"))
    physical = texts(root, ".//spirit:physicalPort/spirit:name")
    assert len(physical) == len(set(physical)) and set(physical) <= ports
    assert {name for name in ports - set(physical) if not name.startswith("trace_")} == set()


def test_the_registers_are_those_of_the_contract(root: ET.Element) -> None:
    found = {}
    for register in root.iterfind(".//spirit:register", SPIRIT):
        (name,), (offset,) = texts(register, "spirit:name"), texts(register, "spirit:addressOffset")
        bits = [
            (texts(f, "spirit:name")[0], int(texts(f, "spirit:bitOffset")[0]), int(texts(f, "spirit:bitWidth")[0]))
            for f in register.findall("spirit:field", SPIRIT)
        ]
        found[name] = (int(offset, 0), bits)
    assert found == {
        r.name: (r.offset, [(b.name, b.position, 1) for b in r.bits] or [(r.name, 0, 32)]) for r in REGISTERS
    }
    names, values = (texts(root, f".//spirit:enumeratedValue/spirit:{part}") for part in ("name", "value"))
    assert dict(zip(names, map(int, values), strict=True)) == {code.name: code.value for code in ErrorCode}


def test_what_is_written_to_status_is_cleared(root: ET.Element) -> None:
    clearing = [
        texts(field, "spirit:name")[0]
        for field in root.iterfind(".//spirit:field", SPIRIT)
        if texts(field, "spirit:modifiedWriteValue") == ["oneToClear"]
    ]
    assert clearing == ["DONE", "ERROR"]


def test_the_files_are_named_once_each_view(root: ET.Element) -> None:
    sets = [texts(one, "spirit:file/spirit:name") for one in root.iterfind(".//spirit:fileSet", SPIRIT)]
    assert set(chain(*sets)) == {"hdl/gatewright.v", "constraints/gatewright_ooc.xdc"}
    assert texts(root, ".//spirit:fileSetRef/spirit:localName") == texts(root, ".//spirit:fileSet/spirit:name")
