"""The zoo: trained checkpoints that ship with the package, each with a card that says where it comes from.

A network ``name`` is ``zoo/name.safetensors``, the card ``zoo/name.json``, the activation ranges
``zoo/name.ranges.json`` and the log of its training ``zoo/name.metrics.jsonl``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import CARD
from gatewright.contract.schema import Count, format_of, load_json, parse

FOLDER = Path(__file__).parent
"""Where the functions look if they are given no other folder."""


Share = Annotated[float, Interval(ge=0, le=1)]
Percent = Annotated[float, Interval(ge=0, le=100)]


@dataclass(frozen=True)
class Card:
    """What is known about a checkpoint, and how to make it again.

    ``command`` repeats the training; ``data`` names the data set and its source; accuracies are
    percent of the CIFAR-10 test set; ``gate_flip_rate`` is the share of gate decisions that int8
    changes, ``gate_flips`` that of each gate; ``mac_ratio`` is the mean share of the dense network's MACs that is
    left, counted as the paper does; ``gate_densities`` the mean share of each gate that is on (in int8);
    ``cycles_dense`` and ``cycles_gated`` are the mean cycles of an image on the machine ``cycles_arch``, over the
    first ``cycles_images`` test images (a static network has no ``cycles_gated``); ``exit_shares`` are the shares of
    images that leave at each early exit, the network's end last (in int8; empty without exits); ``sha256`` is that
    of the checkpoint's file. Beside the card, ``NAME.metrics.jsonl`` holds what the training logged, a line an epoch.
    """

    name: str
    command: str
    data: str
    seed: Count
    epochs: Count
    hardware: str
    wall_time_s: Annotated[float, Interval(ge=0)]
    top1_float: Percent
    top1_int8: Percent | None
    gate_flip_rate: Share
    gate_flips: dict[str, Share]
    mac_ratio: Annotated[float, Interval(ge=0)]
    gate_densities: dict[str, Share]
    spatial_dependent: Share | None = field(kw_only=True, default=None)
    channel_dependent: Share | None = field(kw_only=True, default=None)
    blocks_closed: Count = field(kw_only=True, default=0)
    exit_shares: list[Share]
    cycles_arch: str
    cycles_images: Count
    cycles_dense: Count
    cycles_gated: Annotated[float, Interval(gt=0)] | None
    sha256: str

    @property
    def macs_saved(self) -> float:
        """Percent of the dense network's MACs that the gates save: the paper's "FLOPs reduction"."""
        return 100 * (1 - self.mac_ratio)

    @property
    def speedup(self) -> float | None:
        """Dense cycles by gated ones; None for a static network."""
        return None if self.cycles_gated is None else self.cycles_dense / self.cycles_gated

    @staticmethod
    def load(path: Path) -> Card:
        """Read a card; missing and unknown fields are errors that name them."""
        fix = f"a card has {', '.join(field.name for field in fields(Card))}"
        try:
            text = path.read_bytes()
        except OSError as error:
            raise GatewrightError(f"zoo card {path} is missing ({error.strerror}); install gatewright again") from error
        what = f"zoo card {path}"
        data = load_json(text, what, fix)
        CARD.check(format_of(data), what)
        known = {key: value for key, value in data.items() if key != "format"} if isinstance(data, dict) else data
        return parse(Card, known, what, fix)


def names(folder: Path | None = None) -> list[str]:
    """The names of all networks, sorted."""
    return sorted(path.stem for path in (folder or FOLDER).glob("*.safetensors"))


def card(name: str, folder: Path | None = None) -> Card:
    """The card of a network; one that names another network is an error."""
    path = find(name, folder).with_suffix(".json")
    loaded = Card.load(path)
    if loaded.name != name:
        raise GatewrightError(f"zoo card {path} is about {loaded.name!r}, not {name!r}")
    return loaded


def find(name_or_path: str | Path, folder: Path | None = None) -> Path:
    """The checkpoint of a network of the zoo, or a checkpoint file of one's own."""
    name = str(name_or_path)
    if name in names(folder):
        return (folder or FOLDER) / f"{name}.safetensors"
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = ", ".join(names(folder)) or "no networks"
    raise GatewrightError(f"no checkpoint file and no network of the zoo is called {name!r}; the zoo has {known}")


def name_of(checkpoint: Path, otherwise: str) -> str:
    """The zoo's name of a checkpoint, or another one for what is not in the zoo."""
    return checkpoint.stem if checkpoint.parent == FOLDER else otherwise


def metrics_path(checkpoint: Path) -> Path:
    """Where the log of a network's training lies: ``name.metrics.jsonl`` beside the checkpoint."""
    return checkpoint.with_name(checkpoint.name.removesuffix(".safetensors") + ".metrics.jsonl")


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_intact(name: str, folder: Path | None = None) -> bool:
    """Whether the checkpoint is the file that its card describes."""
    return sha256(find(name, folder)) == card(name, folder).sha256


def check_card(checkpoint: Path) -> None:
    """A checkpoint with a card beside it must be the file that the card describes."""
    path = checkpoint.with_suffix(".json")
    if path.is_file() and Card.load(path).sha256 != sha256(checkpoint):
        raise GatewrightError(
            f"checkpoint {checkpoint} is not the file that its card {path.name} describes; install gatewright again"
        )
