"""All proofs, by name."""

from __future__ import annotations

from tests.proofs.axi_lite import AXI_LITE
from tests.proofs.completion_order import COMPLETION_ORDER
from tests.proofs.control import CONTROL
from tests.proofs.fetch import FETCH
from tests.proofs.legality import LEGALITY
from tests.proofs.load_bus import LOAD_BUS
from tests.proofs.load_issue import LOAD_ISSUE
from tests.proofs.load_order import LOAD_ORDER
from tests.proofs.progress import PROGRESS
from tests.proofs.proof import Proof
from tests.proofs.queues import QUEUES
from tests.proofs.sequencer import SEQUENCER
from tests.proofs.store_bursts import STORE_BURSTS
from tests.proofs.store_words import STORE_WORDS
from tests.proofs.waits import WAITS_AND_COUNTS

_ALL: tuple[Proof, ...] = (
    *QUEUES,
    *WAITS_AND_COUNTS,
    PROGRESS,
    FETCH,
    LEGALITY,
    SEQUENCER,
    LOAD_ISSUE,
    LOAD_BUS,
    LOAD_ORDER,
    STORE_BURSTS,
    STORE_WORDS,
    COMPLETION_ORDER,
    AXI_LITE,
    CONTROL,
)

PROOFS: dict[str, Proof] = {proof.name: proof for proof in _ALL}
