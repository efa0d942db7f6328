"""A MobileNetV2 that others trained, from its TensorFlow.js file to int8 and cycles: do the answers stay?

The network of ``nsfwjs`` sorts pictures of 224x224 pixels into five kinds: drawings, neutral pictures, and three that
are not safe for work. It has two hidden layers behind its average, and its weights came in 8 bits. Neither these nor
photographs are ours to ship:

    npm pack nsfwjs@4.4.0                                 # the weights, 25 MB with others
    python examples/real_weights/picture_kinds.py nsfwjs-4.4.0.tgz PHOTOGRAPHS --out build/kinds

``PHOTOGRAPHS`` is a folder of pictures. A third of them calibrates, the others compare.
"""

from __future__ import annotations

import argparse
import base64
import re
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from keras_mobilenet import compare, converted, photographs_in

from gatewright.contract.errors import GatewrightError

EDGE = 224
FOLDER = "package/dist/models/mobilenet_v2"
MANIFEST, WEIGHTS = f"{FOLDER}/model.min.js", f"{FOLDER}/group1-shard1of1.min.js"
HEAD = ["dense_1", "dense_2", "dense_3"]
KINDS = ["drawings", "unsafe drawings", "neutral", "unsafe", "suggestive"]

NUMBER = r"(-?[\d.]+(?:e-?\d+)?)"
ENTRY = re.compile(
    r'\{name:"([^"]+)",shape:\[([\d,]+)\],dtype:"float32",'
    rf'quantization:\{{min:{NUMBER},scale:{NUMBER},dtype:"uint8"\}}\}}'
)
"""A tensor of the manifest: byte b stands for min + scale b."""
BASE64 = re.compile(r'"([A-Za-z0-9+/]{4096,}={0,2})"')


def read_package(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The tensors of the package's network by their names. Both files are scripts, which are searched and not run."""
    with tarfile.open(path) as package:
        manifest, weights = (_text(package, name) for name in (MANIFEST, WEIGHTS))
    found = BASE64.findall(weights)
    if len(found) != 1:
        raise GatewrightError(f"{path}: {WEIGHTS} has no weights that are known; take nsfwjs 4.4.0")
    content = np.frombuffer(base64.b64decode(found[0]), np.uint8)
    tensors, place = {}, 0
    for name, edges, least, step in ENTRY.findall(manifest):
        shape = [int(edge) for edge in edges.split(",")]
        values = content[place : place + int(np.prod(shape))].reshape(shape)
        tensors[name] = (values * float(step) + float(least)).astype(np.float32)
        place += values.size
    if place != len(content):
        raise GatewrightError(f"{path}: {MANIFEST} names {place} of {len(content)} weights; take nsfwjs 4.4.0")
    return tensors


def _text(package: tarfile.TarFile, name: str) -> str:
    try:
        member = package.extractfile(name)
    except KeyError:
        member = None
    if member is None:
        raise GatewrightError(f"{package.name!s} has no {name}; take nsfwjs 4.4.0")
    return member.read().decode()


def main() -> None:
    """Convert, calibrate, compare; then one photograph on the machine."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("package", type=Path, help="nsfwjs-4.4.0.tgz")
    parser.add_argument("photographs", type=Path, help="a folder of pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder for the exported program and the arrays")
    options = parser.parse_args()
    network = converted(read_package(options.package), EDGE, HEAD)
    found = compare(network, photographs_in(options.photographs), options.out, 0, 1, "picture_kinds")
    for number, kind in enumerate(KINDS):
        of_kind = found.in_float == number
        print(f"{kind}: {of_kind.sum()} in float, int8 agrees on {(found.agree & of_kind).sum()}")


if __name__ == "__main__":
    main()
