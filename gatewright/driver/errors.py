"""What can go wrong between a host and the machine. Each message says what, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence


class DriverError(Exception):
    """A fault that a user can do something about. The machine is idle, and the next run works."""


class WrongProgramError(DriverError):
    """The file is damaged or no program, or the program does not serve what is asked of it."""


class WrongMachineError(DriverError):
    """What answers is no such machine, or one that the program was not compiled for."""


class WrongInputError(DriverError):
    """A sample that is not the program's input."""


class RingFullError(DriverError):
    """More images than the ring has slots."""


class TimedOutError(DriverError):
    """The machine did not end in time, and was aborted."""


class AbortedError(DriverError):
    """The host aborted the run."""


class LostError(DriverError):
    """The machine does not do what it must: it gives no answer, or ended without all images. Reset it."""


class StoppedError(DriverError):
    """The machine stopped with an error.

    ``code`` and ``name`` are the error's, ``instruction`` the instructions dispatched in this start, ``entry`` that of
    the instruction memory, ``image`` the images of the start that had ended. ``rows`` are the program's instructions
    that this may be, ``lines`` their lines in the listing.
    """

    def __init__(
        self,
        message: str,
        code: int,
        name: str,
        instruction: int,
        entry: int,
        image: int,
        rows: Sequence[int],
        lines: Sequence[str],
    ) -> None:
        super().__init__(message)
        self.code, self.name = code, name
        self.instruction, self.entry, self.image = instruction, entry, image
        self.rows, self.lines = tuple(rows), tuple(lines)
