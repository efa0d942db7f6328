"""A network from a file of ``torch.export.save``, a ``.pt2``: any torch module, without its source."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from warnings import catch_warnings, simplefilter

import torch
from torch.export.pt2_archive._package import load_pt2  # torch.export.load would log a traceback, and read more
from torch.utils._pytree import tree_unflatten

from gatewright.compiler.frontend.archive import FIX, MODEL, data_only
from gatewright.compiler.frontend.capture import capture_program
from gatewright.compiler.graph.graph import FloatGraph
from gatewright.contract.errors import GatewrightError

SUFFIX = ".pt2"

EXPORT = "torch.export.export(network.eval(), (torch.zeros(1, C, H, W),))"
"""How a program that the machine can run is made."""


@dataclass(frozen=True)
class ExportedNetwork:
    """What a ``.pt2`` holds: the network, and the SHA-256 of the file, which ranges name."""

    graph: FloatGraph
    digest: str


def load_exported(path: Path) -> ExportedNetwork:
    """Read an exported program. No code that the file names is executed (see ``archive``).

    Raises
    ------
    GatewrightError
        The file is damaged or of another torch, could execute code, was exported in training mode, with dynamic
        shapes, for more than one image, or with several inputs; or capture refuses what it computes.
    """
    what = f"exported program {path}"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GatewrightError(f"{what} cannot be read ({error.strerror})") from error
    program = _load(data, what)
    shape = _check(program, what)
    try:
        with catch_warnings(), torch.no_grad():
            simplefilter("ignore")  # torch.export warns about its own internals
            image = torch.zeros((1, *shape))
            program.example_inputs = tree_unflatten([image], program.call_spec.in_spec)
            _let_fake_quantise(program)
            functional = program.run_decompositions({})
    except Exception as error:  # a damaged graph may ask for anything
        raise GatewrightError(f"{what} cannot be taken apart into operations ({_line(error)}); {FIX}") from error
    try:
        return ExportedNetwork(capture_program(functional, shape), hashlib.sha256(data).hexdigest())
    except GatewrightError as error:
        raise GatewrightError(f"{what}: {error}") from error


def _load(data: bytes, what: str) -> torch.export.ExportedProgram:
    archive = data_only(data, what)
    with zipfile.ZipFile(archive) as file:
        model = json.loads(file.read(f"program/{MODEL}"))
    archive.seek(0)
    try:
        with catch_warnings():
            simplefilter("ignore")
            return load_pt2(archive).exported_programs["model"]
    except Exception as error:  # torch reads the file with assertions and look-ups
        written = str(model.get("torch_version"))[:40]
        raise GatewrightError(
            f"{what} cannot be read by torch {torch.__version__}; it was written by torch {written} ({_line(error)}); "
            f"export it with torch {torch.__version__}, or fetch it again"
        ) from error


def _check(program: torch.export.ExportedProgram, what: str) -> tuple[int, int, int]:
    """Refuse a program that is no function of one image; its channels, height and width."""
    signature = program.graph_signature
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    inputs = [values.get(name) if isinstance(name, str) else name for name in signature.user_inputs]
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor):
        raise GatewrightError(
            f"{what} takes {len(inputs)} inputs, where one image tensor [1, channels, height, width] is supported; "
            "wrap the network in a module whose forward takes the image alone"
        )
    shape = [int(edge) for edge in inputs[0].shape]
    if len(shape) != 4 or shape[0] != 1 or min(shape) < 1 or not inputs[0].is_floating_point():
        raise GatewrightError(
            f"{what} takes {inputs[0].dtype} {shape}; a program is for one image of real numbers "
            f"[1, channels, height, width]: {EXPORT}"
        )
    if signature.buffers_to_mutate or any(_trains(node) for node in program.graph.nodes):
        raise GatewrightError(f"{what} was exported in training mode; call eval() before: {EXPORT}")
    paths = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    paths |= signature.inputs_to_lifted_tensor_constants
    for name, path in paths.items():
        stored, said = program.state_dict.get(path, program.constants.get(path)), values.get(name)
        if not isinstance(stored, torch.Tensor) or not isinstance(said, torch.Tensor):
            raise GatewrightError(f"{what} is damaged: it has no tensor {path}; {FIX}")
        if (stored.shape, stored.dtype) != (said.shape, said.dtype) or stored.device.type != "cpu":
            raise GatewrightError(
                f"{what}: tensor {path} is {stored.dtype} {list(stored.shape)} on {stored.device.type}, the program "
                f"takes {said.dtype} {list(said.shape)} on cpu; {FIX}, from a network on the CPU"
            )
    return shape[1], shape[2], shape[3]


def _let_fake_quantise(program: torch.export.ExportedProgram) -> None:
    """Let torch run fake quantisation to see its result's shape, which programs from files forbid."""
    if any("fake_quantize" in str(node.target) for node in program.graph.nodes):
        for node in program.graph.nodes:
            mode = getattr(node.meta.get("val"), "fake_mode", None)
            if mode is not None:
                mode.allow_fallback_kernels = True


def _trains(node: torch.fx.Node) -> bool:
    """Whether an operation has an argument ``training`` or ``train`` that is on."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    names = [argument.name for argument in node.target._schema.arguments]
    given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    return given.get("training") is True or given.get("train") is True


def _line(error: Exception) -> str:
    """What an exception says, in one short line."""
    return " ".join(str(error).split())[:160] or type(error).__name__
