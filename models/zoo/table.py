"""The zoo's networks beside the paper's, as a table in Markdown; ``docs/training.md`` holds it."""

from __future__ import annotations

from collections.abc import Sequence

from gatewright.models.zoo.catalogue import Card
from gatewright.models.zoo.paper_results import PAPER, row_of

HEADER = (
    "network",
    "paper: top-1, MACs saved",
    "float top-1",
    "int8 top-1",
    "MACs saved",
    "decisions that depend on the image: tiles, channels",
    "gates flipped by int8",
    "cycles dense, gated",
    "speedup",
    "epochs",
)


def zoo_table(cards: Sequence[Card]) -> str:
    """One row for each card and for each result of the paper that the zoo lacks."""
    rows = [_row(card) for card in cards]
    missing = sorted(PAPER.keys() - {row_of(card.name) for card in cards})
    rows += [(f"`{name}`", _paper(name), "not trained", *("",) * (len(HEADER) - 3)) for name in missing]
    lines = [HEADER, ("---",) * len(HEADER), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("  |", " |") for line in lines)


def _paper(name: str) -> str:
    result = PAPER.get(row_of(name))
    return "-" if result is None else f"{result.top1:.2f}±{result.deviation:.2f}, {result.macs_saved:.1f}%"


def _row(card: Card) -> tuple[str, ...]:
    gated = card.cycles_gated is not None
    return (
        f"`{card.name}`",
        _paper(card.name),
        f"{card.top1_float:.2f}",
        "-" if card.top1_int8 is None else f"{card.top1_int8:.2f}",
        f"{card.macs_saved:.1f}%" if gated else "-",
        f"{_dependent(card.spatial_dependent)}, {_dependent(card.channel_dependent)}" if gated else "-",
        f"{100 * card.gate_flip_rate:.2f}%" if gated else "-",
        f"{card.cycles_dense:,}, {card.cycles_gated:,.0f}" if gated else f"{card.cycles_dense:,}",
        "-" if card.speedup is None else f"{card.speedup:.3f}",
        str(card.epochs),
    )


def _dependent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"
