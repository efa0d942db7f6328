"""The direction of imports: a lower layer never imports a higher one, and layers side by side not each other."""

from __future__ import annotations

import grimp
import pytest

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"contract", "driver"}),
    frozenset({"boards"}),
    frozenset({"from_onnx", "listing", "models", "compiler", "sim", "hw"}),
    frozenset({"verify", "measure", "vivado", "agreement", "bringup", "driver_export"}),
    frozenset({"machines"}),
    frozenset({"report", "board_export"}),
    frozenset({"own_network"}),
    frozenset({"onnx_import"}),
    frozenset({"flow"}),
    frozenset({"cycle_fitting", "exit_thresholds", "explain", "explore", "in_flight", "one_start", "zoo_publication"}),
    frozenset({"cli"}),
)
"""From the ground up; what may import what is drawn in CONTRIBUTING.md."""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("gatewright", cache_dir=None)


def test_every_part_of_the_package_has_a_layer(graph: grimp.ImportGraph) -> None:
    parts = {module.split(".")[1] for module in graph.modules if "." in module} - {"__main__"}
    assert parts == frozenset().union(*LAYERS)


def test_imports_point_down_only(graph: grimp.ImportGraph) -> None:
    height = {part: level for level, parts in enumerate(LAYERS) for part in parts}
    wrong = []
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            if "." not in importer or "." not in imported or importer == "gatewright.__main__":
                continue
            upper, lower = importer.split(".")[1], imported.split(".")[1]
            if upper != lower and height[lower] >= height[upper]:
                wrong.append(f"{importer} imports {imported}")
    assert not wrong


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("sim.fast", "sim.stepped"),
        ("sim.stepped", "sim.fast"),
        ("sim.stepped", "sim.audit"),
        ("hw", "sim"),
        # The integer reference judges the simulators and the lowering.
        ("compiler.graph.exact", "contract.arithmetic"),
        ("compiler.graph.exact", "compiler.emit"),
        ("compiler.emit", "compiler.graph.exact"),
    ],
)
def test_what_is_compared_shares_no_code(graph: grimp.ImportGraph, package: str, forbidden: str) -> None:
    importers = graph.find_descendants(f"gatewright.{package}") | {f"gatewright.{package}"}
    prefix = f"gatewright.{forbidden}"
    for importer in importers:
        for imported in graph.find_modules_directly_imported_by(importer):
            assert imported != prefix and not imported.startswith(f"{prefix}."), f"{importer} imports {imported}"
