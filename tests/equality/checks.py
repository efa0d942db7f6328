"""What the card holds: comparisons of networks, random programs, proofs and faults, each a row when it has run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gatewright import flow
from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.images import lay_out
from gatewright.models.zoo.catalogue import names
from gatewright.verify import design
from gatewright.verify.expectations import Expectation, expect, expect_images
from gatewright.verify.kit.check import Agreement
from gatewright.verify.lockstep import Bench, capacity_for, verify
from tests.cosim.campaign import FIRST_SEED, KINDS
from tests.mutants.__main__ import ALL as MUTANTS
from tests.mutants.campaign import Workplace
from tests.mutants.mutant import Mutant
from tests.proofs.harness import Aim
from tests.proofs.proof import Proof
from tests.proofs.proofs import PROOFS
from tests.proofs.solve import Verdict, solve

Row = dict[str, Any]
"""What a check has found: ``differs`` says what is wrong, or is empty."""

DEMO = "dgnet-resnet20-0.4"
LIVE_IMAGES = 2


@dataclass(frozen=True)
class Check:
    """``section`` is its table, ``name`` what it is called there; ``again`` repeats it alone, and no other's does."""

    section: str
    name: str
    again: str
    run: Callable[[], Row]


def network_checks() -> Iterator[Check]:
    """Every network of the zoo on ``ultra96``, for its first image and live; the demo's on every preset."""
    for network in names():
        yield _network(network, "ultra96", "for one image")
        yield _network(network, "ultra96", "live")
    for preset in PRESETS:
        if preset != "ultra96":
            yield _network(DEMO, preset, "for one image")
    yield _network(DEMO, "ultra96", "dense")


def program_checks(programs: int) -> Iterator[Check]:
    """So many random programs of each kind of the campaign, on its small machine."""
    for kind, (run, option) in KINDS.items():
        again = f"python -m tests.cosim.random_lockstep --first {FIRST_SEED} --programs {programs} {option}".rstrip()

        def compare(run: Callable[[range], Agreement] = run) -> Row:
            found = run(range(FIRST_SEED, FIRST_SEED + programs))
            return {"programs": found.agreed, "differs": found.difference or ""}

        yield Check("programs", kind, again, compare)


def proof_checks() -> Iterator[Check]:
    """Every proof of the RTL's control."""
    for proof in PROOFS.values():
        yield Check("proofs", proof.name, f"python -m tests.proofs {proof.name}", lambda proof=proof: _proof(proof))  # type: ignore[misc]


def fault_checks(workplace: Callable[[], Workplace]) -> Iterator[Check]:
    """Every fault that is put in by hand, one at a time: a check has to notice it."""
    for mutant in MUTANTS.values():
        again = f"python -m tests.mutants {mutant.name}"
        yield Check("faults", mutant.name, again, lambda mutant=mutant: _fault(workplace(), mutant))  # type: ignore[misc]


def _network(network: str, preset: str, kind: str) -> Check:
    live = f" --live --one-start --images {LIVE_IMAGES}"
    options = {"dense": " --dense", "live": live}.get(kind, "")
    arch = "" if preset == "ultra96" else f" --arch {preset}"
    again = f"gatewright verify {network}{options}{arch}"
    return Check("networks", f"{network} {kind} on {preset}", again, lambda: _compare(network, PRESETS[preset], kind))


def _compare(name: str, arch: ArchConfig, kind: str) -> Row:
    """The RTL beside the simulator: cycles of every event, bytes of every memory."""
    images = LIVE_IMAGES if kind == "live" else 1
    expectation = _expectation(name, arch, kind, images)
    bench = Bench(design.machine_verilog(arch), arch, capacity_for([expectation]))
    (result,) = verify(bench, [expectation])
    figures = {key: getattr(result, key) for key in ("instructions", "cycles", "events", "compared_bytes")}
    shown = {"network": name, "machine": arch.name, "program": kind, "images": images, **figures}
    return {**shown, "differs": result.difference or ""}


def _expectation(name: str, arch: ArchConfig, kind: str, images: int) -> Expectation:
    """What the simulator says of a program; with every single write if it is for one image."""
    network = flow.load_network(name)
    evaluation = flow.evaluate(network, network.spec.data.test_images(None, images))
    if kind == "live":
        program = flow.compile_live(network, arch)
        return expect_images(program, *lay_out(program, list(evaluation.inputs)), writes=False)
    sample = evaluation.inputs[0]
    if kind == "dense":
        return expect(flow.compile_dense(network, arch, sample), writes=True)
    return expect(Compiler(network.graph, arch).compile(evaluation.decisions(0), sample), writes=True)


def _proof(proof: Proof) -> Row:
    result = solve(proof, Aim.PROVE)
    how = f"for {proof.cycles} cycles from the reset on" if proof.bounded else f"by induction over {result.induction}"
    wrong = "" if result.verdict == Verdict.PROVEN else f"{result.verdict.value}: {result.failed}"
    return {"claim": proof.claim, "how": how, "differs": wrong}


def _fault(workplace: Workplace, mutant: Mutant) -> Row:
    verdict = workplace.judge(mutant)
    wrong = "" if verdict.caught_by else "no check notices it"
    return {"file": mutant.file, "effect": mutant.effect, "noticed_by": verdict.caught_by or "", "differs": wrong}
