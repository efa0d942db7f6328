"""What is done for chosen points alone: synthesis, the RTL beside the simulator, the report. Each leaves a file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from gatewright import flow
from gatewright.boards import load_board
from gatewright.contract.arch import ArchConfig
from gatewright.contract.schema import parse_json
from gatewright.explore.objectives import Area
from gatewright.explore.outcome import Outcome
from gatewright.explore.space import BOARD, NetworkUse
from gatewright.explore.workload import Workload, programs
from gatewright.measure.summary import build_report
from gatewright.models.accuracy import why_no_accuracy
from gatewright.report.write import write_report

T = TypeVar("T")

SYNTH, VERIFY, REPORT = "synth.json", "verify.json", "report.html"
"""Files of a point's folder."""

_FIX = "delete the file, and it is made again"


@dataclass(frozen=True)
class NetworkVerified:
    """A network's images on a machine's RTL, in lockstep with the simulator."""

    network: str
    images: int
    cycles: int
    instructions: int
    events: int
    compared_bytes: int
    difference: str | None


@dataclass(frozen=True)
class PointVerified:
    """All networks of a search on a machine's RTL."""

    networks: tuple[NetworkVerified, ...]

    @property
    def same(self) -> bool:
        """Whether there is no difference."""
        return all(network.difference is None for network in self.networks)


def spread(points: Sequence[T], count: int) -> list[T]:
    """``count`` of some points, evenly over their order, the first and the last among them; all if there are fewer."""
    if count >= len(points):
        return list(points)
    if count == 1:
        return [points[len(points) // 2]]
    places = {round(place * (len(points) - 1) / (count - 1)) for place in range(count)}
    return [points[place] for place in sorted(places)]


def read(kind: type[T], path: Path) -> T | None:
    """What an earlier run left in a file of a point's folder."""
    if not path.is_file():
        return None
    return parse_json(kind, path.read_text("utf-8"), str(path), _FIX)


def synthesised(outcome: Outcome, folder: Path) -> Area:
    """The area of a synthesis of the machine, which takes minutes; ``synth.json`` of the folder keeps it."""
    from gatewright.hw.synth import synthesise
    from gatewright.hw.top import Accelerator

    assert outcome.arch is not None
    known = read(Area, folder / SYNTH)
    if known is not None:
        return known
    board = load_board(str(outcome.values.get(BOARD, "ultra96")))
    with tempfile.TemporaryDirectory(prefix="gatewright-") as work:
        total = synthesise(Accelerator(outcome.arch), None, "gatewright", Path(work), chip=board.need_chip()).total
    area = Area(total.lut, total.ff, total.bram36, total.dsp, "synth")
    _write(folder / SYNTH, json.dumps(asdict(area)))
    return area


def verified(outcome: Outcome, workloads: Sequence[Workload], images: int, folder: Path) -> PointVerified:
    """The first images of each network on the machine's RTL; ``verify.json`` of the folder keeps what came out.

    What it has of fewer images is done again.
    """
    known = read(PointVerified, folder / VERIFY)
    asked = {work.name: min(images, len(work.inputs)) for work in workloads}
    if known is not None and all(one.images >= asked[one.network] for one in known.networks):
        return known
    assert outcome.arch is not None
    result = PointVerified(tuple(_verify(work, outcome.arch, images) for work in workloads))
    _write(folder / VERIFY, json.dumps(asdict(result)))
    return result


def _verify(work: Workload, arch: ArchConfig, images: int) -> NetworkVerified:
    from gatewright.verify import design, lockstep
    from gatewright.verify.expectations import expect

    expectations = [expect(program, writes=True) for program in programs(work, arch)[:images]]
    bench = lockstep.Bench(design.machine_verilog(arch), arch, lockstep.capacity_for(expectations))
    results = lockstep.verify(bench, expectations)
    return NetworkVerified(
        work.name,
        len(results),
        sum(one.cycles for one in results),
        sum(one.instructions for one in results),
        sum(one.events for one in results),
        sum(one.compared_bytes for one in results),
        results[-1].difference,
    )


def report(use: NetworkUse, arch: ArchConfig, folder: Path, workers: int) -> Path:
    """The report of a network on a machine, with the images of the search; one that is there is kept."""
    path = folder / REPORT
    if path.is_file():
        return path
    network = flow.load_network(use.name)
    images = network.spec.data.test_images(use.data, use.images)
    evaluation = flow.evaluate(network, images)
    dense = flow.dense_record(network, arch, evaluation.inputs[0])
    records = list(flow.run_images(network, arch, images, evaluation, workers, use.program == "live"))
    about = {
        "name": network.name,
        "checkpoint": network.path.name,
        "target_density": network.spec.target_density,
    }
    unknown = why_no_accuracy(network.spec, images)
    if unknown is not None:
        about["no_accuracy"] = unknown
    names, flips = images.source.classes, evaluation.flips.gates
    return write_report(build_report(arch, about, dense, records, flips, classes=names), folder)[1]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text + "\n", "utf-8")
    partial.replace(path)
