"""A pickle reader that runs nothing of the file's.

A pickle is a program; its calls reach whatever can be imported. Here every name that it may reach is in ``_NAMES`` and
stands for a function of ours, and every operation is in ``_OPCODES``. Protocols 2 to 5.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

PROTOCOLS = range(2, 6)

_STORAGES = {
    f"{name}Storage": dtype
    for name, dtype in {
        "Double": torch.float64,
        "Float": torch.float32,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
        "ComplexDouble": torch.complex128,
        "ComplexFloat": torch.complex64,
        "Untyped": torch.uint8,
    }.items()
}

_NUMPY_TYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")

_DATA_OPCODES = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET NONE NEWTRUE NEWFALSE "
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT SHORT_BINSTRING BINSTRING SHORT_BINBYTES BINBYTES BINBYTES8 "
    "SHORT_BINUNICODE BINUNICODE BINUNICODE8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS LIST "
    "EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET GLOBAL STACK_GLOBAL REDUCE BUILD BINPERSID"
)
"""Those that build data, and REDUCE and BUILD, which only reach what ``_NAMES`` has."""
_OPCODES = frozenset(_DATA_OPCODES.split())

Storages = Callable[[str, torch.dtype, int], Tensor]
"""Gives the storage of a key as a flat tensor of a dtype and a number of elements."""


class RefusedName(Exception):
    """A name that does not belong in a file of tensors."""


def unpickle(data: io.BytesIO, storages: Storages) -> object:
    """The next pickle of a stream, which is left behind it; a tensor is a view of one of ``storages``.

    A name or an operation that is not allowed is a ``RefusedName``; a damaged pickle raises whatever it makes fail.
    """
    start, protocol = data.tell(), None
    for count, (opcode, argument, position) in enumerate(pickletools.genops(data)):
        if opcode.name not in _OPCODES:
            raise RefusedName(f"the pickle operation {opcode.name}")
        if opcode.name == "PROTO" and position == start:
            protocol = argument
        # The reader makes its memory of objects as long as the largest number in it.
        if opcode.name == "LONG_BINPUT" and (argument is None or argument > count):
            raise ValueError(f"object number {argument} after {count} operations")
    if protocol not in PROTOCOLS:
        raise ValueError(f"pickle protocol {protocol} is not one of {PROTOCOLS.start} to {PROTOCOLS.stop - 1}")
    end = data.tell()
    data.seek(start)
    return _Unpickler(io.BytesIO(data.read(end - start)), storages).load()


class _Unpickler(pickle.Unpickler):
    """``_NAMES`` for names, and ``storages`` for what lies outside the pickle."""

    def __init__(self, file: io.BytesIO, storages: Storages) -> None:
        super().__init__(file, encoding="utf-8")
        self._storages = storages

    def find_class(self, module: str, name: str) -> object:
        where = module.removesuffix(".cuda") if name in _STORAGES else module
        if where == "torch" and name in _STORAGES:
            return _Name(name)
        if (module, name) not in _NAMES:
            raise RefusedName(f"{module}.{name}")
        return _Name(name, _NAMES[module, name])

    def persistent_load(self, pid: Any) -> object:
        kind, storage, key, _, count, *view = pid
        if kind != "storage" or not isinstance(storage, _Name) or view not in ([], [None]):
            raise ValueError("it refers to something outside that is no storage")
        if type(key) is not str or type(count) is not int or count < 0:
            raise ValueError("a storage without a name or a size")
        return _Storage(self._storages(key, _STORAGES[storage.name], count))


class _Name:
    """What a name of the file stands for. It has no attributes that a file could set."""

    __slots__ = ("_call", "name")

    def __init__(self, name: str, call: Callable[..., object] | None = None) -> None:
        self.name, self._call = name, call

    def __call__(self, *arguments: object) -> object:
        if self._call is None:
            raise ValueError(f"{self.name} is called")
        return self._call(*arguments)

    def __setstate__(self, state: object) -> NoReturn:
        raise ValueError(f"{self.name} is changed")


class _Storage:
    """Numbers that only a tensor may use."""

    __slots__ = ("flat",)

    def __init__(self, flat: Tensor) -> None:
        self.flat = flat

    def __setstate__(self, state: object) -> NoReturn:
        raise ValueError("a storage is changed")


class _Ordered(dict[object, object]):
    """An ``OrderedDict``; what it carries besides its entries (a state dict's versions) is not needed."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class _NumpyType:
    """A type of numpy's numbers, by its name; its state says that it is little-endian, and nothing else of use."""

    __slots__ = ("dtype",)

    def __init__(self, name: object, *_: object) -> None:
        if name not in _NUMPY_TYPES:
            raise ValueError("a type of numpy's is no number")
        self.dtype = np.dtype(f"<{name}")

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", "|"):
            raise ValueError("a number of numpy's is not little-endian")


def _tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> Tensor:
    """A view of a storage: it lies inside, and no two elements share a place (so that it is no larger)."""
    if not isinstance(storage, _Storage) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise TypeError("a tensor needs a storage, a size and strides")
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or any(type(n) is not int or not 0 <= n < 1 << 62 for n in numbers):
        raise ValueError("a tensor's size and strides are not as many numbers")
    assert isinstance(offset, int)
    flat, reach = storage.flat, 0
    for edge, step in sorted(zip(size, stride, strict=True), key=lambda pair: pair[1]):
        if edge > 1 and step <= reach:
            raise ValueError(f"elements of a tensor of size {list(size)} with strides {list(stride)} overlap")
        reach += max(edge - 1, 0) * step
    if 0 in size:
        return torch.empty(size, dtype=flat.dtype)
    if offset + reach >= len(flat):
        raise ValueError(f"a tensor of size {list(size)} from {offset} leaves its storage of {len(flat)} numbers")
    return torch.as_strided(flat, size, stride, offset)


def _parameter(data: object, *_: object) -> object:
    return data


def _number(kind: object, data: object) -> object:
    """A number of numpy's as Python's."""
    if not isinstance(kind, _NumpyType) or not isinstance(data, bytes) or len(data) != kind.dtype.itemsize:
        raise ValueError("a number of numpy's is damaged")
    return np.frombuffer(data, kind.dtype)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if encoding != "latin1":
        raise ValueError("bytes in another encoding than latin1")
    return text.encode("latin1")


_NAMES: dict[tuple[str, str], Callable[..., object]] = {
    ("collections", "OrderedDict"): _Ordered,
    **{(module, kind.__name__): kind for module in ("__builtin__", "builtins") for kind in (set, frozenset)},
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): tuple,
    ("numpy", "dtype"): _NumpyType,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
    ("_codecs", "encode"): _encode,
}
