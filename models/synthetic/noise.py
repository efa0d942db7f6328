"""Images of noise for calibration, where no photographs are at hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gatewright.models.datasets.images import UNLABELLED, DataSet, ImageSet

_MEAN = (0.3, 0.7)
_CONTRAST = (0.12, 0.25)
_COLOUR = 0.3
"""Share of a colour's own noise beside that which the colours have in common."""


def noise_images(count: int, size: int, seed: int, source: DataSet) -> ImageSet:
    """``count`` unlabelled images of ``size`` pixels, with a data set's normalisation.

    Amplitudes fall with the frequency, as in photographs: independent pixels would average out over a tile, and no
    gate could tell two images apart. Mean and contrast differ by image.
    """
    generator = np.random.default_rng(seed)
    frequencies = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequencies[0, 0] = np.inf  # no constant: the mean is drawn
    images = np.empty((count, size, size, 3), np.uint8)
    for image in images:
        grey = _field(generator, frequencies, size)
        mean, contrast = generator.uniform(*_MEAN), generator.uniform(*_CONTRAST)
        for colour in range(3):
            field = grey + _COLOUR * _field(generator, frequencies, size)
            image[:, :, colour] = np.clip(255 * (mean + contrast * field / field.std()), 0, 255).round()
    source = replace(source, name="noise", test_name="noise")
    return ImageSet(images, np.full(count, UNLABELLED, np.int64), np.arange(count, dtype=np.int64), source)


def _field(generator: np.random.Generator, frequencies: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """Noise of mean 0 and deviation 1, [size, size]."""
    white = np.fft.rfft2(generator.normal(size=(size, size)))
    field = np.fft.irfft2(white / frequencies, (size, size))
    return field / field.std()
