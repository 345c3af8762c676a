"""Image keys: ``source:id``, the one name that an image has in all datasets.

Numbers of different sources collide (1,302 Visual Genome ids are also COCO ids),
so that a bare id names no image. ``SOURCES`` are those whose ids have a known form;
a dataset may bring images of a source of its own, whose ids are file stems.
"""

import difflib
import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.words import quoted

# What an id is in each source. No slash, no leading dot and no "..": a key never leaves the folder that it is looked
# up in; no leading zero and no ".jpg": an image has one key.
_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDS = {
    "coco": _NUMBER,
    "vg": _NUMBER,
    "gqa": r"n[0-9]+",
    "flickr30k": _NUMBER,
    "nlvr2": r"[A-Za-z0-9]+(?:-[0-9]+)+-img[01]",
    "cc": r"[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.[A-Za-z0-9_-])*",
    "openimages": r"[0-9a-f]{16}",
    "sam": _NUMBER,
    "vizwiz": r"VizWiz_(?:train|val|test)_[0-9]+",
    "visdial": r"(?:val|test)2018_[0-9]+",
}
SOURCES = tuple(_IDS)
_LONGEST_NAME = 255
_LONGEST_ID = 200
"""Characters of an id, which is a part of file names."""
_ANY_SOURCE = r"[a-z][a-z0-9_]*"
_ANY_ID = _IDS["cc"]


def image_keys(source: str, ids: Sequence[int] | Sequence[str] | pa.Array, where: object) -> pa.Array:
    """Name the images of one source.

    Args:
        source: one of ``SOURCES``, or a new one in small letters, digits and underscores.
        ids: the images' ids in that source, N integers or strings.
        where: the file that they come from, for the error.

    Returns:
        N strings ``source:id``.

    Raises:
        DataError: an id is negative, or has a character that no official id has.
    """
    assert re.fullmatch(_ANY_SOURCE, source), source
    distinct = pa.array(ids).dictionary_encode()
    names = distinct.dictionary.cast(pa.string())
    valid = pc.match_substring_regex(names, rf"^(?:{_IDS.get(source, _ANY_ID)})\z")
    valid = pc.and_(valid, pc.less_equal(pc.binary_length(names), _LONGEST_ID))
    if not pc.all(valid, min_count=0).as_py():
        bad = names.filter(pc.invert(valid))[0].as_py()
        record = distinct.dictionary.cast(pa.string()).index(bad).as_py()
        record = distinct.indices.index(record).as_py()
        raise DataError(
            f"{quoted(bad)} is not an image id", where=f"{where}: record {record}", todo="correct or remove that record"
        )
    return pc.binary_join_element_wise(source, names, ":").take(distinct.indices)


def sources_of_keys(keys: pa.Array) -> pa.Array:
    """Return the sources of N image keys."""
    return pc.list_element(pc.split_pattern(keys, ":", max_splits=1), 0)


def has_official_id(keys: pa.Array, source: str) -> pa.Array:
    """Say of N image keys whether they have an id of the form that a source's ids have."""
    return pc.match_substring_regex(keys, rf"^{source}:(?:{_IDS[source]})\z")


def right_source(source: str) -> str | None:
    """Say what to write instead of a source that is malformed or nearly a known one; None where it is fine.

    A misspelt key would silently match no image.
    """
    close = (
        []
        if source in _IDS or len(source) > _LONGEST_NAME
        else difflib.get_close_matches(source, SOURCES, n=1, cutoff=0.7)
    )
    if close:
        return f"did you mean {close[0]}?"
    if re.fullmatch(_ANY_SOURCE, source):
        return None
    return f"take one of {', '.join(SOURCES)}, or a new name in small letters, digits and underscores"


def check_image_key(key: str, where: object = None) -> str:
    """Return ``key``, or raise a DataError that says why it names no image."""
    source, _, name = key.partition(":")
    if (todo := right_source(source)) or not name:
        todo = f"write source:id, such as coco:262148; {todo or 'the id is missing'}"
        raise DataError(f"{quoted(key)} is not an image key", where=where, todo=todo)
    if len(name) > _LONGEST_ID or not re.fullmatch(_IDS.get(source, _ANY_ID), name):
        # 000000262148, COCO_val2014_000000262148.jpg and 262148.jpg are file names of image 262148.
        number = re.fullmatch(r"(?:.*_)?0*(\d{1,19})(?:\.\w+)?", name[:_LONGEST_NAME])
        meant = f"{source}:{number[1]}" if number and re.fullmatch(_IDS.get(source, _ANY_ID), number[1]) else None
        todo = f"write {meant}" if meant else "write the id as the dataset's own files do"
        raise DataError(f"{quoted(key)} is not an image key", where=where, todo=todo)
    return key
