"""Faults of lists: filters in a table's order, patches for filters that are not there, some bits of a mask."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_SIZES = "tests/hw/control/test_sizes.py"
_ARRAY = "tests/hw/array/test_array.py"
_INDEX = "tests/hw/index/test_index.py"
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
]

SIMULATOR_LISTS = [
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
