from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gatewright.contract.arch import PRESETS, ArchConfig, DramConfig, load_arch
from gatewright.contract.errors import GatewrightError


@pytest.mark.parametrize(
    ("name", "rows", "columns"), [("ultra96", 16, 16), ("8x8", 8, 8), ("16x8", 16, 8), ("4x4", 4, 4), ("12x20", 12, 20)]
)
def test_presets_have_the_shape_in_their_name(name: str, rows: int, columns: int) -> None:
    arch = load_arch(name)
    assert (arch.name, arch.rows, arch.columns, arch.peak_macs) == (name, rows, columns, rows * columns)


def test_every_preset_is_listed_and_loads() -> None:
    assert {load_arch(name).name for name in PRESETS} == set(PRESETS)


def test_derived_sizes_of_the_default() -> None:
    arch = load_arch("ultra96")
    assert (arch.gather_bytes, arch.slices_per_beat, arch.page_instructions) == (48, 1, 256)
    assert (arch.scratchpad_bytes, arch.patch_words, arch.weight_words) == (262144, 4096, 8192)


@pytest.mark.parametrize(("rows", "slices"), [(4, 4), (5, 3), (8, 2), (12, 1), (16, 1)])
def test_a_beat_carries_whole_slices(rows: int, slices: int) -> None:
    assert ArchConfig(rows=rows).slices_per_beat == slices


def test_a_burst_takes_the_rational_rate_rounded_up() -> None:
    dram = DramConfig(beats=3, per_cycles=4)
    assert [dram.burst_cycles(beats) for beats in range(7)] == [0, 2, 3, 4, 6, 7, 8]


def test_dictionary_round_trip_survives_json() -> None:
    for arch in PRESETS.values():
        assert ArchConfig.from_dict(json.loads(json.dumps(arch.to_dict()))) == arch


def test_what_was_saved_before_channels_could_be_shared_has_separate_ones() -> None:
    data = ArchConfig().to_dict()
    del data["dram"]["shared"]
    assert ArchConfig.from_dict(data) == ArchConfig()
    assert not ArchConfig().dram.shared


def test_a_file_shares_the_channel(tmp_path: Path) -> None:
    path = tmp_path / "lpddr4.toml"
    path.write_text("[dram]\nshared = true\n")
    assert load_arch(str(path)).dram == DramConfig(shared=True)


def test_file_starts_from_a_preset_and_takes_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "narrow.toml"
    path.write_text('preset = "8x8"\nqueue_depth = 3\n[dram]\nlatency = 200\n')
    arch = load_arch(str(path))
    assert (arch.name, arch.rows, arch.columns, arch.queue_depth) == ("narrow", 8, 8, 3)
    assert (arch.dram.latency, arch.dram.beats) == (200, DramConfig().beats)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows = ", "not valid TOML"),
        ("rowz = 8", "unknown key rowz"),
        ("[dram]\nlatensy = 8", r"unknown key dram\.latensy"),
        ("dram = 3", "dram = 3 must be a table of keys"),
        ('preset = "9x9"', "no preset '9x9'"),
        ("rows = 17", "rows = 17 must be an integer from 4 to 16: LOAD makes whole words of `rows` bytes of a beat"),
        ("rows = 32", "rows = 32 must be .* a beat, which has 16; for a larger array take more columns"),
        (
            "columns = 33",
            "columns = 33 must be an integer from 4 to 32: the writes of a total of int32 have room for 32",
        ),
        ("rows = 3", "rows = 3 must be an integer from 4 to 16$"),
        ("rows = true", "rows = True must be a valid integer"),
        ("rows = 8.0", r"rows = 8\.0 must be a valid integer"),
        ('columns = "16"', "columns = '16' must be a valid integer"),
        ("load_vectors = 3", "must be 1, 2 or 4"),
        ("[dram]\nbeats = 2\nper_cycles = 1", "at most one beat a cycle"),
        ("[dram]\nlatency = 1", r"dram\.latency = 1 must be an integer from 2 to 65535"),
        (
            "[dram]\nper_cycles = 10000000000000000000000000",
            r"dram\.per_cycles = 10+ must be an integer from 1 to 1024",
        ),
        ("[dram]\nburst_gap = 65536", r"dram\.burst_gap = 65536 must be an integer from 0 to 65535"),
        ("[dram]\noutstanding = 65", r"dram\.outstanding = 65 must be an integer from 1 to 64"),
        ("[dram]\nbeats = false", r"dram\.beats = False must be a valid integer"),
        ("[dram]\nshared = 1", r"dram\.shared = 1 must be a valid boolean"),
        ("preset = [1]", r"no preset \[1\]; presets are ultra96"),
        ("name = 3", r"name = 3 must be a valid string"),
        ("rows = 1979-05-27", r"rows = '1979-05-27' must be a valid integer"),
        (f"rows = 0x{'f' * 5000}", "cannot be read .Exceeds the limit"),
        (f"rows = {'9' * 5000}", "not valid TOML"),
        ("rows = nan", "rows = .* must be"),
    ],
)
def test_bad_files_are_named_with_the_fault(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(GatewrightError, match=message) as caught:
        load_arch(str(path))
    assert "bad" in str(caught.value)


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(GatewrightError, match="not valid TOML"):
        load_arch(str(path))


def test_unknown_name_lists_the_presets() -> None:
    with pytest.raises(GatewrightError, match=r"'17x17'.*ultra96, 8x8"):
        load_arch("17x17")


@pytest.mark.parametrize("change", [{"queue_depth": 1}, {"tables": 32}, {"weight_kib": 0}])
def test_changes_are_validated(change: dict[str, Any]) -> None:
    with pytest.raises(GatewrightError, match=next(iter(change))):
        replace(load_arch("ultra96"), **change)
