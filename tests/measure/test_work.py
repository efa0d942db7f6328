"""Work by block, gates by class, easy and hard images: counted by hand, or over every way to deal out labels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gatewright.contract.errors import GatewrightError
from gatewright.measure.block_work import block_rows
from gatewright.measure.by_class import class_statistics
from gatewright.measure.easy_and_hard import easy_and_hard
from gatewright.measure.records import BlockWork, GateDecision, ImageRecord, RunRecord


def run(macs: Sequence[int], gates: Sequence[GateDecision] = ()) -> RunRecord:
    """Of blocks a, b, ...; 100 MACs besides."""
    blocks = tuple(BlockWork(name, (f"{name}.g",), (f"{name}.c",), n) for name, n in zip("abc", macs, strict=False))
    return RunRecord(1, 256, 100 + sum(macs), (), tuple(gates), blocks)


def image(
    index: int,
    macs: Sequence[int] = (),
    gates: Sequence[GateDecision] = (),
    label: int | None = 0,
    leaves: int | None = None,
) -> ImageRecord:
    pixels = np.full((4, 4, 3), index, np.uint8)
    return ImageRecord(index, label, 0, 0, run(macs, gates), pixels, exit=leaves)


def gate(name: str, kind: str, *bits: int) -> GateDecision:
    return GateDecision(name, kind, np.array(bits, np.bool_))


def test_work_by_block_is_the_share_of_the_dense_blocks_macs() -> None:
    images = [image(n, (10 * n, 50)) for n in range(1, 11)]
    first, second = block_rows(run((200, 50)), images)
    assert (first["name"], first["gates"], first["layers"]) == ("a", ["a.g"], ["a.c"])
    assert (first["macs_dense"], first["macs_gated_mean"]) == (200, 55.0)
    found = [first[f"executed_{key}"] for key in ("mean", "p5", "p95", "least", "most")]
    assert found == pytest.approx([0.275, 0.05, 0.5, 0.05, 0.5])  # p5 of ten images is the first of them
    assert {second[f"executed_{key}"] for key in ("mean", "p5", "p95", "least", "most")} == {1.0}
    assert block_rows(run(()), [image(0)]) == []


def test_p5_and_p95_leave_out_one_image_in_twenty_at_either_end() -> None:
    images = [image(n, (n,)) for n in range(1, 41)]
    (row,) = block_rows(run((100,)), images)
    assert [row[f"executed_{key}"] for key in ("least", "p5", "p95", "most")] == [0.01, 0.02, 0.38, 0.4]


def test_blocks_of_another_network_are_refused() -> None:
    with pytest.raises(GatewrightError, match="image 7 has other blocks than the dense run"):
        block_rows(run((1, 1)), [image(7, (1,))])


BITS = (0b1111, 0b0111, 0b0011, 0b0001, 0b0111, 0b1111, 0b0000)
LABELS = (3, 3, 3, 5, 5, 9, 9)


def with_labels(labels: Sequence[int | None]) -> list[ImageRecord]:
    masks = [[bits >> place & 1 for place in range(4)] for bits in BITS]
    return [
        image(n, (), [gate("g", "channel", *mask)], label)
        for n, (mask, label) in enumerate(zip(masks, labels, strict=True))
    ]


def test_gates_by_class_are_means_over_the_images_of_a_class() -> None:
    found = class_statistics(with_labels(LABELS))
    assert found is not None
    assert found["classes"] == [{"label": 3, "images": 3}, {"label": 5, "images": 2}, {"label": 9, "images": 2}]
    (row,) = found["gates"]
    assert (row["name"], row["kind"]) == ("g", "channel") and found["exits"] == []
    assert row["share_by_class"] == pytest.approx([(4 + 3 + 2) / 12, (1 + 3) / 8, (4 + 0) / 8])
    assert row["share_mean"] == pytest.approx(17 / 28)


def test_deviations_are_those_of_images_taken_at_random() -> None:
    """Every way to take as many images as the class has."""
    found = class_statistics(with_labels(LABELS))
    assert found is not None
    shares = np.array([bits.bit_count() / 4 for bits in BITS])
    for place, label in enumerate((3, 5, 9)):
        own = [n for n, other in enumerate(LABELS) if other == label]
        means = [shares[list(taken)].mean() for taken in itertools.combinations(range(7), len(own))]
        expected = (shares[own].mean() - np.mean(means)) / np.std(means)
        assert found["gates"][0]["deviation_by_class"][place] == pytest.approx(expected)


def test_what_labels_dealt_at_random_explain_is_said() -> None:
    """Every way to deal the labels; the share of the variance that lies between classes, by its definition."""
    shares = np.array([bits.bit_count() / 4 for bits in BITS])

    def explained(labels: Sequence[int]) -> float:
        within = sum(
            ((part := shares[np.equal(labels, label)]) - part.mean()) @ (part - part.mean()) for label in {*labels}
        )
        return float(1 - within / ((shares - shares.mean()) @ (shares - shares.mean())))

    found = class_statistics(with_labels(LABELS))
    assert found is not None
    row = found["gates"][0]
    assert row["between_classes"] == pytest.approx(explained(LABELS))
    dealt = [explained(labels) for labels in set(itertools.permutations(LABELS))]
    assert row["between_classes_by_chance"] == pytest.approx(np.mean(dealt))


def test_a_gate_that_does_the_same_for_all_depends_on_no_class() -> None:
    images = [image(n, (), [gate("g", "channel", 1, 1, 0)], n % 2) for n in range(6)]
    found = class_statistics(images)
    assert found is not None
    row = found["gates"][0]
    assert row["deviation_by_class"] == [0, 0] and row["between_classes"] == row["between_classes_by_chance"] == 0
    one = class_statistics(with_labels([4] * 7))
    assert one is not None and one["gates"][0]["deviation_by_class"] == [0]
    assert one["gates"][0]["between_classes"] == pytest.approx(0)


def test_exits_by_class_and_gates_that_some_classes_never_see() -> None:
    early, late, behind = gate("x", "exit", 0, 1), gate("x", "exit", 0, 0), gate("g", "spatial", 1)
    images = [
        image(0, (), [early], 0, 0),
        image(1, (), [early], 0, 0),
        image(2, (), [early], 1, 0),
        image(3, (), [late, behind], 1, 1),
    ]
    found = class_statistics(images)
    assert found is not None
    assert [row["name"] for row in found["exits"]] == ["x", "end"]
    assert [row["share_by_class"] for row in found["exits"]] == [[1.0, 0.5], [0.0, 0.5]]
    assert [row["name"] for row in found["gates"]] == ["g"]
    assert found["gates"][0]["share_by_class"] == [None, 1.0] == [None, found["gates"][0]["share_mean"]]
    assert found["gates"][0]["deviation_by_class"] == [None, 0.0]


def test_without_a_label_or_without_gates_there_is_nothing_by_class() -> None:
    assert class_statistics(with_labels([3, 3, 3, 5, 5, 9, None])) is None
    assert class_statistics([image(0), image(1)]) is None


def test_easy_and_hard_images_are_those_with_the_least_and_the_most_macs() -> None:
    images = [image(n, (macs,)) for n, macs in enumerate([5, 2, 9, 2, 7, 2, 9, 2])]
    rows = easy_and_hard(images)
    assert [(row["work"], row["index"], row["alike"]) for row in rows] == [
        *(("least", 1, 4), ("least", 3, 4), ("least", 5, 4)),
        *(("most", 2, 2), ("most", 6, 2), ("most", 4, 1)),
    ]
    assert all(row["image_png"].startswith("data:image/png;base64,") and row["cost"] is None for row in rows)


@pytest.mark.parametrize(("count", "expected"), [(1, "0"), (2, "01"), (3, "012"), (5, "01243"), (6, "012543")])
def test_no_image_is_both_easy_and_hard(count: int, expected: str) -> None:
    rows = easy_and_hard([image(n, (n,)) for n in range(count)])
    assert "".join(str(row["index"]) for row in rows) == expected


def test_a_static_network_has_no_easy_images() -> None:
    assert easy_and_hard([image(0), image(1)]) == []


def test_a_cost_map_is_there_where_a_gate_has_tiles() -> None:
    tiles = GateDecision("s", "spatial", np.array([[1, 0], [0, 1]], np.bool_))
    layer = GateDecision("l", "spatial", np.ones((1, 1), np.bool_))
    seen = image(0, (1,), [tiles, layer])
    left = image(1, (2,), [])  # before it sees a gate
    rows = easy_and_hard([seen, left])
    assert [row["blocks"] for row in rows] == [2, 2]
    assert rows[0]["cost"] == [[2, 2, 1, 1], [2, 2, 1, 1], [1, 1, 2, 2], [1, 1, 2, 2]]
    assert rows[1]["cost"] == [[0] * 4] * 4
    (row,) = easy_and_hard([image(0, (1,), [layer])])
    assert row["cost"] is row["blocks"] is None
    (row,) = easy_and_hard([replace(seen, image=None)])
    assert row["cost"] is row["image_png"] is None
