"""One file per image: ``.npy`` and ``.npz``, as several tools write them.

COCO_val2014_000000262148.npy, by the authors' extract_features.py: an array of no dimension around a pickled dict
    {"bbox": float32 (100, 4) x1 y1 x2 y2, "num_boxes": 100, "objects": int64 (100,), "image_width": 640,
        "image_height": 480, "cls_prob": float32 (100, 1601), "image_id": "COCO_val2014_000000262148",
        "features": float32 (100, 2048)}
COCO_val2014_000000262148.npy and COCO_val2014_000000262148_info.npy, by MMF and Pythia
    float32 (100, 2048), and a pickled dict {"bbox": ..., "num_boxes": 100, "image_width": 640, "image_height": 480}
COCO_val2014_000000262148.jpg.npz or 262148.npz, by bottom-up-attention.pytorch and OpenVQA
    x: float32 (36, 2048), OpenVQA's (2048, 36); bbox: float32 (36, 4); num_bbox: 36; image_w: 640; image_h: 480
1000092795.npy, by many
    float32 (34, 2048) alone

Traps: ``image_id`` may contradict the file's name, and then nobody knows which image it is. A dict in a .npy is a
pickle, read here without running anything. Features without boxes say nothing of where a region is: they are refused
unless ``--whole-image-boxes`` gives every region the box of the whole image, of which the size is not known either, and
stands as 1 x 1.
"""

import io
import math
import zipfile
import zlib
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vlmt_cli.base.arrays import array_of, plain_dtype, shape_of
from vlmt_cli.base.opening import open_file
from vlmt_cli.base.pickles import loads
from vlmt_cli.base.words import printable
from vlmt_cli.features.formats.authors_lmdb import check_image, regions_of
from vlmt_cli.features.formats.entry import Entry, PackOptions, assemble, numbers, pick
from vlmt_cli.features.record import Regions

SUFFIXES = (".npy", ".npz")
_INFO = "_info"
_LARGEST = 1 << 28  # bytes


def entries(path: Path, options: PackOptions) -> Generator[Entry]:
    """Read one file, or all files below a folder in the order of their paths."""
    files = array_files(path)
    for n, file in enumerate(files, 1):
        yield Entry(file.stem, partial(_read, file, options.whole_image_boxes), n / len(files))


def array_files(path: Path) -> list[Path]:
    """List the array files below a folder, without those that only say more about another."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)
    return [file for file in files if not file.stem.endswith(_INFO)]


def _read(path: Path, whole_image_boxes: bool) -> Regions:
    try:
        content = _npz(path) if path.suffix == ".npz" else _npy_file(path)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"cannot be read ({printable(error)})") from error
    if isinstance(content, dict):
        return _fields(path, content)
    features = numbers(content, "features")
    beside = path.with_name(f"{path.stem}{_INFO}.npy")
    if beside.exists():
        info = _npy_file(beside)
        return _fields(path, {**info, "features": features} if isinstance(info, dict) else {"features": features})
    if not whole_image_boxes:
        raise ValueError(
            f"features of shape {features.shape} without boxes; --whole-image-boxes takes the whole image for each"
        )
    return assemble(np.tile(np.array([0, 0, 1, 1], np.float32), (len(features), 1)), features, 1, 1)


def _fields(path: Path, record: dict[str, Any]) -> Regions:
    check_image(path.stem, record, "the file")
    features = pick(record, "features", "feat", "x")
    boxes = pick(record, "bbox", "boxes")
    if isinstance(features, np.ndarray) and isinstance(boxes, np.ndarray) and features.ndim == boxes.ndim == 2:
        n = len(boxes)
        if features.shape[0] != n == features.shape[1]:
            features = features.T
    count = pick(record, "num_boxes", "num_bbox")
    return regions_of({**record, "features": features, "boxes": boxes, "num_boxes": count})


def _npz(path: Path) -> dict[str, Any]:
    with open_file(path) as file, zipfile.ZipFile(file) as archive:
        record: dict[str, Any] = {}
        members = archive.infolist()
        if sum(member.file_size for member in members) > _LARGEST:
            raise ValueError(f"more than {_LARGEST:,} bytes, which an image's regions never take")
        for member in members:
            with archive.open(member) as content:
                value = _npy(content.read(member.file_size), f"{path}: {member.filename}")
            record[member.filename.removesuffix(".npy")] = value
        info = record.pop("info", None)
        return {**(info if isinstance(info, dict) else {}), **record}


def _npy_file(path: Path) -> Any:
    with open_file(path) as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"more than {_LARGEST:,} bytes, which an image's regions never take")
    return _npy(data, path)


def _npy(data: bytes, where: object) -> Any:
    """Read one .npy: an array, or the object in an array of no dimension. Raises a ValueError or DataError."""
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = header(file)
    except Exception as error:  # the header is a Python literal, and its reader raises what that runs into
        raise ValueError(f"not an intact .npy ({printable(error)})") from error
    content = data[file.tell() :]
    if dtype.hasobject:
        value: NDArray[Any] = loads(content, where)
    else:
        length = math.prod(shape_of(shape)) * dtype.itemsize
        value = array_of(content[:length], plain_dtype(dtype.str), shape, is_fortran)
    is_scalar = isinstance(value, np.ndarray) and value.ndim == 0
    return value.item() if is_scalar else value
