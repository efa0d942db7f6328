from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from gatewright.cli.main import main


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def layers(result: Result) -> list[str]:
    assert result.exit_code == 0, result.stderr
    return [line.split()[0] for line in result.stdout.splitlines()[2:-1] if not line.startswith(" ")]


def test_the_plan_of_a_network_of_the_zoo() -> None:
    everything = call("plan", "dgnet-resnet20-0.4")
    assert everything.stdout.splitlines()[0] == "dgnet-resnet20-0.4 on ultra96, every gate on"
    assert len(layers(everything)) == 1 + 19 + 2 + 2 * 9 + 9 + 1  # image, convolutions, shortcuts, gates, averages, fc
    dense = call("plan", "dgnet-resnet20-0.4", "--dense")
    assert dense.stdout.splitlines()[0] == "dgnet-resnet20-0.4 on ultra96, without gates"
    assert len(layers(dense)) == 1 + 19 + 2 + 1


def test_an_images_gates_leave_less_to_do() -> None:
    totals = []
    for more in ([], ["--image", "1"]):
        result = call("plan", "dgnet-resnet20-0.4", *more)
        totals.append(int(result.stdout.splitlines()[-1].split("ARRAY ")[1].split(", ")[0].replace(",", "")))
    assert "gates of image 1" in result.stdout
    assert totals[1] < totals[0]


def test_a_network_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text("scratchpad_kib = 8\n")
    result = call("plan", "resnet20", "--arch", tmp_path / "small.toml")
    assert result.exit_code == 2
    assert "bytes are missing; raise scratchpad_kib" in result.stderr
