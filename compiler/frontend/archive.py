"""A ``.pt2`` archive that can execute nothing: its records are checked, and written anew before torch reads them.

``torch.export.load`` of torch 2.13 unpickles the sample inputs, the weights and constants that a record marks as
pickled, and objects beside them; it evaluates the expressions of symbolic shapes as Python, and calls any function of
``torch`` that a node names. So torch gets an archive of our own making: tensors as plain bytes, a graph of ATen
operations with fixed shapes, and sample inputs of our own. Everything else is refused, or left out where it says
nothing about what the network computes.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, NoReturn

import torch

from gatewright.contract.errors import GatewrightError
from gatewright.contract.schema import show

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLES = "data/sample_inputs/model.pt"

COPIED = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)"
    r"|data/weights/weight_\d+|data/constants/tensor_\d+"
)
"""Records of plain bytes."""

LEFT_OUT = re.compile(r"data/sample_inputs/model\.pt|extra/.*")
"""Records that say nothing about what the network computes."""

TENSOR_FILE = re.compile(r"weight_\d+|tensor_\d+")

OPERATION = re.compile(r"torch\.ops\.aten\.(?!from_file\b)\w+\.\w+|_operator\.getitem")
"""What a node may call: arithmetic on tensors. ``from_file`` would open one."""

CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", None)
"""What a network's arguments and results may be packed in."""

FIX = "write it with torch.export.save, or fetch it again"

_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    LookupError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,  # an encrypted record
    RecursionError,
    TypeError,  # JSON that is not of the form that a program's has
    AttributeError,
)


def data_only(data: bytes, what: str) -> io.BytesIO:
    """The archive with what torch may read, as a new one.

    Parameters
    ----------
    data
        The file's bytes.
    what
        What the file is called in messages.

    Raises
    ------
    GatewrightError
        It is no archive of ``torch.export.save``, is damaged, or has a record that would execute code, a dynamic
        shape, or an operation that is not ATen's.
    """
    try:
        records = _records(data, what)
        for name in (WEIGHTS, CONSTANTS):
            records[name] = _tensors(records[name], what)
        records[MODEL] = _model(json.loads(records[MODEL]), what)
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise GatewrightError(f"{what} is damaged, or no exported program ({reason}); {FIX}") from error
    samples = io.BytesIO()
    torch.save(((), {}), samples)
    records[SAMPLES] = samples.getvalue()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"program/{name}", content)
    made.seek(0)
    return made


def _records(data: bytes, what: str) -> dict[str, bytes]:
    """The records by their names below the archive's folder."""
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > len(data):
            raise ValueError("its records are larger than the file; torch.export.save compresses nothing")
        for entry in entries:
            name = entry.filename.partition("/")[2]
            if name in found:
                raise ValueError(f"record {show(name)} is there twice")
            if COPIED.fullmatch(name) or name in (MODEL, WEIGHTS, CONSTANTS):
                found[name] = archive.read(entry)
            elif not LEFT_OUT.fullmatch(name):
                _refuse(
                    what,
                    f"holds {show(entry.filename)}, which is not of one exported program as torch {torch.__version__} "
                    "saves it: compiled code, a pickled object, or a file of an older torch",
                )
    missing = [name for name in (MODEL, WEIGHTS, CONSTANTS) if name not in found]
    if missing:
        raise ValueError(f"it has no record {missing[0]}")
    return found


def _tensors(text: bytes, what: str) -> bytes:
    """The table of weights or of constants: every one is plain bytes."""
    table = json.loads(text)
    if any(key == "expr_str" for key, _ in _pairs(table)):
        raise ValueError("a tensor's size is an expression")
    for name, entry in table["config"].items():
        if entry["use_pickle"] is not False or not TENSOR_FILE.fullmatch(entry["path_name"]):
            _refuse(
                what,
                f"stores {show(name)} as a pickled object, and unpickling can execute code; weights and constants must "
                "be plain tensors",
            )
    return json.dumps(table).encode()


def _model(model: dict[str, Any], what: str) -> bytes:
    """The program without what is not needed: stack traces, guards."""
    graph = model["graph_module"]["graph"]
    if model.get("range_constraints") or any(key == "expr_str" for key, _ in _pairs(model)):
        _refuse(
            what,
            "has a dynamic shape (of the batch, perhaps); the machine's are fixed: export for one image, without "
            "dynamic_shapes: torch.export.export(network, (torch.zeros(1, C, H, W),))",
        )
    for node in graph["nodes"]:
        if not OPERATION.fullmatch(node["target"]):
            _refuse(what, f"calls {show(node['target'])}, which is no operation of torch.ops.aten; it is not executed")
        stack = node["metadata"].get("nn_module_stack")
        node["metadata"] = {"nn_module_stack": stack} if isinstance(stack, str) else {}
    for key, value in _pairs(model):
        if key in ("as_graph", "as_custom_obj", "custom_obj", "as_operator"):
            _refuse(what, f"holds a {key.removeprefix('as_')}: only tensors and operations on them are supported")
        if key in ("in_spec", "out_spec"):
            _check_containers(json.loads(value)[1], what)
    return json.dumps({**model, "guards_code": []}).encode()


def _check_containers(spec: dict[str, Any], what: str) -> None:
    if spec["type"] not in CONTAINERS:
        _refuse(what, f"takes or returns a {show(spec['type'])}; supported are tensors, tuples, lists and dictionaries")
    for child in spec["children_spec"]:
        _check_containers(child, what)


def _pairs(data: Any) -> Iterator[tuple[str, Any]]:
    """Every key of JSON data with its value, at any depth."""
    if isinstance(data, dict):
        yield from data.items()
    for value in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from _pairs(value)


def _refuse(what: str, reason: str) -> NoReturn:
    raise GatewrightError(f"{what} {reason}")
