"""Index tables: what is written is read, by every reader."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.hw.memories.tables import Tables
from tests.hw.instructions import ARCH
from tests.support.rtl import run_bench


@pytest.mark.parametrize(("entries", "seed"), [(16, 1), (100, 2), (1024, 3)])
def test_entries_and_counts(entries: int, seed: int) -> None:
    print(f"seed {seed}")
    tables = Tables(replace(ARCH, table_entries=entries))
    run_bench(tables, "tests.hw.memories.bench_tables", env={"SEED": str(seed), "ENTRIES": str(entries)})
