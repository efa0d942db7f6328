"""Faults of lists: filters in a table's order, patches for filters that are not there, some bits of a mask."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_SIZES = "tests/hw/control/test_sizes.py"
_ARRAY = "tests/hw/array/test_array.py"
_INDEX = "tests/hw/index/test_index.py"
_TABLES = "tests/hw/memories/test_tables.py"
_LEGALITY = "tests/hw/control/test_sequencer.py -k illegal"

HARDWARE_LISTS = [
    Mutant(
        "in-order-from-the-first-filter-on",
        "hw/array/prepare.py",
        "from_zero = listed | head.in_order",
        "from_zero = listed",
        "of filters that lie in a table's order the vectors behind the region's first ones are taken",
        _ARRAY,
    ),
    Mutant(
        "in-order-by-entries",
        "hw/array/prepare.py",
        "listed.eq((head.filter_table != NO_TABLE) & ~head.in_order)",
        "listed.eq(head.filter_table != NO_TABLE)",
        "filters that lie in a table's order are picked by its entries once more",
        _ARRAY,
    ),
    Mutant(
        "in-order-without-a-table-unchecked",
        "hw/control/operand_rules.py",
        "fields.in_order & (fields.filter_table == NO_TABLE)",
        "0",
        "a MATMUL in the order of no table runs without a word",
        _LEGALITY,
    ),
    Mutant(
        "patches-for-one-filter-less",
        "hw/control/sizes.py",
        "(filters <= head.first_filter)",
        "(filters < head.first_filter)",
        "patches are formed for a filter behind the table's end",
        _SIZES,
    ),
    Mutant(
        "first-bit-of-a-word",
        "hw/index/unit.py",
        "(~before.any()).replicate(MASK_WORD_BITS)",
        "1",
        "bits of whole words before the first one are listed",
        _INDEX,
    ),
    Mutant(
        "first-bit-in-every-word",
        "hw/index/unit.py",
        "within.eq(before.any())",
        "within.eq(1)",
        "the low bits of each later word are not listed",
        _INDEX,
    ),
    Mutant(
        "group-turned-from-zero",
        "hw/index/unit.py",
        "[count.eq(0), turn.eq(0)]",
        "count.eq(0)",
        "the entries of a table behind one whose length is no multiple of 4 lie in each other's places",
        _INDEX,
    ),
    Mutant(
        "group-in-the-order-of-its-bits",
        "hw/index/unit.py",
        "rank = (lane - turn)[:_LANE]",
        "rank = lane",
        "entries lie in each other's places behind a group with fewer than four",
        _INDEX,
    ),
    Mutant(
        "last-group-of-a-word-lost",
        "hw/index/unit.py",
        "~Cat(groups[number] & groups[:number].any() for number in range(1, len(groups))).any()",
        "~Cat(groups[number] & groups[:number].any() for number in range(1, len(groups) - 1)).any()",
        "of a word with two groups or more the last one is not listed",
        _INDEX,
    ),
    Mutant(
        "group-in-one-row",
        "hw/memories/tables.py",
        "Cat((row + part)[: self._row_bits], index.table)",
        "Cat(row, index.table)",
        "the entries of a group that crosses the end of a row of eight go to the row's begin",
        _TABLES,
    ),
]

SIMULATOR_LISTS = [
    Mutant(
        "fast-index-one-by-one",
        "sim/fast/index.py",
        "if bit // MASK_GROUP_BITS != last_group:",
        "if bit != last_group:",
        "INDEX takes as many cycles as there are entries",
    ),
    Mutant(
        "stepped-groups-of-the-list",
        "sim/stepped/index/unit.py",
        "np.flatnonzero(np.diff(ones // MASK_GROUP_BITS)) + 1",
        "range(MASK_GROUP_BITS, len(ones), MASK_GROUP_BITS)",
        "the reference lists any four entries of a word in a cycle",
    ),
    Mutant(
        "fast-in-order-one-by-one",
        "sim/fast/array.py",
        "row[FILTER_TABLE] != NO_TABLE and row[IN_ORDER] == 0",
        "row[FILTER_TABLE] != NO_TABLE",
        "filters that lie in order take as many cycles to load as picked ones",
    ),
    Mutant(
        "fast-patches-for-nobody",
        "sim/fast/gather.py",
        "tiles * tile * tile * filters",
        "tiles * tile * tile",
        "patches for filters that are not there take cycles",
    ),
    Mutant(
        "stepped-first-bit-left-out",
        "sim/stepped/index/unit.py",
        'places >= index["first_bit"]',
        'places > index["first_bit"]',
        "the first bit of a range is never listed",
    ),
]
