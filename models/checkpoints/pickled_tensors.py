"""Files of ``torch.save``, read without running anything: tensors, numbers, text and plain containers.

Both containers: the zip archive of PyTorch 1.6 and later, and the older row of pickles with the storages behind them.
(PyTorch's own restricted reader knows pickle protocol 2 only; the public DGNet release saves with protocol 4.)
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.restricted_pickle import RefusedName, unpickle

_MAGIC, _LAYOUT = 0x1950A86A20F9469CFC6C, 1001
"""What an older file's first two pickles hold."""

_REASON = 200
"""Characters of a reason that a message quotes."""

_FAULTS = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a damaged file may raise."""


def load_pickled(path: Path) -> object:
    """The contents of a file of ``torch.save``: tensors on the CPU, numbers, text, dicts, lists, tuples, sets.

    A damaged file, and one that holds anything else, is a ``GatewrightError``; nothing that it names is run.
    """
    try:
        with path.open("rb") as file:
            return _Archive(file).load() if zipfile.is_zipfile(file) else _load_older(file)
    except _FAULTS as error:
        reason = " ".join(str(error).split())[:_REASON] or type(error).__name__
        raise GatewrightError(f"{path} is damaged or not a PyTorch file ({reason})") from error
    except RefusedName as error:
        raise GatewrightError(
            f"{path} holds {error}, which is neither a tensor nor a plain container; nothing of it was run. "
            "Save the network's tensors alone: torch.save({'state_dict': network.state_dict()}, path)"
        ) from error


class _Archive:
    """The zip container: ``data.pkl``, and a record of bytes for each storage."""

    def __init__(self, file: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(file)
        self._left = file.seek(0, io.SEEK_END)  # records that overlap could be read again and again
        self._known: dict[str, tuple[torch.dtype, Tensor]] = {}
        names = self._zip.namelist()
        roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
        if len(roots) != 1 or len(set(names)) != len(names):
            raise ValueError("it needs one data.pkl, and no record twice")
        self._root = roots[0]

    def load(self) -> object:
        if f"{self._root}byteorder" in self._zip.namelist() and self._read("byteorder") != b"little":
            raise ValueError("its numbers are not little-endian")
        data = io.BytesIO(self._read("data.pkl"))
        return unpickle(data, self._storage)

    def _storage(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        if key not in self._known:
            record = self._read(f"data/{key}")
            if len(record) != count * dtype.itemsize:
                raise ValueError(f"storage {key} has {len(record)} bytes, not {count} of {dtype}")
            self._known[key] = dtype, _flat(record, dtype)
        known, flat = self._known[key]
        if known != dtype or len(flat) != count:
            raise ValueError(f"storage {key} is used in two ways")
        return flat

    def _read(self, name: str) -> bytes:
        record = self._zip.getinfo(self._root + name)
        self._left -= record.file_size
        if record.compress_type != zipfile.ZIP_STORED or self._left < 0:
            raise ValueError(f"record {name} is compressed, or larger than the file")
        return self._zip.read(record)


def _load_older(file: BinaryIO) -> object:
    """A row of pickles (two numbers, the machine, the object, the storages' keys), then each storage."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    data = io.BytesIO(file.read(size))
    storages: dict[str, Tensor] = {}
    left = size

    def reserve(key: str, dtype: torch.dtype, count: int) -> Tensor:
        """The bytes are behind the object that uses them: they are filled in later."""
        nonlocal left
        if key not in storages:
            left -= count * dtype.itemsize
            if left < 0:
                raise ValueError(f"storage {key} of {count} {dtype} is larger than the file")
            storages[key] = torch.zeros(count, dtype=dtype)
        if storages[key].dtype != dtype or len(storages[key]) != count:
            raise ValueError(f"storage {key} is used in two ways")
        return storages[key]

    if (unpickle(data, reserve), unpickle(data, reserve)) != (_MAGIC, _LAYOUT):
        raise ValueError("it does not begin as a file of torch.save does")
    machine = unpickle(data, reserve)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("its numbers are not little-endian")
    stored, keys = unpickle(data, reserve), unpickle(data, reserve)
    if not isinstance(keys, list) or set(keys) != storages.keys() or len(keys) != len(storages):
        raise ValueError("its list of storages is not that of its tensors")
    for key in keys:
        flat = storages[key]
        (count,) = struct.unpack("<q", data.read(8))
        if count != len(flat):
            raise ValueError(f"storage {key} has {count} numbers, not {len(flat)}")
        flat.copy_(_flat(data.read(flat.nbytes), flat.dtype))
    if data.read(1):
        raise ValueError("something follows its last storage")
    return stored


def _flat(data: bytes, dtype: torch.dtype) -> Tensor:
    if dtype == torch.bool and data.strip(b"\0\1"):
        raise ValueError("a truth value is neither 0 nor 1")
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.zeros(0, dtype=dtype)
