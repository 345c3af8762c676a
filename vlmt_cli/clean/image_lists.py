"""Lists of images, and mixtures, as splits: what a user names beside the datasets.

A mixture's records are its examples, and are counted and removed as such; of a list of images each image is one.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.addresses import flickr_photos, normal_addresses
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.words import quoted
from vlmt_cli.clean.croissant import files_below
from vlmt_cli.clean.question import list_hash
from vlmt_cli.clean.scan_write import lists_of
from vlmt_cli.clean.splits import ROLES, Split, image_split
from vlmt_cli.mixtures.also import differing, said_also
from vlmt_cli.mixtures.batch import Batch, Source, Wanted, column_of, names_and_addresses
from vlmt_cli.mixtures.benchmark_file import keys_of_shown, read_benchmark
from vlmt_cli.mixtures.forms import FORMS
from vlmt_cli.mixtures.names import keys_of, keys_of_addresses
from vlmt_cli.mixtures.opening import form_of, sources_of

_OF_IMAGES = ("records", "coco")
"""Forms whose records are images or questions about them; ``read_benchmark`` knows more of their fields."""
_EXAMPLES = 3


def image_list(name: str, role: str, given: str, source: str | None = None) -> Split:
    """Take a list of images or a mixture as a split; images that nothing names are counted.

    Args:
        name: of the list.
        role: one of ``ROLES``.
        given: names or keys, a line each; any form that a benchmark's file has; or any form of mixture, a glob, a
            folder, or a list of mixtures.
        source: what bare numbers mean in it.

    Raises:
        UsageError: there is no such role.
        DataError: it cannot be read, or no image in it can be named.
    """
    if role not in ROLES:
        raise UsageError(f"an image list has no role {role!r}", where=given, todo=f"choose one of {', '.join(ROLES)}")
    sources = _sources(given)
    if any(each.form != "image_list" for each in sources):
        return _records(name, role, given, sources, source)
    if sources:
        keys, names = _joined(_named(batch, each.root, source) for each in sources for batch in _batches(each))
    else:
        shown = read_benchmark(Path(given))
        keys = keys_of_shown(shown, source)
        names = pa.array([names[0] if names else None for names in shown.names], pa.string())
    split = image_split(name, role, keys.drop_null().unique())
    return _counted(split, given, names.filter(pc.is_null(keys)))


def hash_of(given: str) -> str:
    """Return the SHA-256 of a file; where several are meant, that of the lines "SHA-256, two spaces, path".

    Raises:
        DataError: a file cannot be read, or is not there.
    """
    path = Path(given)
    try:
        lists = lists_of(given, None)
    except DataError:  # a benchmark's file, in no form that a mixture has
        lists = {}
    if path.is_file() and not lists:
        return list_hash(path)
    named = dict.fromkeys([*lists, *(each.path for each in sources_of(given))])
    files = dict.fromkeys(file for each in named for file in files_below(each))
    return hashlib.sha256("".join(f"{list_hash(file)}  {file}\n" for file in files).encode()).hexdigest()


def _sources(given: str) -> list[Source]:
    """Return the files of a mixture, or lists of names; none where a file is a benchmark's, or of no form."""
    path = Path(given)
    if path.is_file() and path.stat().st_size:
        try:
            form = form_of(path)
        except DataError:
            return []
        if form in _OF_IMAGES:
            return []
    return sources_of(given)


def _records(name: str, role: str, given: str, sources: list[Source], source: str | None) -> Split:
    """Take the records of a mixture that show an image with a name as examples, by their number in their file."""
    parts: list[tuple[pa.Array, ...]] = []
    lengths = [np.zeros(1, np.int64)]
    for each in sources:
        for batch in _batches(each):
            keys, names = _named(batch, each.root, source)
            record = column_of(batch.images, "record").to_numpy()
            own = keys.slice(0, len(record))
            told = own if source is None else _named(batch, each.root, None)[0].slice(0, len(record))
            of, also = said_also(batch.images, told, each.root, source=source)
            addressed = differing(_keys_of_addresses(names_and_addresses(batch.images)[1]), own)
            further = pc.coalesce(pa.nulls(len(of), pa.string()), *also.values())
            images = pa.concat_arrays([own, addressed, further])
            shown = np.concatenate([record, record, record[of]])[images.is_valid().to_numpy(False)]
            records, count = np.unique(shown, return_counts=True)
            ids = pa.array(records).cast(pa.string())
            if len(sources) > 1:
                ids = pc.binary_join_element_wise(str(each.path), ids, ":")
            known = of[further.is_valid().to_numpy(False)]
            unnamed = names.filter(pa.array(pc.is_null(keys).to_numpy(False) & ~np.isin(np.arange(len(keys)), known)))
            parts.append((ids, images.drop_null().take(pa.array(np.argsort(shown, kind="stable"))), unnamed))
            lengths.append(count)
    ids, images, unnamed = _joined(parts, 3)
    offsets = pa.array(np.cumsum(np.concatenate(lengths)), pa.int32())
    return _counted(Split(name, f"{role}-images", role, ids, pa.ListArray.from_arrays(offsets, images)), given, unnamed)


def _joined(parts: Iterable[tuple[pa.Array, ...]], columns: int = 2) -> list[pa.Array]:
    nothing = [(pa.nulls(0, pa.string()),) * columns]
    return [pa.concat_arrays(column) for column in zip(*nothing, *parts, strict=True)]


def _batches(source: Source) -> Iterator[Batch]:
    return FORMS[source.form].read(source, Wanted())


def _named(batch: Batch, root: str, source: str | None) -> tuple[pa.Array, pa.Array]:
    """Return the keys of a batch's images, null where nothing names them, and what they are called there.

    An image that only its address names has the photo at Flickr, or the address itself, for a key. Behind the images
    stand the records that could not be read.
    """
    names, addresses = names_and_addresses(batch.images)
    keys = keys_of(names, root, source=source).keys
    damaged = pa.array([f"record {each.record}, which {each.reason}" for each in batch.damaged], pa.string())
    keys = pa.concat_arrays([pc.coalesce(keys, _keys_of_addresses(addresses)), pa.nulls(len(damaged), pa.string())])
    return keys, pa.concat_arrays([pc.coalesce(names, addresses), damaged])


def _keys_of_addresses(addresses: pa.Array) -> pa.Array:
    return pc.coalesce(keys_of_addresses(addresses), flickr_photos(addresses), normal_addresses(addresses))


def _counted(split: Split, given: str, unnamed: pa.Array) -> Split:
    if not len(split):
        if not len(unnamed):
            raise DataError("names no image", where=given, todo="write one name a line, such as coco:262148")
        todo = "write image keys such as coco:262148 or official names, or say with NAME:ROLE:SOURCE what numbers mean"
        raise DataError(f"names no image that is known, such as {quoted(unnamed[0])}", where=given, todo=todo)
    examples = tuple(unnamed.unique().slice(0, _EXAMPLES).to_pylist())
    return replace(split, unnamed=len(unnamed), unnamed_examples=examples)
