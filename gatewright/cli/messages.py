"""What the package logs while somebody waits at a terminal."""

from __future__ import annotations

import logging

import click


class _Echo(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


def show() -> None:
    """Show the package's own messages (INFO and above) on stderr; other packages' stay as they are."""
    log = logging.getLogger("gatewright")
    if not any(isinstance(handler, _Echo) for handler in log.handlers):
        log.addHandler(_Echo())
        log.setLevel(logging.INFO)
        log.propagate = False
