"""Drawn networks whose gates leave out whole blocks, some of them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise, quantise_input
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.network import Network
from gatewright.models.synthetic.calibration import calibrate_network
from gatewright.models.synthetic.densities import densities
from gatewright.models.synthetic.noise import noise_images
from tests.end_to_end.networks import Case

IMAGES, DENSITY, SEED = 8, 0.6, 3


def partly_on(build: Callable[[], Network]) -> tuple[Network, Case]:
    """A drawn network, of whose blocks a share runs, and what becomes of it in integers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = build()
        images = noise_images(IMAGES, network.size, 1, CIFAR10).normalised()
        calibrate_network(network, torch.from_numpy(images), densities(network, DENSITY, 1), hold_macs=False)
    graph = capture(network, (3, network.size, network.size))
    quantised = quantise(graph, calibrate(graph, images))
    inputs = quantise_input(images, quantised)
    return network, Case(quantised, inputs, run_reference(quantised, inputs, keep=True))
