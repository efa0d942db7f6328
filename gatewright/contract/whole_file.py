"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from gatewright.contract.errors import GatewrightError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write in place of ``path``, in whose folder it lies; it gets that name behind the block.

    If the block fails it is gone, and ``path`` is as it was. What the system refuses is a ``GatewrightError``.
    """
    if not path.name:  # . and /
        raise GatewrightError(f"cannot write {path}: it is a folder; name a file")
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except (OSError, SafetensorError) as error:  # safetensors has an exception of its own for what the system refuses
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise GatewrightError(f"cannot write {path}: {reason}") from error
    finally:
        if partial.is_file():
            partial.unlink()
