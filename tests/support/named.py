"""Command lines of tools that go through things with names: those that are named, or all; ``--list`` prints them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def add_names(parser: argparse.ArgumentParser, listed: str) -> None:
    """The names, and ``--list``, which prints ``listed``."""
    parser.add_argument("names", nargs="*", metavar="name")
    parser.add_argument("--list", action="store_true", help=f"print {listed}")


def named(
    parser: argparse.ArgumentParser, options: argparse.Namespace, all_: Mapping[str, T], line: Callable[[T], str]
) -> list[T]:
    """Those that ``options`` names, or all. With ``--list`` their lines are printed and the program ends."""
    kind = parser.prog.rpartition(".")[2].removesuffix("s")
    unknown = [name for name in options.names if name not in all_]
    if unknown:
        parser.error(f"no {kind} {', '.join(unknown)}; --list prints their names")
    chosen = [all_[name] for name in options.names] or list(all_.values())
    if options.list:
        for one in chosen:
            print(line(one))
        parser.exit()
    return chosen
