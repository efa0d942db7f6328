"""The quick parts of pages that claim to be runnable; ``make site-check`` runs the slow ones as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import Block, Part, all_parts, fault_of, parts_of, says

QUICK = [part for part in all_parts() if not part.slow]

PAGE = """
```sh
never
```
<!-- run: slow -->
```python
print(1)
```
Then
```text
1
```
```
not this
```
<!-- fails -->
```sh
false
```
<!-- end of run -->
```sh
never
```
"""


def test_a_page_says_what_runs() -> None:
    first = Block("python", "print(1)\n", 7, False, "1\n")
    assert parts_of(PAGE, "p.md") == [Part("p.md", True, (first, Block("sh", "false\n", 18, True, None)))]


def test_pages_that_claim_it_are_there() -> None:
    pages = {part.page for part in all_parts()}
    assert {"first-answer.md", "your-own-machine.md", "your-own-network.md"} <= pages
    assert all(part.blocks for part in all_parts()), "a page says that it runs, and has no code that does"


@pytest.mark.parametrize("part", QUICK, ids=lambda part: part.page)
def test_what_a_page_says_runs(part: Part, tmp_path: Path) -> None:
    for block in part.blocks:
        fault = fault_of(block, tmp_path)
        assert not fault, f"docs/{part.page}, line {block.line}: {fault}"


def test_faults_are_seen(tmp_path: Path) -> None:
    assert not fault_of(Block("sh", "echo one; echo two\n", 1, False, "one\n...\n"), tmp_path)
    assert "prints" in fault_of(Block("sh", "echo one\n", 1, False, "two\n"), tmp_path)
    assert "ends with 3" in fault_of(Block("sh", "exit 3\n", 1, False, None), tmp_path)
    assert "ends with 0" in fault_of(Block("sh", "true\n", 1, True, None), tmp_path)
    assert "ends with 1" in fault_of(Block("python", "assert 0\n", 1, False, None), tmp_path)


def test_three_dots_stand_for_any_lines() -> None:
    assert says("a\n...\nd\n", "a\nb\nc\nd\n") and says("a\n...\nd\n", "a\nd\n") and says("a\n...\n", "a\n")
    assert not says("a\n...\nd\n", "a\nb\n") and not says("a\n", "a\nb\n") and not says("a.c\n", "abc\n")
