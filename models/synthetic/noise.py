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


def noise_images(count: int, size: int, seed: int, source: DataSet, correlation: float | None = None) -> ImageSet:
    """``count`` unlabelled images of ``size`` pixels, with a data set's normalisation.

    Amplitudes fall with the frequency, as in photographs: independent pixels would average out over a tile, and no
    gate could tell two images apart. Mean and contrast differ by image.

    With a ``correlation`` it is a Gaussian field instead: at so many pixels' distance its correlation is 1/e. What
    is well below the edge of a tile, in pixels of the image, leaves tiles independent; more makes clusters of them.
    """
    generator = np.random.default_rng(seed)
    frequencies = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequencies[0, 0] = np.inf  # no constant: the mean is drawn
    amplitudes = 1 / frequencies if correlation is None else np.exp(-((np.pi * correlation * frequencies) ** 2) / 2)
    images = np.empty((count, size, size, 3), np.uint8)
    for image in images:
        grey = _field(generator, amplitudes, size)
        mean, contrast = generator.uniform(*_MEAN), generator.uniform(*_CONTRAST)
        for colour in range(3):
            field = grey + _COLOUR * _field(generator, amplitudes, size)
            image[:, :, colour] = np.clip(255 * (mean + contrast * field / field.std()), 0, 255).round()
    name = "noise" if correlation is None else f"noise of correlation length {correlation:g}"
    source = replace(source, name=name, test_name=name)
    return ImageSet(images, np.full(count, UNLABELLED, np.int64), np.arange(count, dtype=np.int64), source)


def _field(generator: np.random.Generator, amplitudes: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """Noise of mean 0 and deviation 1, [size, size]."""
    white = np.fft.rfft2(generator.normal(size=(size, size)))
    field = np.fft.irfft2(white * amplitudes, (size, size))
    return field / field.std()
