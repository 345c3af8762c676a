"""The authors' LMDB for pre-training on Conceptual Captions, which tensorpack wrote.

training_feat_all.lmdb, training_feat_part_<rank>.lmdb, validation_feat_all.lmdb
    b"00000000" -> msgpack of [features float32 (36, 2048), cls_prob float32 (36, 1601), boxes float32 (36, 4) in
        pixels, num_boxes 36, image_h 480, image_w 640, image_id "0", caption "a very typical bus station"]
    b"__keys__" -> msgpack of [b"00000000", ...]
    arrays as msgpack_numpy has them: {b"nd": True, b"type": "<f4", b"kind": b"", b"shape": [36, 2048], b"data": ...}

Made by each user of the authors' train_concap.py; the script that makes them was never published.

Traps: keys count records and name no image, which is field 7. Where pyarrow was installed, tensorpack wrote
pyarrow.serialize's form instead, which pyarrow has since dropped. Captions go to <store>.captions.parquet.
"""

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from vlmt_cli.base.arrays import array_of, plain_dtype, scalar_of
from vlmt_cli.base.errors import DataError
from vlmt_cli.features.formats.authors_lmdb import in_lmdb, listed_in_vain
from vlmt_cli.features.formats.entry import Entry, PackOptions, assemble, damaged, numbers, whole
from vlmt_cli.features.lmdb_file import opened
from vlmt_cli.features.record import Regions

KEYS = b"__keys__"
_FIELDS = 8


def entries(path: Path, options: PackOptions) -> Generator[Entry]:
    """Read the LMDB record by record; those that ``__keys__`` lists in vain come last."""
    with opened(path) as file:
        yield from in_lmdb(file, KEYS, _entry)
        listed = _decode(file.get(KEYS))
        if not isinstance(listed, list):
            raise DataError(
                "its __keys__ are not msgpack", where=path, todo="write it again with tensorpack's msgpack serializer"
            )
        yield from listed_in_vain(file, listed, "record ")


def _entry(key: str, value: bytes, share: float) -> Entry:
    fields = _decode(value)
    if not isinstance(fields, list) or len(fields) != _FIELDS:
        return damaged(f"record {key}", f"the record is not msgpack with {_FIELDS} fields", share)
    try:
        image, caption = _plain(fields[6]), _plain(fields[7])
    except ValueError as error:
        return damaged(f"record {key}", f"image_id or caption: {error}", share)
    if not isinstance(image, (str, int)):
        return damaged(f"record {key}", f"image_id is {type(image).__name__}", share)
    return Entry(str(image), partial(_read, fields), share, caption if isinstance(caption, str) else None)


def _read(fields: list[Any]) -> Regions:
    features, scores, boxes, count, height, width = (_plain(field) for field in fields[:6])
    regions = assemble(
        numbers(boxes, "boxes"),
        numbers(features, "features"),
        whole(width, "image_w"),
        whole(height, "image_h"),
        None if scores is None else numbers(scores, "cls_prob"),
    )
    if whole(count, "num_boxes") > len(regions.boxes):
        raise ValueError(f"there are {len(regions.boxes)} boxes, not {whole(count, 'num_boxes')}")
    return regions


def _decode(value: bytes | None) -> Any:
    try:
        return None if value is None else msgspec.msgpack.decode(value)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    """Turn msgpack_numpy's dicts into arrays and numbers. Raises a ValueError for a damaged array."""
    if not isinstance(value, dict) or b"nd" not in value:
        return value
    kind, data, shape = (value.get(name) for name in (b"type", b"data", b"shape"))
    dtype = plain_dtype(kind.decode("latin1") if isinstance(kind, bytes) else kind)
    return array_of(data, dtype, shape) if value[b"nd"] else scalar_of(data, dtype)
