"""The one exception that the command line turns into a clear message and exit code 2."""

from __future__ import annotations


class GatewrightError(Exception):
    """A fault in what the user gave us: a file, a shape, a layer, an option.

    The message names the thing, says where it is, and what to do about it. Faults of our own
    (a broken invariant) are ordinary exceptions and keep their traceback.
    """
