"""The text form of programs: nothing is lost on the way, and every fault names its line and token."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.contract.arch import load_arch
from gatewright.contract.errors import GatewrightError
from gatewright.contract.instruction_words import decode, encode
from gatewright.contract.isa import Opcode, Unit, column
from gatewright.listing.assembler import assemble, disassemble, replace_code
from gatewright.verify.kit.programs import make_program, row
from tests.support.listings import CODE_ADDRESS, random_program


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_random_programs_come_back_byte_by_byte(seed: int, pages: list[int]) -> None:
    program = random_program(seed, tuple(pages))
    assembly = assemble(disassemble(program))
    assert encode(assembly.code) == encode(program.code)
    again = replace_code(program, assembly)
    assert np.array_equal(again.image, program.image) and np.array_equal(again.code, program.code)


def test_linked_pages_come_back() -> None:
    rows = [row(Opcode.LOAD, rows=1, row_beats=1, address=16 * i) for i in range(40)]
    program = make_program(replace(load_arch("4x4"), instruction_entries=64), rows, page_size=16)
    assert len(program.page_starts) == 3
    text = disassemble(program)
    assert [line for line in text.splitlines() if line.startswith(".page")] == [".page 0", ".page 1", ".page 2"]
    assert np.array_equal(replace_code(program, assemble(text)).image, program.image)


def test_the_text_says_what_it_means() -> None:
    program = make_program(
        load_arch("ultra96"),
        [
            row(Opcode.MATMUL, [(Unit.LOAD, 3), (Unit.GATHER, 2)], stationary=1, filter_table=2, bank=1),
            row(Opcode.EPILOGUE, [(Unit.ARRAY, 1)], kind=3, destination=0x120),
        ],
    )
    lines = disassemble(program).splitlines()
    assert lines[:3] == [".arch ultra96", ".code_address 0x0", ".boot_count 3"]
    matmul, epilogue, end = lines[5:8]
    assert matmul.startswith("    0 MATMUL   after LOAD:3,GATHER:2 stationary=PIXELS patch_base=0 ")
    assert " filter_table=2 " in matmul and " channel_table=none " in matmul and matmul.endswith(" ; program")
    assert epilogue.startswith("    1 EPILOGUE after ARRAY:1 kind=THRESHOLD stationary=FILTERS destination=0x120 ")
    assert end == "    2 END ; program"


def test_none_is_another_number_for_tables_than_for_masks() -> None:
    text = disassemble(make_program(load_arch("ultra96"), [row(Opcode.GATHER, tile_table=31, source_mask=63)]))
    assert " tile_table=none " in text and " source_mask=none " in text
    code = assemble(text).code[0]
    assert [code[column(Opcode.GATHER, name)] for name in ("tile_table", "source_mask")] == [31, 63]
    assert " source_mask=31 " in disassemble(make_program(load_arch("ultra96"), [row(Opcode.GATHER, source_mask=31)]))


def test_waits_keep_their_places() -> None:
    waits = [(Unit.NONE, 0), (Unit.NONE, 9), (Unit.STORE, 65535)]
    program = make_program(load_arch("ultra96"), [row(Opcode.END, waits)])
    text = disassemble(program)
    assert "END      after NONE:0,NONE:9,STORE:65535" in text
    assert assemble(text).code.tolist() == program.code.tolist()


def test_comments_blank_lines_and_numbers_are_optional() -> None:
    text = "; a listing\n\nEXIT count_table=0x3 most=7 ; leave\n   \n1 END\nEND\n"
    assembly = assemble(text)
    assert assembly.code[:, 0].tolist() == [Opcode.EXIT, Opcode.END, Opcode.END]
    assert assembly.code[0, [column(Opcode.EXIT, "count_table"), column(Opcode.EXIT, "most")]].tolist() == [3, 7]


def test_an_architecture_may_have_any_name() -> None:
    for name in ("two words", "a;b", "", " ; "):
        program = random_program(1)
        program = replace(program, arch=replace(program.arch, name=name))
        assert np.array_equal(replace_code(program, assemble(disassemble(program))).image, program.image)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("MATMULT", "line 3: 'MATMULT': no such instruction; there are LOAD, GATHER"),
        ("load", "line 3: 'load': no such instruction"),
        (f"{'7' * 5000} END", "line 3: '7777777"),
        (f"NEXT entry=0x{'f' * 5000}", "an integer of 20000 bits does not fit in the 13 bits of entry"),
        (f"EXIT count_table={'9' * 5000} most=2", "is not a number"),
        (f".boot_count 0x{'f' * 5000}\n.boot_count 1", "line 4: '.boot_count': given twice"),
        ("7 END", "line 3: '7': this is instruction 1"),
        ("1", "line 3: a number without an instruction"),
        ("EXIT count_table=1 bits=2", "line 3: 'bits=2': not a field of EXIT"),
        ("EXIT count_table=1 bit", "line 3: 'bit': not a field of EXIT"),
        ("EXIT count_table=1", "line 3: 'EXIT': missing most"),
        ("SKIP most=1 instructions=2 most=1", "line 3: 'most=1': given twice"),
        ("INDEX mask=64", "line 3: 'mask=64': 64 does not fit in the 6 bits of mask"),
        ("EXIT most=-1", "line 3: 'most=-1': numbers are not negative"),
        ("EXIT most=x", "line 3: 'most=x': 'x' is not a number"),
        ("EXIT most=none", "line 3: 'most=none': 'none' is not a number"),
        ("EXIT most= count_table=2", "line 3: 'most=': '' is not a number"),
        ("END after", "line 3: 'after': waits must follow"),
        ("END after ARRAY", "line 3: 'ARRAY': a wait is UNIT:COUNT"),
        ("END after ALU:3", "line 3: 'ALU:3': a wait is UNIT:COUNT"),
        ("END after SEQUENCER:3", "line 3: 'SEQUENCER:3': a wait is UNIT:COUNT"),
        ("END after ARRAY:x", "line 3: 'ARRAY:x': 'x' is not a number"),
        ("END after ARRAY:65536", "line 3: 'ARRAY:65536': the count does not fit in 16 bits"),
        ("END after ARRAY:1,LOAD:1,INDEX:1,STORE:1", "at most 3 waits"),
        (".pages 0", "line 3: '.pages': no such directive; there are .arch"),
        (".page", "line 3: '.page': .page takes one value"),
        (".page 1", "line 3: '1': the next page is 0"),
        (".boot_count 1 2", "line 3: '2': .boot_count takes one value"),
        (".boot_count many", "line 3: 'many': 'many' is not a number"),
        (".arch 8x8\n.arch 8x8", "line 4: '.arch': given twice"),
    ],
)
def test_faults_name_line_and_token(line: str, message: str) -> None:
    with pytest.raises(GatewrightError, match=re.escape(message)):
        assemble(f"; first line\nEND\n{line}\n")


@pytest.mark.parametrize(
    ("name", "value", "names"),
    [
        ("space", "WEIGHTS", "SCRATCHPAD, WEIGHTS_BY_VECTOR"),
        ("space", "scratchpad", "SCRATCHPAD"),
        ("space", "8", "does not fit in the 3 bits"),
    ],
)
def test_unknown_symbols_list_the_known(name: str, value: str, names: str) -> None:
    text = disassemble(make_program(load_arch("ultra96"), [row(Opcode.LOAD)]))
    with pytest.raises(GatewrightError, match=f"line 6: '{name}={value}'.*{names}"):
        assemble(re.sub(rf"{name}=\w+", f"{name}={value}", text))


def test_an_edit_reaches_the_code_and_the_image_and_nothing_else() -> None:
    program = random_program(11)
    program.code[10] = row(Opcode.STORE, beats=3)
    program.image[CODE_ADDRESS + 480 : CODE_ADDRESS + 528] = np.frombuffer(encode(program.code[10:11]), np.uint8)
    edited = replace_code(program, assemble(disassemble(program).replace("beats=3 ", "beats=4 ")))
    changed = np.flatnonzero(edited.image != program.image)
    assert len(changed) and changed.min() >= CODE_ADDRESS + 480 and changed.max() < CODE_ADDRESS + 528
    assert edited.code[10, column(Opcode.STORE, "beats")] == 4
    code_bytes = edited.image[CODE_ADDRESS : CODE_ADDRESS + 48 * len(edited.code)].tobytes()
    assert decode(code_bytes).tolist() == edited.code.tolist()
    assert program.code[10, column(Opcode.STORE, "beats")] == 3, "the original is left alone"


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"\.arch .*", ".arch 4x4", r"\.arch is 4x4, but the program's is 8x8"),
        (r"\.code_address .*", ".code_address 0x80", r"\.code_address is 128, but the program's is 64"),
        (r"\.boot_count .*", "", r"\.boot_count is missing"),
        (r"\.page 2", "", "the text's pages start at"),
        (r"\Z", "END\n", "the text has 22 instructions, the program 21"),
    ],
)
def test_a_text_of_another_program_is_refused(pattern: str, replacement: str, message: str) -> None:
    program = random_program(5)
    text = re.sub(pattern, replacement, disassemble(program), count=1)
    with pytest.raises(GatewrightError, match=message):
        replace_code(program, assemble(text))


def test_an_image_too_short_for_its_code_is_refused() -> None:
    program = random_program(5)
    short = replace(program, image=program.image[:200])
    with pytest.raises(GatewrightError, match="the code needs bytes 64 to 1072 of an image of 200"):
        replace_code(short, assemble(disassemble(program)))
