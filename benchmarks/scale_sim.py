"""SCALE-Sim on a network's layers: its cycles and its seconds, for the comparison in ``table3.py``.

SCALE-Sim 3.0.0 is another simulator of systolic arrays. It needs an older numpy than ours, so that it gets an
environment of its own under ``build/``, which is made from the package index when it is first asked for.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import PEAK_MIB, checked, environment
from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.errors import GatewrightError

REQUIREMENTS = ("scalesim==3.0.0", "numpy==1.26.4")

_RUN = """
import gc, sys, time
from scalesim.scale_sim import scalesim
config, folder, count = sys.argv[1:]
seconds = 0.0
for number in range(int(count)):
    here = f"{folder}/{number}"
    topology, layout = f"{here}/topology.csv", f"{here}/layout.csv"
    begin = time.perf_counter()
    run = scalesim(save_disk_space=True, verbose=False, config=config, topology=topology, layout=layout)
    run.run_scale(top_path=here)
    seconds += time.perf_counter() - begin
    del run
    gc.collect()
print(seconds, peak_mib())
"""
"""Layer by layer: it keeps every access of what it simulated, and ResNet-18 in one run took more than 17 GB."""

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
    """Cycles of one image, the array's utilisation (0 to 1) in them, the wall time of its runs, without imports, and
    the process's memory in MiB."""

    cycles: int
    utilisation: float
    seconds: float
    memory_mib: int


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


def run_scale_sim(layers: Sequence[ScaleSimLayer], arch: ArchConfig, folder: Path) -> ScaleSimResult:
    """Simulate layers on a weight-stationary array of the size of ``arch``; ``folder`` keeps its files.

    SCALE-Sim's own bandwidth estimate is used: its memory does not stall the array.
    """
    python = environment(folder / "scalesim-environment", REQUIREMENTS)
    work = folder / "scalesim"
    config = work / "config.cfg"
    for number, layer in enumerate(layers):
        here = work / str(number)
        here.mkdir(parents=True, exist_ok=True)
        (here / "topology.csv").write_text(_topology(layer))
        (here / "layout.csv").write_text(_layout(layer))
    rate = BEAT_BYTES * arch.dram.beats // arch.dram.per_cycles
    config.write_text(_CONFIG.format(**arch.to_dict(), bytes_per_cycle=rate))
    printed = checked([str(python), "-c", PEAK_MIB + _RUN, str(config), str(work), str(len(layers))])
    cycles = sum(_reported_cycles(work / str(number)) for number in range(len(layers)))
    macs = sum(layer.macs for layer in layers)
    seconds, memory = printed.split()[-2:]
    return ScaleSimResult(cycles, macs / (cycles * arch.peak_macs), float(seconds), int(memory))


def _reported_cycles(folder: Path) -> int:
    with (folder / "table3" / "COMPUTE_REPORT.csv").open(newline="") as file:
        rows = [{key.strip(): value for key, value in row.items() if key} for row in csv.DictReader(file)]
    if len(rows) != 1:
        raise GatewrightError(f"SCALE-Sim reported {len(rows)} layers in {folder}, not one")
    return int(float(rows[0]["Total Cycles"]))


def _topology(layer: ScaleSimLayer) -> str:
    head = "Layer,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,Sparsity,"
    sizes = (layer.height, layer.width, layer.kernel_height, layer.kernel_width, layer.channels, layer.filters)
    return f"{head}\n{layer.name},{','.join(str(size) for size in (*sizes, layer.stride))},1:1,\n"


def _layout(layer: ScaleSimLayer) -> str:
    """Its reader wants a layout of the memories, which it does not use: the configuration says so."""
    return f"Layer{',x' * 19}\n{layer.name}{',1' * 19},\n"
