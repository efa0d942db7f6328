from __future__ import annotations

import json
import os
import shutil
import zlib
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.kinds import Gating
from gatewright.models.zoo import catalogue as zoo
from tests.support import public_dgnet
from tests.support.pickles import Call

GATES = {"none": (False, False), "spatial": (True, False), "channel": (False, True), "dual": (True, True)}


def images() -> torch.Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("spec", [NetworkSpec(8), NetworkSpec(14, "dual", 0.4), NetworkSpec(8, "channel", 0.3, 7, 28)])
def test_own_format_round_trip(tmp_path: Path, spec: NetworkSpec) -> None:
    torch.manual_seed(1)
    network = spec.build()
    save_checkpoint(tmp_path / "new" / "model.safetensors", network, spec)
    loaded, loaded_spec = load_checkpoint(tmp_path / "new" / "model.safetensors")
    assert loaded_spec == spec and not loaded.training
    state = loaded.state_dict()
    assert list(state) == list(network.state_dict())
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("gating", list(GATES))
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [True, False])
def test_the_public_releases_files_load_and_say_the_same(
    tmp_path: Path, gating: Gating, prefix: str, wrapped: bool
) -> None:
    state = public_dgnet.random_state(2, *GATES[gating], seed=5, classes=6)
    stored: dict[str, object] = {prefix + name: value for name, value in state.items()}
    path = tmp_path / "model_best.pth.tar"
    torch.save({"epoch": 12, "best_prec1": 91.5, "state_dict": stored} if wrapped else stored, path)
    network, spec = load_checkpoint(path)
    assert spec == NetworkSpec(14, gating, None, classes=6)
    with torch.no_grad():
        expected, _ = public_dgnet.evaluate(state, 2, images())
        torch.testing.assert_close(network(images()), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (NetworkSpec(20), "resnet20"),
        (NetworkSpec(20, "dual", 0.4), "dgnet-resnet20-0.4"),
        (NetworkSpec(56, "spatial", 0.25), "dgnet-spatial-resnet56-0.25"),
        (NetworkSpec(110, "channel"), "dgnet-channel-resnet110"),
    ],
)
def test_names(spec: NetworkSpec, name: str) -> None:
    assert spec.name == name


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth.tar"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 50, None], ids=["empty", "garbage", "truncated"])
def test_damaged_files_are_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is None:
        if name.endswith("safetensors"):
            save_checkpoint(path, NetworkSpec(8).build(), NetworkSpec(8))
        else:
            torch.save({"state_dict": public_dgnet.random_state(1, True, True, seed=1)}, path)
        content = path.read_bytes()[:-1000]
    path.write_bytes(content)
    with pytest.raises(GatewrightError, match=rf"checkpoint .*{name} is damaged"):
        load_checkpoint(path)


def test_code_hidden_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "model.pth.tar"
    torch.save({"state_dict": Call(os.mkdir, str(tmp_path / "witness"))}, path)
    with pytest.raises(
        GatewrightError,
        match=r"holds (posix|nt)\.mkdir, which is neither a tensor nor a plain container; nothing of it was run",
    ):
        load_checkpoint(path)
    assert not (tmp_path / "witness").exists()


def test_files_of_other_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(GatewrightError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "absent.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(GatewrightError, match="is not a gatewright-checkpoint-2 file; its format is None"):
        load_checkpoint(tmp_path / "other.safetensors")
    torch.save({"state_dict": {"head.weight": torch.zeros(1)}}, tmp_path / "vit.pth")
    with pytest.raises(GatewrightError, match="holds no CIFAR ResNet"):
        load_checkpoint(tmp_path / "vit.pth")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(GatewrightError, match="holds no network"):
        load_checkpoint(tmp_path / "list.pt")


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = public_dgnet.random_state(1, True, True, seed=1)
    del state["layer2.0.conv2.weight"]
    torch.save({"state_dict": state}, tmp_path / "model.pth.tar")
    with pytest.raises(GatewrightError, match=r"does not fit dgnet-resnet8: (.|\n)*layer2\.0\.conv2\.weight"):
        load_checkpoint(tmp_path / "model.pth.tar")


def rewrite(path: Path, spec: str | None = None, tensors: dict[str, torch.Tensor] | None = None) -> None:
    """Edit a checkpoint of ours, and make its checksum right again."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = {**load_file(path), **(tensors or {})}
    text = metadata["spec"] if spec is None else spec
    checksum = zlib.crc32(text.encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes(), checksum)
    save_file(tensors, path, {**metadata, "spec": text, "checksum": str(checksum)})


def write(path: Path) -> Path:
    torch.manual_seed(2)
    save_checkpoint(path, NetworkSpec(8).build(), NetworkSpec(8))
    return path


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{", "its spec is not JSON"),
        ("", "its spec is not JSON"),
        ("[8]", r"\[8\] must be a table of keys"),
        ('{"depth": 8, "width": 2}', "unknown key width"),
        ('{"depth": 8}', "missing key gating, target_density, classes"),
        (dict(depth="8"), "depth = '8' must be a valid integer"),
        (dict(depth=True), "depth = True must be a valid integer"),
        (dict(depth=6 * 10**9 + 2), "depth = 6000000002 must be less than"),
        (dict(depth=602), "does not fit resnet602 of 10 classes: its tensors are those of resnet8 of 10"),
        (dict(classes=11), "does not fit resnet8 of 11 classes: its tensors are those of resnet8 of 10"),
        (dict(classes=0), "classes = 0 must be greater than or equal to 1"),
        (
            dict(gating="triple"),
            "gating = 'triple' must be 'none', 'dual', 'spatial', 'channel', 'bas', 'aig', 'skip' or 'ddi'",
        ),
        (dict(gating="dual"), "does not fit dgnet-resnet8"),
        (dict(size=1 << 40), "size = 1099511627776 must be less than or equal to 1023"),
        (dict(target_density=0.0), "target_density.* = 0.0 must be greater than 0"),
    ],
)
def test_a_spec_that_cannot_be_or_does_not_fit_is_refused(
    tmp_path: Path, spec: str | dict[str, object], message: str
) -> None:
    path = write(tmp_path / "model.safetensors")
    rewrite(path)
    assert load_checkpoint(path)[1] == NetworkSpec(8)
    rewrite(path, spec if isinstance(spec, str) else json.dumps({**asdict(NetworkSpec(8)), **spec}))
    with pytest.raises(GatewrightError, match=message):
        load_checkpoint(path)


def test_a_spec_from_before_families_and_synthetic_networks_is_of_a_trained_cifar_resnet(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors")
    since = ({"uniform_tile"}, {"uniform_tile", "synthetic"}, {"uniform_tile", "synthetic", "family_name"})
    for added in since:
        rewrite(path, json.dumps({key: value for key, value in asdict(NetworkSpec(8)).items() if key not in added}))
        assert load_checkpoint(path)[1] == NetworkSpec(8, family_name="resnet-cifar", synthetic=False)
    drawn = NetworkSpec(8, synthetic=True)
    save_checkpoint(path, NetworkSpec(8).build(), drawn)
    assert load_checkpoint(path)[1] == drawn and drawn.name == "synthetic-resnet8"


def test_tiles_of_one_edge_are_kept(tmp_path: Path) -> None:
    path, tiled = tmp_path / "model.safetensors", NetworkSpec(8, "dual", 0.5, uniform_tile=8)
    save_checkpoint(path, tiled.build(), tiled)
    network, spec = load_checkpoint(path)
    assert spec == tiled and spec.name == "dgnet-resnet8-tile8-0.5"
    assert [block.tile for block in network.blocks()] == [8, 8, 8]
    exits = replace(tiled, family_name="resnet-cifar-exits")
    assert [block.tile for block in exits.build().blocks()] == [8, 8, 8]
    with pytest.raises(GatewrightError, match="a DenseNet has its own tiles by stage"):
        NetworkSpec(121, family_name="densenet", uniform_tile=8).module()


def test_every_flipped_bit_of_a_tensor_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors")
    good = path.read_bytes()
    first = 8 + int.from_bytes(good[:8], "little")
    for place in range(first, len(good), (len(good) - first) // 40):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        path.write_bytes(bad)
        with pytest.raises(GatewrightError, match="damaged: its checksum is wrong"):
            load_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("conv1.weight", float("nan"), "1 of the 432 numbers of conv1.weight are not finite"),
        ("layer2.0.conv2.weight", float("inf"), "1 of the 9216 numbers of layer2.0.conv2.weight are not finite"),
        ("bn1.running_var", -1.0, "bn1.running_var is negative"),
        ("fc.weight", torch.zeros(10, 64, dtype=torch.complex64), r"fc.weight is torch.complex64 \[10, 64\]; it must"),
        ("fc.weight", torch.zeros(10, 64, dtype=torch.int64), r"fc.weight is torch.int64 \[10, 64\]; it must be float"),
        ("fc.weight", torch.zeros(10, 64, dtype=torch.bool), r"fc.weight is torch.bool"),
        ("fc.weight", torch.full((10, 64), 1e300, dtype=torch.float64), "640 of the 640 numbers of fc.weight are not"),
        ("fc.weight", torch.zeros(()), r"fc.weight has shape \[\]; a classifier is"),
        ("fc.weight", torch.zeros(0, 64), r"fc.weight has shape \[0, 64\]"),
        ("fc.weight", torch.zeros(10, 63), "does not fit resnet8: .*fc.weight"),
        ("bn1.num_batches_tracked", torch.tensor(0.5), "num_batches_tracked is torch.float32 .*one int64 number"),
    ],
)
@pytest.mark.parametrize("form", ["own", "public"])
def test_tensors_that_are_not_finite_real_numbers_are_named(
    tmp_path: Path, name: str, value: float | torch.Tensor, message: str, form: str
) -> None:
    path = write(tmp_path / "model.safetensors")
    tensors = load_file(path)
    if isinstance(value, float):
        tensors[name].view(-1)[3] = value
    else:
        tensors[name] = value
    if form == "own":
        rewrite(path, tensors=tensors)
    else:
        path = tmp_path / "model.pth.tar"
        torch.save({"state_dict": tensors}, path)
    with pytest.raises(GatewrightError, match=message):
        load_checkpoint(path)


def test_half_precision_checkpoints_load(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors")
    tensors = {name: t.to(torch.bfloat16) if t.is_floating_point() else t for name, t in load_file(path).items()}
    rewrite(path, tensors=tensors)
    assert torch.equal(load_checkpoint(path)[0].fc.weight, tensors["fc.weight"].float())


def test_version_1_without_a_checksum_loads_and_a_card_beside_it_is_compared(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors")
    spec = {key: value for key, value in asdict(NetworkSpec(8)).items() if key != "family_name"}
    metadata = {"format": "gatewright-checkpoint-1", "spec": json.dumps(spec)}
    save_file(load_file(path), path, metadata)
    assert load_checkpoint(path)[1] == NetworkSpec(8)
    for file in (zoo.find("resnet20"), zoo.find("resnet20").with_suffix(".json")):
        shutil.copy(file, tmp_path)
    copied = tmp_path / "resnet20.safetensors"
    assert load_checkpoint(copied)[1].depth == 20
    damaged = bytearray(copied.read_bytes())
    damaged[-5] ^= 4
    copied.write_bytes(damaged)
    with pytest.raises(GatewrightError, match="is not the file that its card resnet20.json describes"):
        load_checkpoint(copied)


@pytest.mark.parametrize("gating", ["spatial", "channel", "dual"])
def test_gates_without_a_bias_have_one_of_zero(tmp_path: Path, gating: Gating) -> None:
    """The public release's classes make gates without a bias unless they are given an initial value of at least 0."""
    state = public_dgnet.random_state(1, *GATES[gating], seed=8, gate_bias=False)
    assert not [name for name in state if name.endswith(("atten_s.bias", "atten_c.3.bias"))]
    torch.save({"state_dict": state}, tmp_path / "model.pth.tar", pickle_protocol=4)
    network, spec = load_checkpoint(tmp_path / "model.pth.tar")
    assert spec == NetworkSpec(8, gating)
    with torch.no_grad():
        expected, masks = public_dgnet.evaluate(state, 1, images())
        torch.testing.assert_close(network(images()), expected, rtol=1e-4, atol=1e-4)
    on = torch.cat([m.flatten() for block in masks for m in block])
    assert 0.1 < on.mean() < 1, "gates decide both ways"


def test_one_gate_of_many_without_its_bias_is_a_missing_tensor(tmp_path: Path) -> None:
    state = public_dgnet.random_state(1, True, True, seed=8)
    del state["layer2.0.mask_s.atten_s.bias"]
    torch.save({"state_dict": state}, tmp_path / "model.pth.tar")
    with pytest.raises(GatewrightError, match=r"does not fit dgnet-resnet8: .*layer2\.0\.mask_s\.atten_s\.bias"):
        load_checkpoint(tmp_path / "model.pth.tar")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"fc.weight": 3}, "fc.weight is of type int, not a tensor"),
        ({"fc.weight": torch.zeros(10, 64)}, "no layer1"),
        ({"linear.weight": torch.zeros(10, 64)}, "conv1.weight has shape None"),
        ({"linear.weight": torch.zeros(10, 64), "conv1.weight": torch.zeros(())}, r"conv1.weight has shape \(\)"),
    ],
)
def test_a_state_of_something_else_is_refused(tmp_path: Path, state: dict[str, object], message: str) -> None:
    torch.save({"state_dict": state}, tmp_path / "model.pth.tar")
    with pytest.raises(GatewrightError, match=message):
        load_checkpoint(tmp_path / "model.pth.tar")
