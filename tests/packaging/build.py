"""Build wheel and sdist from a clean copy of the tree, with the setuptools that is installed: no index is asked.

A copy, because a ``build/lib`` that an earlier build has left in the tree goes into the next wheel, removed modules
included.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

LINKED = ("compiler", "hw", "models", "sim")
"""Folders at the root that the package has under its own name, by links."""

_COPIED = (
    *("gatewright", *LINKED, "tests"),
    *("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"),
)
_CACHES = shutil.ignore_patterns("__pycache__", "*.pyc", "*.nbi", "*.nbc")


def tree_files() -> dict[str, Path]:
    """The package's files by the names that a wheel gives them, and where each lies in the tree."""
    folders = {"gatewright": ROOT / "gatewright"} | {f"gatewright/{name}": ROOT / name for name in LINKED}
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}": path
        for prefix, folder in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and not _is_cache(path) and not _through_link(path, folder)
    }


def build(out: Path) -> tuple[Path, Path]:
    """Build both into the folder ``out``; returns the wheel and the sdist."""
    tree = out / "tree"
    tree.mkdir(parents=True)
    for name in _COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=_CACHES)
        else:
            shutil.copy(ROOT / name, tree / name)
    sdist = _call("build_sdist", tree, out)
    return _call("build_wheel", tree, out), sdist


def wheel_of(sdist: Path, out: Path) -> Path:
    """The wheel that is built from an sdist alone, in the folder ``out``."""
    shutil.unpack_archive(sdist, out / "unpacked")
    (unpacked,) = (out / "unpacked").iterdir()
    return _call("build_wheel", unpacked, out)


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _call(hook: str, tree: Path, out: Path) -> Path:
    """One of the hooks that pip calls; it says what it does on stdout, and the file's name as the last line."""
    code = f"import sys; from setuptools import build_meta; print(build_meta.{hook}(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, out], cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{hook} in {tree}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return out / done.stdout.splitlines()[-1]


def _is_cache(path: Path) -> bool:
    return "__pycache__" in path.parts or path.suffix in (".pyc", ".nbi", ".nbc")


def _through_link(path: Path, folder: Path) -> bool:
    """Whether it is reached through one of the links, whose targets are looked at by themselves."""
    return folder.name == "gatewright" and path.relative_to(folder).parts[0] in LINKED
