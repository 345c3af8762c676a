"""What a reader of a mixture gives: batches of records, and the images that they show.

A mixture is one or more files of one form. A *record* is one row of such a file: any number of images, and some text.
Records are numbered from 0 in each file, in the file's order; packed lists of records count as one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

IMAGES = pa.schema(
    [
        ("record", pa.int64()),  # the record's number in its file
        ("position", pa.int32()),  # which of the record's images, from 0
        ("name", pa.string()),  # the image's file name or id, as it stands there
        ("url", pa.string()),  # its address, as it stands there
        ("sha256", pa.string()),  # of the image's file, 64 small hexadecimal digits
        ("md5", pa.string()),  # of the image's file, 32 small hexadecimal digits
        ("data", pa.binary()),  # the image's file, where ``Wanted.data`` asks for it
        ("also", pa.list_(pa.string())),  # its further names and addresses
    ]
)
"""A batch's images: ``record``, ``position``, and whichever of the other columns the file has.

Names may be dictionary-encoded, as they are in a file whose columns are."""


@dataclass(frozen=True)
class Wanted:
    """What a reader gives beyond records and names; each costs time.

    Args:
        texts: what is said in the records.
        data: the images' files.
        spans: where records stand, in forms that are text.
        texts_of: the numbers of the only records whose texts are wanted; a reader may give those of others as well.
    """

    texts: bool = False
    data: bool = False
    spans: bool = False
    texts_of: frozenset[int] | None = None


@dataclass(frozen=True)
class Source:
    """One file or folder of records, and what the list that names it says about it.

    Args:
        path: the file; a folder for the forms that are folders.
        form: its key in ``FORMS``.
        root: what stands before the names of its images, such as ``./data/coco/train2014/``.
        sampling: how the list samples it, as it stands there: ``first:10%``, ``%50``.
        member_of: the list that names it.
        origin: where it was copied from for this run; None where ``path`` is its own.
        groups: the first and last (exclusive) of its row groups that are read; None for all of the file.
        opens: opens ``origin`` where it lies; None for pyarrow's file systems and fsspec.
        fields: what the list that names it calls the fields of its images.
    """

    path: Path
    form: str
    root: str = ""
    sampling: str | None = None
    member_of: Path | None = None
    origin: str | None = None
    groups: tuple[int, int] | None = None
    opens: Callable[[str], pa.NativeFile] | None = None
    fields: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.origin or str(self.path)


@dataclass(frozen=True)
class Damaged:
    """A record that could not be read: its number, and what is wrong with it."""

    record: int
    reason: str


@dataclass(frozen=True)
class Batch:
    """N records of one file, and the I images that they show.

    Args:
        first: the number of the first record.
        records: N, damaged ones included.
        images: I rows of ``IMAGES``, ordered by record and position.
        ids: N strings, the records' own ids; null where a record has none.
        texts: N lists of strings, what is said in each record, turn by turn; None unless asked for.
        spans: N rows of first and last byte (exclusive) of each record in the unpacked file; None where the form has
            none, or where finding them costs time and ``Wanted.spans`` does not ask for them.
        videos: how many videos the records show, which are not compared.
        unmet: how many records say ``<image>`` in their text and name no image in a field that is known.
        damaged: the records that could not be read; they show no image here.
    """

    first: int
    records: int
    images: pa.RecordBatch
    ids: pa.Array
    texts: pa.Array | None = None
    spans: NDArray[np.int64] | None = None
    videos: int = 0
    unmet: int = 0
    damaged: tuple[Damaged, ...] = ()


def column_of(images: pa.RecordBatch, name: str) -> pa.Array:
    """Return a column of a batch's images, plain; nulls where the batch does not have it."""
    kind = IMAGES.field(name).type
    return images.column(name).cast(kind) if name in images.schema.names else pa.nulls(images.num_rows, kind)


def names_and_addresses(images: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
    """Return the names of a batch's images, and their addresses, wherever they stand; null where there is none.

    A name that is an address counts as an address, and a path in the place of an address as a name where there is no
    other name.
    """
    names = column_of(images, "name")
    is_address = pc.match_substring_regex(names, "(?i)^https?://")
    addresses = pc.if_else(is_address, names, None)
    if pc.any(is_address, min_count=0).as_py():
        names = pc.if_else(is_address, None, names)
    if "url" in images.schema.names:
        urls = column_of(images, "url")
        is_usual = pc.or_(pc.starts_with(urls, "https://"), pc.starts_with(urls, "http://"))
        if pc.all(is_usual, min_count=0).as_py():  # nearly always, and much faster told so
            return names, pc.coalesce(urls, addresses)
        is_address = pc.match_substring_regex(urls, r"(?i)^\s*(?:https?:)?//")
        addresses = pc.coalesce(pc.if_else(is_address, urls, None), addresses)
        names = pc.coalesce(names, pc.if_else(is_address, None, urls))
    return names, addresses


@dataclass(frozen=True)
class Kept:
    """What of a file is written back.

    Args:
        records: by record of the file, whether it stays.
        images: for the records that stay but lose images: which positions stay, in order.
        spans: where each record stands, as ``Batch.spans`` said when the file was read; None where that is not known.
            Only forms that would read the file again for it ask (``Form.takes_spans``).
    """

    records: NDArray[np.bool_]
    images: dict[int, list[int]] = field(default_factory=dict)
    spans: NDArray[np.int64] | None = None


def no_companions(path: Path) -> list[Path]:
    """Return the companions of a file that stands alone."""
    return []


SPLIT_FIELDS = ("split", "set", "subset", "data_split", "dataset_split", "partition")
"""What the field that says of which split a record is goes by."""


def split_field(names: Iterable[str]) -> list[str]:
    """Return those of some fields that may say splits, the likelier first."""
    names = list(names)
    return [name for field in SPLIT_FIELDS for name in names if name.lower() == field]


def says_no_split(source: Source) -> Iterator[list[str | None]]:
    """Say of a form that its records are of one split."""
    return iter(())


def stays_whole(source: Source) -> bool:
    """Say of a file that its records keep all their images."""
    return False


def in_one_part(source: Source, most: int) -> list[Source]:
    """Return a file whose records are read from its beginning to its end."""
    return [source]


@dataclass(frozen=True)
class Form:
    """One form of mixture.

    Args:
        title: what people call it.
        is_form: whether a file is of this form, by its path and the first 64 kB of what it unpacks to; a folder has
            none.
        read: the batches of a file. Raises DataError with file and record.
        write: writes a file again without what is not kept. Text keeps every record byte for byte; Parquet and Arrow
            keep equal values, schema and metadata; tars keep their members byte for byte. ``to`` is written whole or
            not at all.
        can_drop_images: whether records of a file that have several images may lose some (``Kept.images``).
        takes_spans: whether ``write`` is faster where ``Kept.spans`` says where records stand.
        companions: the files beside a file that belong to it: they are not a mixture of their own, and ``write`` writes
            them beside ``to``.
        in_parts: cuts a file into parts of about so many bytes, which are read apart and have the same records.
        splits: of which split each record is, once for each field or folder that may say it.
    """

    title: str
    is_form: Callable[[Path, bytes], bool]
    read: Callable[[Source, Wanted], Iterator[Batch]]
    write: Callable[[Source, Kept, Path], None]
    can_drop_images: Callable[[Source], bool] = stays_whole
    takes_spans: bool = False
    companions: Callable[[Path], list[Path]] = no_companions
    in_parts: Callable[[Source, int], list[Source]] = in_one_part
    splits: Callable[[Source], Iterator[list[str | None]]] = says_no_split


@dataclass(frozen=True)
class ListForm:
    """A form of file that lists other files: a mixture of mixtures.

    Args:
        title: what people call it.
        is_form: as ``Form.is_form``.
        members: the files that it names, each with its root and sampling; paths are taken relative to the list's
            folder where they are not absolute. Raises DataError for a path that climbs above a root that it states,
            and for a list that names itself, over however many steps.
        write: writes the list again with other paths for its members: list, new path by member, target, and by member
            how many records it had and has, where the list says how many.
    """

    title: str
    is_form: Callable[[Path, bytes], bool]
    members: Callable[[Path], list[Source]]
    write: Callable[[Path, dict[Path, Path], Path, dict[Path, tuple[int, int]]], None]
