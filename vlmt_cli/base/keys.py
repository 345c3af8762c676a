"""Image keys: ``source:id``, the one name that an image has in all datasets.

Numbers of different sources collide (1,302 Visual Genome ids are also COCO ids),
so that a bare id names no image.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError

SOURCES = ("coco", "vg", "gqa", "flickr30k", "nlvr2", "cc")

# No slash, no leading dot and no "..": a key never leaves the folder that it is looked up in.
_ID = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.[A-Za-z0-9_-])*"
_KEY = re.compile(rf"[a-z][a-z0-9]*:{_ID}")


def image_keys(source: str, ids: Sequence[int] | Sequence[str] | pa.Array, where: object) -> pa.Array:
    """Name the images of one source.

    Args:
        source: one of ``SOURCES``.
        ids: the images' ids in that source, N integers or strings.
        where: the file that they come from, for the error.

    Returns:
        N strings ``source:id``.

    Raises:
        DataError: an id is negative, or has a character that no official id has.
    """
    assert source in SOURCES, source
    distinct = pa.array(ids).dictionary_encode()
    names = distinct.dictionary.cast(pa.string())
    valid = pc.match_substring_regex(names, rf"^{_ID}$")
    if not pc.all(valid, min_count=0).as_py():
        bad = names.filter(pc.invert(valid))[0].as_py()
        record = distinct.dictionary.cast(pa.string()).index(bad).as_py()
        record = distinct.indices.index(record).as_py()
        raise DataError(
            f"{bad!r} is no image id", where=f"{where}: record {record}", todo="correct or remove that record"
        )
    return pc.binary_join_element_wise(source, names, ":").take(distinct.indices)


def check_image_key(key: str, where: object) -> str:
    """Return ``key``, or raise a DataError that says why it names no image."""
    if not _KEY.fullmatch(key) or key.partition(":")[0] not in SOURCES:
        raise DataError(
            f"{key!r} is no image key",
            where=where,
            todo=f"write source:id with a source of {', '.join(SOURCES)}, such as coco:262148",
        )
    return key


def read_image_list(path: Path) -> list[str]:
    """Read a text file with one image key a line; empty lines and ``#`` comments are skipped.

    Raises:
        DataError: the file cannot be read, or a line is no image key.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as a list of image keys ({error})", where=path) from error
    numbered = ((number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1))
    return list(dict.fromkeys(check_image_key(key, f"{path}:{number}") for number, key in numbered if key))
