"""Feature files as other people's tools write them, made without any code of the package."""

import base64
import pickle
from dataclasses import dataclass

import lmdb
import msgpack
import numpy as np


@dataclass
class Image:
    id: int
    width: int
    height: int
    boxes: np.ndarray
    features: np.ndarray
    scores: np.ndarray


def images(count=5, width=32, classes=7, most=6, first=11):
    """Make images of one to ``most`` regions, boxes within them and touching their borders."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        w, h, n = (int(value) for value in (rng.integers(300, 640), rng.integers(200, 290), rng.integers(1, most + 1)))
        corners = np.sort(rng.random((n, 2, 2)), axis=1) * (w, h)
        corners[0] = [[0, 0], [w, h]]
        scores = rng.random((n, classes))
        made.append(
            Image(
                first + number,
                w,
                h,
                corners.reshape(n, 4).astype("f4"),
                np.abs(rng.normal(size=(n, width))).astype("f4") * 5,
                (scores / scores.sum(1, keepdims=True)).astype("f4"),
            )
        )
    return made


def in_base64(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes())


def short_line(image, **changed):
    """A line of bottom-up attention's TSV."""
    fields = {
        "image_id": str(image.id).encode(),
        "image_w": str(image.width).encode(),
        "image_h": str(image.height).encode(),
        "num_boxes": str(len(image.boxes)).encode(),
        "boxes": in_base64(image.boxes),
        "features": in_base64(image.features),
    } | changed
    return b"\t".join(fields.values()) + b"\n"


def write_lmdb(path, records):
    environment = lmdb.open(str(path), map_size=1 << 30)
    with environment.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key, value)
    environment.close()
    return path


def authors_record(image, **changed):
    """A record of the authors' convert_to_lmdb.py."""
    return pickle.dumps(
        {
            "image_id": image.id,
            "image_h": image.height,
            "image_w": image.width,
            "num_boxes": len(image.boxes),
            "boxes": image.boxes,
            "features": image.features,
        }
        | changed
    )


def older_record(image):
    """A record of vilbert_beta: a TSV line's strings."""
    return pickle.dumps(
        {
            "image_id": str(image.id),
            "image_h": str(image.height),
            "image_w": str(image.width),
            "num_boxes": str(len(image.boxes)),
            "boxes": in_base64(image.boxes),
            "features": in_base64(image.features),
            "cls_prob": in_base64(image.scores),
        }
    )


def msgpack_array(array):
    """An array in the wire form of msgpack_numpy."""
    return {b"nd": True, b"type": array.dtype.str, b"kind": b"", b"shape": array.shape, b"data": array.tobytes()}


def tensorpack_record(image, caption):
    count = {b"nd": False, b"type": "<i8", b"data": np.int64(len(image.boxes)).tobytes()}
    arrays = [msgpack_array(array) for array in (image.features, image.scores, image.boxes)]
    return msgpack.packb([*arrays, count, image.height, image.width, str(image.id), caption], use_bin_type=True)


def assert_same(regions, image, most=None, scores=False):
    """Every box exactly, every feature to float16 rounding."""
    assert (regions.width, regions.height) == (image.width, image.height)
    np.testing.assert_array_equal(regions.boxes, image.boxes[:most])
    np.testing.assert_array_equal(regions.features, image.features[:most].astype("f2"))
    if scores:
        np.testing.assert_array_equal(regions.scores, image.scores[:most].astype("f2"))
    else:
        assert regions.scores is None
