"""SCALE-Sim on a network's layers: its cycles and its seconds, for the comparison in ``table3.py``.

SCALE-Sim 3.0.0 is another simulator of systolic arrays. It needs an older numpy than ours, so that it gets an
environment of its own under ``build/``, which is made from the package index when it is first asked for.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError

REQUIREMENTS = ("scalesim==3.0.0", "numpy==1.26.4")

_RUN = """
import sys
from scalesim.scale_sim import scalesim
config, topology, layout, out = sys.argv[1:]
scalesim(save_disk_space=True, verbose=False, config=config, topology=topology, layout=layout).run_scale(top_path=out)
"""

_CONFIG = """[general]
run_name = table3
[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {columns}
IfmapSramSzkB = {scratchpad_kib}
FilterSramSzkB = {weight_kib}
OfmapSramSzkB = {scratchpad_kib}
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Bandwidth = {bytes_per_cycle}
Dataflow = ws
MemoryBanks = 1
ReadRequestBuffer = 512
WriteRequestBuffer = 512
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
SparseRep = ellpack_block
OptimizedMapping = false
BlockSize = 8
RandomNumberGeneratorSeed = 40
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""


@dataclass(frozen=True)
class ScaleSimLayer:
    """A convolution without padding: the part of the padded map that its windows cover."""

    name: str
    height: int
    width: int
    kernel_height: int
    kernel_width: int
    channels: int
    filters: int
    stride: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the layer."""
        down = (self.height - self.kernel_height) // self.stride + 1
        across = (self.width - self.kernel_width) // self.stride + 1
        return down * across * self.kernel_height * self.kernel_width * self.channels * self.filters


@dataclass(frozen=True)
class ScaleSimResult:
    """Cycles of one image with stalls, the array's utilisation (0 to 1) in them, and the run's wall time."""

    cycles: int
    utilisation: float
    seconds: float


def scale_sim_layers(graph: QuantisedGraph) -> list[ScaleSimLayer]:
    """Convolutions and the classifier, in order; a classifier is a convolution of one pixel."""
    layers = []
    for layer in graph.layers:
        if isinstance(layer, QuantisedConv):
            output, (filters, height, width, channels) = graph.shapes[layer.output], layer.weight.shape
            rows = (output.height - 1) * layer.stride + height
            columns = (output.width - 1) * layer.stride + width
            layers.append(ScaleSimLayer(layer.name, rows, columns, height, width, channels, filters, layer.stride))
        elif isinstance(layer, QuantisedClassifier):
            filters, channels = layer.weight.shape
            layers.append(ScaleSimLayer(layer.name, 1, 1, 1, 1, channels, filters, 1))
    return layers


def environment(folder: Path) -> Path:
    """The interpreter of SCALE-Sim's environment in ``folder``; the environment is made if it is not there.

    Raises
    ------
    GatewrightError
        The package index has not got what is needed, or cannot be reached.
    """
    python = folder / "bin" / "python"
    done = folder / ".installed"
    if not done.is_file():
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS],
        ):
            _checked(command)
        done.touch()
    return python


def run_scale_sim(layers: Sequence[ScaleSimLayer], arch: ArchConfig, folder: Path) -> ScaleSimResult:
    """Simulate layers on a weight-stationary array of the size of ``arch``; ``folder`` keeps its files.

    SCALE-Sim's own bandwidth estimate is used: its memory does not stall the array.
    """
    python = environment(folder / "scalesim-environment")
    work = folder / "scalesim"
    work.mkdir(parents=True, exist_ok=True)
    config, topology, layout = work / "config.cfg", work / "topology.csv", work / "layout.csv"
    dram = arch.dram
    config.write_text(_CONFIG.format(**arch.to_dict(), bytes_per_cycle=16 * dram.beats // dram.per_cycles))
    topology.write_text(_topology(layers))
    layout.write_text(_layout(layers))
    begin = time.perf_counter()
    _checked([str(python), "-c", _RUN, *(str(path) for path in (config, topology, layout, work))])
    seconds = time.perf_counter() - begin
    with (work / "table3" / "COMPUTE_REPORT.csv").open(newline="") as file:
        rows = [{key.strip(): value for key, value in row.items() if key} for row in csv.DictReader(file)]
    if len(rows) != len(layers):
        raise GatewrightError(f"SCALE-Sim reported {len(rows)} layers, not {len(layers)}; see {work}")
    cycles = sum(int(float(row["Total Cycles"])) for row in rows)
    return ScaleSimResult(cycles, sum(layer.macs for layer in layers) / (cycles * arch.peak_macs), seconds)


def _topology(layers: Sequence[ScaleSimLayer]) -> str:
    lines = ["Layer,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,Sparsity,"]
    for la in layers:
        sizes = (la.height, la.width, la.kernel_height, la.kernel_width, la.channels, la.filters, la.stride)
        lines.append(f"{la.name},{','.join(str(size) for size in sizes)},1:1,")
    return "\n".join(lines) + "\n"


def _layout(layers: Sequence[ScaleSimLayer]) -> str:
    """Its reader wants a layout of the memories, which it does not use: no layout is set in the configuration."""
    return "\n".join(["Layer" + ",x" * 19, *(la.name + ",1" * 19 + "," for la in layers)]) + "\n"


def _checked(command: list[str]) -> None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        raise GatewrightError(f"cannot run {command[0]}: {error}") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise GatewrightError(f"{' '.join(command[:4])} ... failed: {' / '.join(last)}")
