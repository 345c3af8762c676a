"""HDF5: all images in a few large arrays.

train36.hdf5 and train36_imgid2idx.pkl, by bottom-up-attention-vqa and many after it
    image_features float32 (I, 36, 2048); image_bb float32 (I, 36, 4) in pixels;
    spatial_features float32 (I, 36, 6): x1 / W, y1 / H, x2 / W, y2 / H, w / W, h / H; the pickle: {262148: 0, ...}
train.hdf5, of 10 to 100 regions an image
    the same with one row a region, and pos_boxes int32 (I, 2): where each image's rows begin and end
gqa_objects_0.h5 to gqa_objects_15.h5 and gqa_objects_info.json, GQA's own
    features float32 (I, 100, 2048); bboxes float32 (I, 100, 4);
    {"2386621": {"width": 500, "height": 333, "objectsNum": 48, "idx": 17, "file": 0}, ...}
anybody's
    features, boxes, widths, heights, image_ids, and num_boxes where images differ, as datasets

From https://github.com/hengyuan-hu/bottom-up-attention-vqa and https://cs.stanford.edu/people/dorarad/gqa/download.html.

Traps: the first form does not give images' sizes, but pixels divided by shares of the width do. Rows beyond an image's
regions are zeros, and so may be rows that no id names. Which image a row is stands in a pickle or JSON beside the file;
``--ids`` names another.
"""

import json
import re
from collections import defaultdict
from collections.abc import Container, Generator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import check_file, read_file
from vlmt_cli.base.pickles import read_pickle
from vlmt_cli.base.words import printable
from vlmt_cli.features.formats.authors_lmdb import check_image, identity
from vlmt_cli.features.formats.entry import Entry, PackOptions, assemble, damaged, numbers, whole
from vlmt_cli.features.record import Regions

MAGIC = b"\x89HDF\r\n\x1a\n"
_NAMES = {
    "features": ("image_features", "features"),
    "boxes": ("image_bb", "bboxes", "boxes", "bbox"),
    "shares": ("spatial_features",),
    "ranges": ("pos_boxes",),
    "widths": ("widths", "image_w", "width"),
    "heights": ("heights", "image_h", "height"),
    "counts": ("num_boxes",),
    "ids": ("image_ids", "image_id", "ids"),
}
_LARGEST = 1 << 28  # bytes
_BESIDE = ("{}_imgid2idx.pkl", "{}_ids.json", "{}_image_ids.json", "{}.pkl", "{}.json")


def entries(path: Path, options: PackOptions) -> Generator[Entry]:
    """Read the file image by image. Raises a DataError when a dataset is missing, or what says which image a row is."""
    check_file(path)
    try:
        with h5py.File(path, "r") as file:
            data = {role: _dataset(file, names) for role, names in _NAMES.items()}
            for role in ("features", "boxes"):
                if data[role] is None:
                    datasets = ", ".join(file) or "nothing"
                    raise DataError(f"has no dataset {' or '.join(_NAMES[role])}, but {datasets}", where=path)
            rows = _rows(path, data["ids"], options.ids)
            ids = defaultdict(set)
            for name, row, _ in rows:
                ids[row].add(identity(name) or name)
            own = {} if options.ids is None or data["ids"] is None else dict(enumerate(data["ids"][()].tolist()))
            for n, (name, row, facts) in enumerate(rows, 1):
                share = n / len(rows)
                if len(ids[row]) > 1:
                    yield damaged(name, f"row {row} has {len(ids[row])} ids", share)
                    continue
                try:
                    check_image(name, {"image_id": own.get(row)}, options.ids.name if options.ids else "")
                except ValueError as error:
                    yield damaged(name, str(error), share)
                else:
                    yield Entry(name, partial(_read, data, row, facts), share)
            for row in _unnamed(data, ids):
                yield damaged(f"row {row}", "nothing says which image the row is", 1)
    except DataError:
        raise
    except Exception as error:  # of damaged files h5py raises whatever their bytes run into
        raise DataError(
            f"cannot be read as HDF5 ({printable(error, 200)})", where=path, todo="download it again"
        ) from error


def _unnamed(data: Mapping[str, h5py.Dataset | None], named: Container[int]) -> Iterator[int]:
    """Yield the rows that hold regions, and that no id names; rows of zeros are padding."""
    boxes, ranges = data["boxes"], data["ranges"]
    images = data["features"] if ranges is None else ranges
    assert images is not None and boxes is not None
    for row in range(len(images)):
        if row not in named:
            try:
                is_filled = bool(np.any(boxes[_rows_of(ranges, row)]))
            except (OSError, ValueError, TypeError, IndexError):
                is_filled = True  # whatever it holds, no id names it
            if is_filled:
                yield row


def _dataset(file: h5py.File, names: tuple[str, ...]) -> h5py.Dataset | None:
    return next((file[name] for name in names if isinstance(file.get(name), h5py.Dataset)), None)


def _rows(path: Path, ids: h5py.Dataset | None, named: Path | None) -> list[tuple[str, int, Mapping[str, Any]]]:
    """List (image's name, row, what else is known of it), in the order of rows."""
    if ids is not None and named is None:
        if len(ids.shape) != 1 or ids.nbytes > _LARGEST:
            raise DataError(f"the image ids have shape {printable(ids.shape)}", where=path)
        names = ids[()].tolist()
        return [(_text(name), row, {}) for row, name in enumerate(names)]
    beside = named or _beside(path)
    if beside.suffix == ".json":
        try:
            listed = json.loads(read_file(beside))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"cannot be read as JSON ({printable(error)})", where=beside) from error
    else:
        listed = read_pickle(beside)
    if isinstance(listed, np.ndarray):
        listed = listed.tolist()
    if isinstance(listed, (list, tuple)):
        return [(_text(name), row, {}) for row, name in enumerate(listed)]
    if not isinstance(listed, dict):
        raise DataError(f"holds a {type(listed).__name__}, not images and their rows", where=beside)
    number = re.search(r"(\d+)\.\w+$", path.name)
    rows = []
    for name, value in listed.items():
        facts = value if isinstance(value, dict) else {"idx": value}
        if number is None or facts.get("file") in (None, int(number[1])):
            try:
                rows.append((_text(name), whole(facts.get("idx"), "the row"), facts))
            except ValueError as error:
                raise DataError(str(error), where=f"{beside}: {name}") from error
    return sorted(rows, key=lambda row: row[1])


def _beside(path: Path) -> Path:
    stem = path.with_suffix("").name
    candidates = [path.with_name(pattern.format(stem)) for pattern in _BESIDE]
    candidates.append(path.with_name(re.sub(r"_\d+$", "", stem) + "_info.json"))
    if existing := next((file for file in candidates if file.exists()), None):
        return existing
    raise DataError(
        "nothing says which image each row is",
        where=path,
        todo=f"put {candidates[0].name} beside it, or name such a file with --ids",
    )


def _text(name: Any) -> str:
    if isinstance(name, bytes):
        return name.decode(errors="backslashreplace")
    if not isinstance(name, (str, int)):
        raise DataError(f"the name of an image is {type(name).__name__}, not text or a number")
    return str(name)


def _read(data: Mapping[str, h5py.Dataset | None], row: int, facts: Mapping[str, Any]) -> Regions:
    try:
        rows = _rows_of(data["ranges"], row)
        features, boxes = (numbers(_at(data[role], rows), role) for role in ("features", "boxes"))
        shares = None if data["shares"] is None else numbers(_at(data["shares"], rows), "spatial_features")
        count = facts.get("objectsNum", _at(data["counts"], row))
        sizes = [facts.get("width", _at(data["widths"], row)), facts.get("height", _at(data["heights"], row))]
    except (OSError, IndexError, TypeError) as error:
        raise ValueError(f"row {row} cannot be read ({error})") from error
    n = _used(boxes, features) if count is None else whole(count, "num_boxes")
    if n > len(boxes):
        raise ValueError(f"there are {len(boxes)} boxes, not {n}")
    if None in sizes and shares is not None and boxes.shape[-1] == 4:
        sizes = [_size(boxes[:n, side], shares[:n, side]) for side in (2, 3)]
    if None in sizes:
        raise ValueError("the image's size is missing: neither widths and heights nor spatial_features")
    return assemble(boxes[:n], features[:n], whole(sizes[0], "width"), whole(sizes[1], "height"))


def _rows_of(ranges: h5py.Dataset | None, row: int) -> int | slice:
    """Return where an image's regions are. Raises a ValueError where their range is impossible."""
    if ranges is None:
        return row
    first, last = (int(end) for end in ranges[row])
    if not 0 <= first <= last:
        raise ValueError(f"pos_boxes are {first} to {last}")
    return slice(first, last)


def _at(dataset: h5py.Dataset | None, rows: int | slice) -> Any:
    if dataset is None:
        return None
    if isinstance(rows, int) and not 0 <= rows < len(dataset):
        raise ValueError(f"there is no row {rows} of {len(dataset)}")
    count = 1 if isinstance(rows, int) else rows.stop - rows.start
    if count * dataset.nbytes > _LARGEST * max(1, len(dataset)):
        raise ValueError(f"more than {_LARGEST:,} bytes, which an image's regions never take")
    return dataset[rows]


def _used(boxes: NDArray[np.floating], features: NDArray[np.floating]) -> int:
    """Return how many rows come before the zeros that fill an image's place."""
    if boxes.ndim != 2 or features.ndim != 2:
        return len(boxes)
    used = np.flatnonzero(boxes.any(1) | features.any(1)) if len(boxes) == len(features) else np.arange(len(boxes))
    return int(used[-1]) + 1 if len(used) else 0


def _size(pixels: NDArray[np.floating], shares: NDArray[np.floating]) -> int | None:
    """Return the image's width, or height, from the box that ends last."""
    last = int(np.argmax(shares)) if len(shares) else 0
    return round(float(pixels[last] / shares[last])) if len(shares) and shares[last] > 0 else None
