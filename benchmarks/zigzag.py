"""ZigZag on a network's layers: the cycles of its analytical model, and its seconds, for ``peers.py``.

ZigZag 3.9.1 looks for the best order of loops of each layer on an array and a hierarchy of memories that a file
describes. It has an environment of its own under ``build/``, made from the package index when it is first asked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.environments import PEAK_MIB, checked, environment
from benchmarks.scale_sim import ScaleSimLayer
from gatewright.contract.arch import BEAT_BYTES, ArchConfig

REQUIREMENTS = ("zigzag-dse==3.9.1", "six==1.17.0")

_RUN = """
import json, logging, sys, tempfile, time
logging.disable(logging.CRITICAL)
from zigzag.api import get_hardware_performance_zigzag
layers, accelerator, mapping = json.loads(open(sys.argv[1]).read()), *sys.argv[2:]
cycles, begin = [], time.perf_counter()
for layer in layers:
    with tempfile.TemporaryDirectory() as folder:
        found = get_hardware_performance_zigzag(
            [layer], accelerator, mapping, dump_folder=folder, loma_show_progress_bar=False
        )
    cycles.append(found[1])
memory = peak_mib()
print(json.dumps({"cycles": cycles, "seconds": time.perf_counter() - begin, "memory_mib": memory}))
"""

_PORTS = {
    "weight_registers": {"r_port_1": ("read", ["I2, tl"]), "w_port_1": ("write", ["I2, fh"])},
    "accumulators": {
        "r_port_1": ("read", ["O, tl"]),
        "r_port_2": ("read", ["O, th"]),
        "w_port_1": ("write", ["O, fh"]),
        "w_port_2": ("write", ["O, fl"]),
    },
    "scratchpad": {
        "r_port_1": ("read", ["I1, tl", "O, tl", "O, th"]),
        "w_port_1": ("write", ["I1, fh", "O, fh", "O, fl"]),
    },
    "weight_buffer": {"r_port_1": ("read", ["I2, tl"]), "w_port_1": ("write", ["I2, fh"])},
    "dram": {
        "rw_port_1": (
            "read_write",
            ["I1, fh", "I1, tl", "I2, fh", "I2, tl", "O, fh", "O, tl", "O, fl", "O, th"],
        )
    },
}
"""Of each memory its ports: what they do, for which operands (I1 maps, I2 filters, O results), in which direction."""


@dataclass(frozen=True)
class ZigZagResult:
    """Cycles of one image, the array's utilisation (0 to 1), wall time in seconds without imports, memory in MiB."""

    cycles: int
    utilisation: float
    seconds: float
    memory_mib: int


def run_zigzag(layers: Sequence[ScaleSimLayer], arch: ArchConfig, folder: Path) -> ZigZagResult:
    """Map layers to a weight-stationary array with the memories of ``arch``; ``folder`` keeps its files.

    Filters lie along the columns and channels along the rows, as in its own TPU-like example; energies are 0, for none
    is asked for. Its objective is the fewest cycles.
    """
    python = environment(folder / "zigzag-environment", REQUIREMENTS)
    work = folder / "zigzag"
    work.mkdir(parents=True, exist_ok=True)
    # YAML reads JSON.
    files = {
        "layers": [_layer(layer) for layer in layers],
        "accelerator": _accelerator(arch),
        "mapping": _mapping(arch),
    }
    paths = {name: work / f"{name}.{'json' if name == 'layers' else 'yaml'}" for name in files}
    for name, path in paths.items():
        path.write_text(json.dumps(files[name], indent=1))
    found = json.loads(checked([str(python), "-c", PEAK_MIB + _RUN, *map(str, paths.values())]).splitlines()[-1])
    cycles, macs = round(sum(found["cycles"])), sum(layer.macs for layer in layers)
    return ZigZagResult(cycles, macs / (cycles * arch.peak_macs), found["seconds"], found["memory_mib"])


def _layer(layer: ScaleSimLayer) -> dict[str, object]:
    sizes = asdict(layer)
    down = (layer.height - layer.kernel_height) // layer.stride + 1
    across = (layer.width - layer.kernel_width) // layer.stride + 1
    return {
        "id": 0,
        "name": layer.name,
        "operator_type": "Conv",
        "equation": "O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]",
        "dimension_relations": [f"ix={layer.stride}*ox+1*fx", f"iy={layer.stride}*oy+1*fy"],
        "loop_dims": ["B", "K", "C", "OY", "OX", "FY", "FX"],
        "loop_sizes": [1, sizes["filters"], sizes["channels"], down, across, layer.kernel_height, layer.kernel_width],
        "operand_precision": {"O": 32, "O_final": 8, "W": 8, "I": 8},
        "operand_source": {"I": 0, "W": 0},
    }


def _accelerator(arch: ArchConfig) -> dict[str, object]:
    """The array and its memories: sizes in bits, bandwidths in bits a cycle."""
    byte, rate = 8, 8 * BEAT_BYTES * arch.dram.beats // arch.dram.per_cycles
    described = {
        # Two sets of registers in each processing element: the next filters load beside.
        "weight_registers": (2 * byte, (byte, byte), ["I2"], []),
        "accumulators": (4 * 32 * arch.accumulator_depth, (32, 32), ["O"], ["D2"]),
        "weight_buffer": (arch.weight_kib * 1024 * byte, (byte, 4 * arch.rows * byte), ["I2"], ["D1", "D2"]),
        "scratchpad": (arch.scratchpad_kib * 1024 * byte, (byte, 4 * arch.rows * byte), ["I1", "O"], ["D1", "D2"]),
        "dram": (10_000_000_000, (byte, rate), ["I1", "I2", "O"], ["D1", "D2"]),
    }
    memories = {
        name: {
            "size": size,
            "r_cost": 0,
            "w_cost": 0,
            "area": 0,
            "latency": 1,
            "operands": operands,
            "ports": [
                {
                    "name": port,
                    "type": kind,
                    "bandwidth_min": bandwidth[0],
                    "bandwidth_max": bandwidth[1],
                    "allocation": allocation,
                }
                for port, (kind, allocation) in _PORTS[name].items()
            ],
            "served_dimensions": served,
        }
        for name, (size, bandwidth, operands, served) in described.items()
    }
    array = {
        "unit_energy": 0,
        "unit_area": 1,
        "dimensions": ["D1", "D2"],
        "sizes": [arch.columns, arch.rows],
        "systolic_dimensions": ["D1", "D2"],
    }
    return {"name": arch.name, "memories": memories, "operational_array": array}


def _mapping(arch: ArchConfig) -> list[dict[str, object]]:
    links = {"O": "O", "W": "I2", "I": "I1"}
    spatial = {"D1": [f"K, {arch.columns}"], "D2": [f"C, {arch.rows}"]}
    return [{"name": "default", "spatial_mapping": spatial, "memory_operand_links": links}]
