"""The integer reference against plain Python integers, and the meaning of masks."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.compiler.graph import reference
from gatewright.compiler.graph.graph import QuantisedGraph, Requantisation, TensorShape
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.kinds.channel_gate import QuantisedChannelGate
from gatewright.compiler.kinds.classifier import QuantisedClassifier
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.contract.errors import GatewrightError
from tests.compiler.naive import evaluate


def _requantisation(rng: np.random.Generator, channels: int, reduction: int) -> Requantisation:
    """Factors that spread the sums over more than int8, so that some saturate."""
    multiplier = rng.integers(1 << 15, 1 << 16, channels)
    shift = np.full(channels, 15 + int(np.ceil(np.log2(30 * np.sqrt(reduction)))))
    return Requantisation(rng.integers(-3000, 3000, channels), multiplier, shift)


def _int8(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-127, 128, shape).astype(np.int8)


def _block(rng: np.random.Generator, *, size: int = 8, gate_bias: int = 0, channel_bias: int = 0) -> QuantisedGraph:
    """A stem, a dual-gated identity block, a dual-gated downsampling block, a classifier."""
    half = size // 2

    def conv(name: str, source: str, out: int, channels: int, kernel: int, **options: object) -> QuantisedConv:
        settings: dict[str, object] = {"stride": 1, "padding": kernel // 2, "relu": True, **options}
        weight, reduction = _int8(rng, out, kernel, kernel, channels), kernel * kernel * channels
        scale = _requantisation(rng, out, reduction)
        return QuantisedConv(name, source, name, weight=weight, requantisation=scale, **settings)  # type: ignore[arg-type]

    def gates(name: str, pooling: str, out: int, tile: int) -> list[object]:
        """Both gates of a block; the spatial one sees bins of 2x2 pooled tiles."""
        kernel = _int8(rng, 1, 3, 3, 5).repeat(2, 1).repeat(2, 2)
        hidden, weight = _int8(rng, 3, 5), _int8(rng, out, 3)
        return [
            QuantisedSpatialGate(f"{name}.s", pooling, (size // 4,) * 2, kernel, 2, 2, gate_bias),
            QuantisedChannelGate(
                f"{name}.c", pooling, hidden, _requantisation(rng, 3, 80), weight, np.full(out, channel_bias)
            ),
        ]

    def masks(name: str) -> tuple[dict[str, object], dict[str, object]]:
        tiles, channels = f"{name}.s", f"{name}.c"
        return (
            {"output_channels": channels, "output_tiles": tiles},
            {"input_channels": channels, "input_tiles": tiles, "output_tiles": tiles},
        )

    (a1, a2), (b1, b2) = masks("a"), masks("b")
    # Both maps are pooled in tiles of 2; the first block is gated in tiles of 4, the second in tiles of 2.
    layers = [
        conv("stem", "input", 5, 3, 3),
        Pooling("stem.pooled", "stem", 2, 40000, 17),
        *gates("a", "stem.pooled", 5, 4),
        conv("a.conv1", "stem", 5, 5, 3, **a1),
        conv("a.conv2", "a.conv1", 5, 5, 3, residual="stem", **a2),
        Pooling("a.conv2.pooled", "a.conv2", 2, 40000, 17),
        *gates("b", "a.conv2.pooled", 7, 2),
        conv("b.conv1", "a.conv2", 7, 5, 3, stride=2, **b1),
        conv("b.short", "a.conv2", 7, 5, 1, stride=2, relu=False, completed_by="b.conv2"),
        conv("b.conv2", "b.conv1", 7, 7, 3, residual="b.short", **b2),
        QuantisedClassifier("fc", "b.conv2", "fc", _int8(rng, 4, 7), rng.integers(-99, 99, 4), 1.0),
    ]
    shapes = {"input": TensorShape(3, size, size)}
    shapes |= {name: TensorShape(5, size, size) for name in ("stem", "a.conv1", "a.conv2")}
    shapes |= {name: TensorShape(7, half, half) for name in ("b.conv1", "b.short", "b.conv2")}
    return QuantisedGraph("input", layers, shapes, {"input": 1.0})  # type: ignore[arg-type]


def test_every_tensor_equals_plain_integers() -> None:
    seen: dict[str, set[bool]] = {}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        graph, images = _block(rng), rng.integers(-128, 128, (3, 8, 8, 3)).astype(np.int8)
        result = run_reference(graph, images, keep=True)
        for index, image in enumerate(images):
            tensors, decisions, logits = evaluate(graph, image)
            for name, expected in tensors.items():
                np.testing.assert_array_equal(result.tensors[name][index], expected, err_msg=f"seed {seed}: {name}")
            for name, expected in decisions.items():
                np.testing.assert_array_equal(result.decisions[name][index], expected, err_msg=f"seed {seed}: {name}")
                seen.setdefault(name, set()).update(np.asarray(expected).ravel().tolist())
            assert result.logits[index].tolist() == logits, f"seed {seed}"
            assert result.predictions[index] == int(np.argmax(logits))
    assert all(values == {True, False} for values in seen.values()), f"every gate must decide both ways: {seen}"


def test_images_at_a_time_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    graph, images = _block(rng), rng.integers(-128, 128, (5, 8, 8, 3)).astype(np.int8)
    together = run_reference(graph, images, keep=True)
    for pixels in (2 * 8 * 8, 1):
        monkeypatch.setattr(reference, "BATCH_PIXELS", pixels)
        apart = run_reference(graph, images, keep=True)
        np.testing.assert_array_equal(apart.logits, together.logits)
        for name, values in together.tensors.items():
            np.testing.assert_array_equal(apart.tensors[name], values, err_msg=name)


def test_inactive_tiles_hold_exactly_the_residual() -> None:
    rng = np.random.default_rng(11)
    graph = _block(rng, gate_bias=-(1 << 28))
    images = rng.integers(-128, 128, (2, 8, 8, 3)).astype(np.int8)
    tensors = run_reference(graph, images, keep=True).tensors
    assert not tensors["a.conv1"].any() and tensors["stem"].any()
    np.testing.assert_array_equal(tensors["a.conv2"], tensors["stem"])
    np.testing.assert_array_equal(tensors["b.conv2"], np.maximum(tensors["b.short"], 0))
    assert (tensors["b.short"] < 0).any()


def test_without_channels_active_tiles_hold_bias_and_residual() -> None:
    rng = np.random.default_rng(12)
    graph = _block(rng, gate_bias=1 << 28, channel_bias=-(1 << 28))
    images = rng.integers(-128, 128, (2, 8, 8, 3)).astype(np.int8)
    tensors = run_reference(graph, images, keep=True).tensors
    conv = next(layer for layer in graph.layers if layer.name == "a.conv2")
    assert isinstance(conv, QuantisedConv) and not tensors["a.conv1"].any()
    scale = conv.requantisation
    bias = [
        (int(b) * int(m) + (1 << (int(s) - 1))) >> int(s)
        for b, m, s in zip(scale.bias, scale.multiplier, scale.shift, strict=True)
    ]
    assert any(bias), "the test needs a bias that shows"
    np.testing.assert_array_equal(tensors["a.conv2"], np.clip(tensors["stem"].astype(int) + bias, 0, 127))


def _single(weight: np.ndarray, requantisation: Requantisation, relu: bool = False) -> QuantisedGraph:
    channels = weight.shape[3]
    conv = QuantisedConv("conv", "input", "conv", 1, 0, relu, weight=weight, requantisation=requantisation)
    head = QuantisedClassifier("fc", "conv", "fc", np.ones((1, len(weight)), np.int8), np.zeros(1, np.int64), 1.0)
    shapes = {"input": TensorShape(channels, 1, 1), "conv": TensorShape(len(weight), 1, 1)}
    return QuantisedGraph("input", [conv, head], shapes, {"input": 1.0})


@pytest.mark.parametrize(
    ("value", "shift", "relu", "expected"),
    [
        (3, 1, False, 2),  # 1.5 rounds up
        (-3, 1, False, -1),  # -1.5 rounds up, to -1
        (-1, 1, False, 0),
        (5, 3, False, 1),
        (127, 1, True, 64),
        (-127, 1, True, 0),
    ],
)
def test_halves_round_up_and_relu_cuts(value: int, shift: int, relu: bool, expected: int) -> None:
    scale = Requantisation(np.zeros(1, np.int64), np.ones(1, np.int64), np.full(1, shift))
    graph = _single(np.ones((1, 1, 1, 1), np.int8), scale, relu)
    result = run_reference(graph, np.full((1, 1, 1, 1), value, np.int8), keep=True)
    assert result.tensors["conv"].item() == expected


@pytest.mark.parametrize("channels", [1031, 1041, 5001])
def test_wide_reductions_are_exact(channels: int) -> None:
    # Beyond 1040 channels this odd sum passes 2**24, where float32 holds even numbers only.
    total = 127 * 127 * channels
    scale = Requantisation(np.array([-total + 5, total - 6]), np.full(2, 2), np.ones(2, np.int64))
    weight = np.stack([np.full(channels, -127), np.full(channels, 127)]).astype(np.int8)[:, None, None]
    image = np.full((1, 1, 1, channels), -127, np.int8)
    result = run_reference(_single(weight, scale), image, keep=True)
    assert result.tensors["conv"].ravel().tolist() == [5, -6]


def test_the_residual_is_added_before_saturation() -> None:
    one = np.ones((1, 1, 1, 1), np.int8)
    same, doubled = (Requantisation(np.zeros(1, np.int64), np.full(1, m), np.ones(1, np.int64)) for m in (2, 4))
    graph = _single(-one, same)
    add = QuantisedConv("add", "input", "add", 1, 0, True, "conv", weight=one, requantisation=doubled)
    graph.layers.insert(1, add)
    graph.shapes["add"] = TensorShape(1, 1, 1)
    # 2 * 100 is beyond int8, 2 * 100 - 100 is not.
    assert run_reference(graph, np.full((1, 1, 1, 1), 100, np.int8), keep=True).tensors["add"].item() == 100


def test_wrong_images_are_refused() -> None:
    graph = _block(np.random.default_rng(0))
    with pytest.raises(GatewrightError, match=r"uint8 \[1, 8, 8, 3\].*int8"):
        run_reference(graph, np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(GatewrightError, match="at least one image"):
        run_reference(graph, np.zeros((0, 8, 8, 3), np.int8))
