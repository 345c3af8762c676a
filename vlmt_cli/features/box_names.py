"""Which photo a name in a file of boxes means: an image key, the photo's own name, or any official spelling."""

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.image_names import SUFFIXES
from vlmt_cli.base.keys import check_image_key
from vlmt_cli.base.words import quoted
from vlmt_cli.mixtures.names import keys_of

SPELLINGS = (
    "coco:9, the photo's own name or path, or an official name such as COCO_val2014_000000000009.jpg or vg/2.jpg"
)


def keys_of_photos(names: Sequence[tuple[str, str]], photos: Iterable[tuple[str, str]]) -> list[str]:
    """Name the images that names in a file of boxes mean.

    An image key is taken as it is. Else it is the photo of this name, with as many of its folders as stand there, with
    or without its suffix, where that is one image. Else the name is read as one in a mixture is (``mixtures.names``);
    a number without a known folder is of the photos' source, where they have only one.

    Args:
        names: pairs of a file and record, for the error, and the name that stands there.
        photos: that are extracted: image key and path.

    Returns:
        An image key for each name.

    Raises:
        DataError: a name does not say which image it is, or is written as an image key and is not a valid one.
    """
    listed = list(photos)
    sources = {key.partition(":")[0] for key, _ in listed}
    own = _by_name(listed)
    spelt = keys_of(
        pa.array([name for _, name in names], pa.string()), source=sources.pop() if len(sources) == 1 else None
    )
    keys = []
    for (where, name), official in zip(names, spelt.keys.to_pylist(), strict=True):
        if ":" in name and "/" not in name and "\\" not in name:
            keys.append(check_image_key(name, where))
            continue
        mine = {key for key, path in own.get(_stem(name), ()) if _ends_in(path, name)}
        key = mine.pop() if len(mine) == 1 else official
        if key is None:
            what = f"{quoted(name)} is the name of {len(mine)} photos" if mine else f"no photo is named {quoted(name)}"
            raise DataError(
                f"{what}, and the name does not say which image it is", where=where, todo=f"write {SPELLINGS}"
            )
        keys.append(key)
    return keys


def _by_name(photos: Sequence[tuple[str, str]]) -> Mapping[str, list[tuple[str, str]]]:
    by_name: dict[str, list[tuple[str, str]]] = {}
    for key, path in photos:
        by_name.setdefault(_stem(path), []).append((key, path))
    return by_name


def _stem(path: str) -> str:
    """Return the last part of a path without the suffix of an image."""
    return _without_suffix(path.replace("\\", "/").rpartition("/")[2])


def _ends_in(path: str, name: str) -> bool:
    """Whether a path is a name with folders before it; the name may lack the suffix, but has no other one."""
    path, name = (f"/{each}" for each in (path.replace("\\", "/"), name.replace("\\", "/").removeprefix("./")))
    return path.endswith(name) or _without_suffix(path).endswith(name)


def _without_suffix(name: str) -> str:
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: -len(suffix)] if suffix else name
