"""Files of torch.save in every protocol and container; what hides in them is named and not run."""

from __future__ import annotations

import builtins
import functools
import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint
from gatewright.models.checkpoints.pickled_tensors import load_pickled
from gatewright.models.families.spec import NetworkSpec
from tests.support import public_dgnet
from tests.support.pickles import Call

CONTAINERS = {"zip": True, "legacy": False}


def network_and_optimiser() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(3)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    network(torch.randn(2, 3, 5, 5)).sum().backward()
    optimiser.step()
    return network, optimiser


def same(left: object, right: object) -> bool:
    """Equal values in containers of the same shape; tensors with the same type and layout."""
    if isinstance(right, torch.Tensor):
        assert isinstance(left, torch.Tensor)
        return left.dtype == right.dtype and left.stride() == right.stride() and torch.equal(left, right)
    if isinstance(right, dict):
        return isinstance(left, dict) and list(left) == list(right) and all(same(left[k], right[k]) for k in right)
    if isinstance(right, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("container", list(CONTAINERS))
def test_the_public_releases_checkpoint_loads(tmp_path: Path, protocol: int, container: str) -> None:
    """As the release's training script saves it: a dict with the optimiser's state beside the network's."""
    state = public_dgnet.random_state(1, True, True, seed=4)
    _, optimiser = network_and_optimiser()
    stored = {"epoch": 3, "state_dict": OrderedDict(state), "acc": 91.5, "optimizer": optimiser.state_dict()}
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(stored, path, pickle_protocol=protocol, _use_new_zipfile_serialization=CONTAINERS[container])
    assert same(load_pickled(path), stored)
    loaded, spec = load_checkpoint(path)
    assert spec == NetworkSpec(8, "dual")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), public_dgnet.evaluate(state, 1, images)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("container", list(CONTAINERS))
def test_what_people_keep_in_such_files_comes_back(tmp_path: Path, protocol: int, container: str) -> None:
    network, _ = network_and_optimiser()
    shared = torch.arange(24.0)
    stored = {
        "parameters": list(network.parameters()),
        "views": (shared[4:], shared.view(4, 6).t(), shared.view(2, 3, 4)[:, 1:, ::2], shared[:0]),
        "types": [
            torch.ones(3).to(t) for t in (torch.float16, torch.bfloat16, torch.int8, torch.bool, torch.complex64)
        ],
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "numbers": (1, -(1 << 40), 1 << 100, 2.5, float("inf"), True, None, "text \u00e9", b"bytes\xff"),
        "size": torch.Size([2, 3]),
        "containers": [{1, 2}, frozenset({3}), {"deep": ({"er": []},)}, OrderedDict(a=1, b=2)],
    }
    scalars = [np.float64(1.5), np.float32(0.25), np.int64(-7), np.bool_(True)]
    path = tmp_path / "things.pt"
    torch.save(
        {**stored, "numpy": scalars},
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=CONTAINERS[container],
    )
    loaded = load_pickled(path)
    assert isinstance(loaded, dict)
    assert loaded.pop("numpy") == [1.5, 0.25, -7, True]
    stored["size"] = (2, 3)
    stored["parameters"] = [parameter.detach() for parameter in network.parameters()]
    assert same(loaded, stored)
    loaded["views"][0][0] = -1.0
    assert loaded["views"][1][4, 0] == -1.0, "views of one storage share it"


def malicious(witness: Path) -> dict[str, object]:
    code = f"import os; os.mkdir({str(witness)!r})"
    return {
        "os.system": Call(os.system, f"mkdir {witness}"),
        "os.mkdir": Call(os.mkdir, str(witness)),
        "builtins.eval": Call(eval, f"__import__('os').mkdir({str(witness)!r})"),
        "builtins.exec": Call(exec, code),
        "builtins.getattr": Call(getattr, "text", "upper"),
        "functools.partial": Call(functools.partial, os.mkdir, str(witness)),
        "torch.load": Call(torch.load, str(witness)),
        "torch.jit": Call(torch.jit.load, str(witness)),
        "torch.hub": Call(torch.hub.load, str(witness), "x"),
        "numpy.load": Call(np.load, str(witness), None, True),
        "numpy.ndarray.tofile": Call(np.ndarray.tofile, np.zeros(3), str(witness)),
        "pickle.loads": Call(pickle.loads, pickle.dumps(Call(os.mkdir, str(witness)))),
        "builtins.open": Call(builtins.open, str(witness), "w"),
        "a module": torch.nn.Linear(2, 2),
    }


@pytest.mark.parametrize("kind", list(malicious(Path("x"))))
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("container", list(CONTAINERS))
def test_nothing_in_a_file_is_run(tmp_path: Path, kind: str, protocol: int, container: str) -> None:
    witness = tmp_path / "witness"
    path = tmp_path / "model.pth.tar"
    stored = {"state_dict": malicious(witness)[kind]}
    torch.save(stored, path, pickle_protocol=protocol, _use_new_zipfile_serialization=CONTAINERS[container])
    with pytest.raises(GatewrightError, match="which is neither a tensor nor a plain container; nothing of it was run"):
        load_checkpoint(path)
    assert not witness.exists()


def archive(path: Path, pickled: bytes, storages: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as out:
        for name, data in {"data.pkl": pickled, **{f"data/{key}": d for key, d in storages.items()}}.items():
            out.writestr(f"archive/{name}", data)
    return path


def opcodes(*parts: bytes) -> bytes:
    """A pickle of protocol 2 by hand."""
    return b"\x80\x02" + b"".join(parts) + b"."


def tensor(offset: int, size: tuple[int, ...], stride: tuple[int, ...], count: int = 6, kind: str = "Float") -> bytes:
    """A tensor as torch.save pickles it."""
    numbers = [b"(" + b"".join(_number(n) for n in values) + b"t" for values in (size, stride)]
    reference = b"(X\x07\x00\x00\x00storage" + f"ctorch\n{kind}Storage\n".encode()
    reference += b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + _number(count) + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + _number(offset) + b"".join(numbers) + b"\x89}tR"


def _number(value: int) -> bytes:
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


SIX = np.arange(6, dtype="<f4").tobytes()


def test_a_tensor_by_hand(tmp_path: Path) -> None:
    loaded = load_pickled(archive(tmp_path / "x.pt", opcodes(tensor(1, (2, 2), (1, 2))), {"0": SIX}))
    assert isinstance(loaded, torch.Tensor) and loaded.tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    ("offset", "size", "stride", "count", "message"),
    [
        (0, (7,), (1,), 6, "leaves its storage of 6 numbers"),
        (6, (1,), (1,), 6, "leaves its storage"),
        (1 << 61, (1,), (1,), 6, "leaves its storage"),
        (0, (2, 3), (1 << 61, 1), 6, "leaves its storage"),
        (-1, (2,), (1,), 6, "not as many numbers"),
        (0, (-1,), (1,), 6, "not as many numbers"),
        (0, (3,), (-1,), 6, "not as many numbers"),
        (0, (1 << 70,), (1,), 6, "not as many numbers"),
        (0, (2, 3), (1,), 6, "not as many numbers"),
        (0, (1 << 40,), (0,), 6, "overlap"),
        (0, (3, 3), (1, 1), 6, "overlap"),
        (0, (6,), (1,), 7, "storage 0 has 24 bytes, not 7 of torch.float32"),
        (0, (6,), (1,), 1 << 60, "storage 0 has 24 bytes"),
        (0, (6,), (1,), -6, "a storage without a name or a size"),
    ],
)
def test_views_stay_inside_their_storage_and_are_no_larger(
    tmp_path: Path, offset: int, size: tuple[int, ...], stride: tuple[int, ...], count: int, message: str
) -> None:
    path = archive(tmp_path / "x.pt", opcodes(tensor(offset, size, stride, count)), {"0": SIX})
    with pytest.raises(GatewrightError, match=message):
        load_pickled(path)


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (opcodes(b"cos\nsystem\n"), "holds os.system"),
        (opcodes(b"c__builtin__\neval\n"), "holds __builtin__.eval"),
        (opcodes(b"(cos\nsystem\no"), "holds the pickle operation OBJ|os.system"),
        (opcodes(b"(ios\nsystem\n"), "holds the pickle operation INST"),
        (opcodes(b"\x82\x01"), "holds the pickle operation EXT1"),
        (opcodes(b"ccollections\nOrderedDict\n)\x81"), "holds the pickle operation NEWOBJ"),
        (opcodes(b"ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb"), "_rebuild_tensor_v2 is changed"),
        (opcodes(b"ctorch\nFloatStorage\n)R"), "FloatStorage is called"),
        (opcodes(b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00))tR"), "a tensor needs a storage"),
        (opcodes(b"Nr\xff\xff\xff\xff"), "object number 4294967295 after"),
        (opcodes(b"\x8e" + struct.pack("<Q", 1 << 40)), "damaged"),
        (opcodes(b"cnumpy\ndtype\n(X\x01\x00\x00\x00OtR"), "is no number"),
        (opcodes(b"Q"), "damaged"),
        (opcodes(b"K\x05Q"), "damaged"),
        (opcodes(b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR"), "another encoding"),
        (opcodes(tensor(0, (6,), (1,), kind="Nothing")), "holds torch.NothingStorage"),
        (b"\x80\x06N.", "protocol 6"),
        (b"N.", "pickle protocol None is not one of 2 to 5"),
        (b"", "damaged"),
        (b"\x80\x02(((", "damaged"),
    ],
)
def test_pickles_that_torch_does_not_write_are_refused(tmp_path: Path, pickled: bytes, message: str) -> None:
    with pytest.raises(GatewrightError, match=message):
        load_pickled(archive(tmp_path / "x.pt", pickled, {"0": SIX}))


def test_state_cannot_hide_a_dicts_methods(tmp_path: Path) -> None:
    """The attributes that an OrderedDict brings along are left out."""
    state = b"}(X\x05\x00\x00\x00itemsK\x01X\x04\x00\x00\x00keysK\x01ub"
    loaded = load_pickled(archive(tmp_path / "x.pt", opcodes(b"ccollections\nOrderedDict\n)R" + state), {}))
    assert isinstance(loaded, dict) and list(loaded.items()) == []


def test_archives_that_torch_does_not_write_are_refused(tmp_path: Path) -> None:
    good = opcodes(tensor(0, (6,), (1,)))
    bomb = archive(tmp_path / "a.pt", good, {"0": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(GatewrightError, match="is compressed, or larger than the file"):
        load_pickled(bomb)
    with pytest.raises(GatewrightError, match="damaged"):
        load_pickled(archive(tmp_path / "b.pt", good, {}))
    with pytest.raises(GatewrightError, match="storage 0 is used in two ways"):
        both = opcodes(b"(" + tensor(0, (6,), (1,)) + tensor(0, (3,), (1,), 6, "Int") + b"t")
        load_pickled(archive(tmp_path / "c.pt", both, {"0": SIX}))
    big = io.BytesIO()
    torch.save(torch.ones(4), big)
    with zipfile.ZipFile(io.BytesIO(big.getvalue())) as read, zipfile.ZipFile(tmp_path / "d.pt", "w") as out:
        for name in read.namelist():
            out.writestr(name, b"big" if name.endswith("byteorder") else read.read(name))
    with pytest.raises(GatewrightError, match="not little-endian"):
        load_pickled(tmp_path / "d.pt")


@pytest.mark.parametrize("container", list(CONTAINERS))
@pytest.mark.parametrize("protocol", [2, 4])
def test_damage_anywhere_is_an_error_or_changes_no_more_than_numbers(
    tmp_path: Path, container: str, protocol: int
) -> None:
    seed = 11
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    path = tmp_path / "x.pt"
    stored = {"state_dict": OrderedDict(a=torch.arange(6.0), b=torch.ones(2, 3))}
    torch.save(stored, path, pickle_protocol=protocol, _use_new_zipfile_serialization=CONTAINERS[container])
    good = path.read_bytes()
    refused = 0
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            bad[int(rng.integers(len(bad)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bad[: int(rng.integers(len(bad))) if rng.integers(5) == 0 else len(bad)])
        try:
            load_pickled(path)
        except GatewrightError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 30
