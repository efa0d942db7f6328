"""Picture files, which may be damaged, or small files of enormous pictures."""

from __future__ import annotations

import struct
import warnings
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

PICTURE_FAULTS = (
    LookupError,
    TypeError,
    ValueError,
    SyntaxError,
    MemoryError,
    OSError,
    struct.error,
    UnidentifiedImageError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What opening and unpacking a damaged picture may raise."""


def open_picture(file: BinaryIO, formats: tuple[str, ...]) -> Image.Image:
    """A picture of one of Pillow's ``formats``, not yet unpacked: its size is looked at first.

    More than ``Image.MAX_IMAGE_PIXELS`` pixels, and everything else that is wrong, is one of ``PICTURE_FAULTS``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(file, formats=formats)
