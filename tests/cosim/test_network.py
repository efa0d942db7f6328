"""A trained network on the RTL of the Ultra96's machine, to the last logit, in the simulator's cycles."""

from __future__ import annotations

import re

from click.testing import CliRunner

from gatewright.cli.main import main


def test_a_gated_and_a_dense_image_of_the_zoo_run_in_lockstep() -> None:
    for extra in ([], ["--dense"]):
        result = CliRunner().invoke(main, ["verify", "--images", "1", "--no-writes", "--no-waves", *extra])
        assert result.exit_code == 0, result.output
        assert re.search(r"^PASS +cycles and bytes$", result.output, re.MULTILINE), result.output
        assert re.search(r"^images +1 without a difference$", result.output, re.MULTILINE), result.output
