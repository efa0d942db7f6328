"""Digests of the project's own sources: keys of what is built from them, and the hash that the RTL carries."""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def sources_digest(*folders: str, salt: str = "") -> str:
    """SHA-256 of the Python sources below the package's ``folders``: relative names and contents, in order.

    ``salt`` goes in front: what else decides the thing that is built, such as a tool's version.
    """
    digest = hashlib.sha256(salt.encode())
    for folder in folders:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            digest.update(f"{folder}/{path.relative_to(PACKAGE / folder)}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
