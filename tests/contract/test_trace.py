from __future__ import annotations

import numpy as np
import pytest

from gatewright.contract.trace import TRACE_DTYPE, Difference, Trace, first_difference


def trace(rows: int = 4, cycles: int = 100) -> Trace:
    records = np.zeros(rows, TRACE_DTYPE)
    for place, name in enumerate(TRACE_DTYPE.names or ()):
        records[name] = np.arange(rows) * 10 + place
    return Trace(records, cycles)


def test_equal_traces_do_not_differ() -> None:
    assert first_difference(trace(), trace()) is None


@pytest.mark.parametrize("field", ["instruction", "unit", "dispatch", "start", "run", "done"])
def test_a_change_of_any_field_is_found_where_it_is(field: str) -> None:
    changed = trace()
    changed.records[field][2] += 5
    value = int(trace().records[field][2])
    assert first_difference(trace(), changed) == Difference(2, field, value, value + 5)
    assert first_difference(changed, trace()) == Difference(2, field, value + 5, value)


def test_the_first_of_several_is_reported() -> None:
    changed = trace()
    changed.records["done"][1] = 7
    changed.records["dispatch"][2] = 7
    found = first_difference(trace(), changed)
    assert found is not None and (found.position, found.field) == (1, "done")


def test_a_missing_record_is_a_difference_of_length() -> None:
    assert first_difference(trace(3), trace(4)) == Difference(3, "length", 3, 4)
    assert first_difference(trace(1), trace(0)) == Difference(0, "length", 1, 0)


def test_total_cycles_count_when_the_records_agree() -> None:
    assert first_difference(trace(cycles=100), trace(cycles=101)) == Difference(4, "cycles", 100, 101)
