"""Whether a clean split was made from the examples beside it.

A split names examples by their row in ``examples/<dataset>/<split>.parquet``. Were these tables made anew from other
official files, the same rows would be other examples, test images among them. So ``clean/keep.parquet`` carries hashes
of all that cleaning looked at (ids and images of every split, identity links of every dataset) in its metadata, and
everything that reads the split compares them with the examples that are there.
"""

import hashlib
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import bring_back

METADATA_KEY = b"vlmt"
KEEP_FILE = "keep.parquet"
_VERSION = 1
_AGAIN = "run vlmt clean again"


class Origin(msgspec.Struct, frozen=True):
    """What a split was made of, as ``keep.parquet`` carries it in its metadata.

    Attributes:
        split_hash: of all kept examples; ``report.json`` has the same.
        examples: a hash of ids and images, by dataset and split.
        kept: a hash of the rows and ids that are kept, by dataset and split.
        links: a hash of the identity links that a dataset's or crosswalk's files gave, by its name.
        command: that makes the split again, without the data folder.
    """

    version: int
    split_hash: str
    examples: dict[str, dict[str, str]]
    kept: dict[str, dict[str, str]]
    links: dict[str, str]
    command: str = "vlmt clean"

    def metadata(self) -> dict[bytes, bytes]:
        """Return it as the metadata of an Arrow schema."""
        return {METADATA_KEY: msgspec.json.encode(self)}


class ExampleHashes(msgspec.Struct, frozen=True):
    """What a dataset's ``manifest.json`` says of its tables: a hash of each split, and that of the links."""

    example_hashes: dict[str, str]
    links_hash: str


def make_origin(
    split_hash: str,
    examples: Mapping[tuple[str, str], str],
    kept: Mapping[tuple[str, str], str],
    links: Mapping[str, str],
    command: str,
) -> Origin:
    """Put together what a split is made of; keys of ``examples`` and ``kept`` are dataset and split."""
    return Origin(_VERSION, split_hash, _by_dataset(examples), _by_dataset(kept), dict(links), command)


def _by_dataset(hashes: Mapping[tuple[str, str], str]) -> dict[str, dict[str, str]]:
    nested: dict[str, dict[str, str]] = {}
    for (dataset, split), value in hashes.items():
        nested.setdefault(dataset, {})[split] = value
    return nested


def hash_examples(ids: Any, images: Any) -> str:
    """Hash the ids of N examples and their N lists of image keys (Arrow arrays, chunked or not), in their order."""
    chunks = images.chunks if isinstance(images, pa.ChunkedArray) else [images]
    digest = hashlib.sha256()
    _add_strings(digest, ids)
    for chunk in chunks:
        digest.update(np.diff(chunk.offsets.to_numpy()).astype("<i4"))
    _add_strings(digest, pa.chunked_array([chunk.flatten() for chunk in chunks], pa.string()))
    return digest.hexdigest()


def hash_rows(rows: NDArray[Any], ids: Any) -> str:
    """Hash N row numbers and the ids of the examples there, in the order of the rows."""
    order = np.argsort(rows, kind="stable")
    digest = hashlib.sha256(np.asarray(rows, "<i8")[order].tobytes())
    _add_strings(digest, ids.take(pa.array(order)))
    return digest.hexdigest()


def hash_strings(table: pa.Table) -> str:
    """Hash a table whose columns are strings, such as identity links."""
    digest = hashlib.sha256()
    for column in table.columns:
        _add_strings(digest, column)
    return digest.hexdigest()


def read_origin(keep: Path, asked: str = "all datasets") -> Origin:
    """Read what a split was made of.

    Args:
        keep: its ``keep.parquet``.
        asked: the examples that this is about, such as ``vqa train``, for the error.

    Raises:
        DataError: there is no split, it is damaged, or it does not say what it was made of.
    """
    if not keep.exists():
        raise DataError("there is no clean split", where=keep, todo="make one with vlmt clean")
    try:
        metadata = pq.read_schema(keep).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot be read ({str(error).splitlines()[0]})", where=keep, todo=_AGAIN) from error
    try:
        return msgspec.json.decode(metadata[METADATA_KEY], type=Origin)
    except (KeyError, msgspec.MsgspecError) as error:
        what = f"does not say which examples of {asked} it was made of: an older vlmt wrote it, or it was edited"
        raise DataError(what, where=keep, todo=_AGAIN) from error


def verify_split(data: Path, asked: str = "all datasets") -> Origin:
    """Check that the split in a data folder was made of the examples there, by what the manifests say of these.

    Every dataset of the split is looked at, as each one's test images were taken out of all the others. ``asked`` is as
    in ``read_origin``.

    Returns:
        What the split was made of.

    Raises:
        DataError: there is no split, or examples or links of a dataset are not those that it was made of.
    """
    bring_back(data / "clean")
    keep = data / "clean" / KEEP_FILE
    origin = read_origin(keep, asked)
    report = keep.with_name("report.json")
    again = _again(data, origin)
    if _split_hash_of(report) != origin.split_hash:
        raise DataError("report.json and keep.parquet do not belong together", where=keep, todo=again)
    for name, links in origin.links.items():
        hashes = _manifest_hashes(data / "examples" / name / "manifest.json")
        for split, value in origin.examples.get(name, {}).items():
            if hashes is None or hashes.example_hashes.get(split) != value:
                raise _other_examples(keep, name, split, again)
        if hashes is None or hashes.links_hash != links:
            what = f"the clean split was made with other identity links of {name} than examples/{name} has"
            raise DataError(what, where=keep, todo=again)
    return origin


def verify_split_if_any(data: Path) -> None:
    """Check the split in a data folder where there is one. Errors are ``verify_split``'s."""
    bring_back(data / "clean")
    if (data / "clean" / KEEP_FILE).exists():
        verify_split(data)


def verify_examples(data: Path, dataset: str, split: str, ids: Any, images: Any) -> None:
    """Check that an example table is the one that the clean split was made of, where a split has this dataset.

    Args:
        data: the data folder, with or without a clean split.
        dataset, split: which table.
        ids, images: its columns ``example_id`` and ``images``, whole.

    Raises:
        DataError: they are others, or another dataset's examples are.
    """
    bring_back(data / "clean")
    if not (data / "clean" / KEEP_FILE).exists():
        return
    origin = verify_split(data, f"{dataset} {split}")
    expected = origin.examples.get(dataset, {}).get(split)
    if expected is not None and hash_examples(ids, images) != expected:
        raise _other_examples(data / "clean" / KEEP_FILE, dataset, split, _again(data, origin))


def kept_rows(data: Path, dataset: str, split: str, ids: Any, images: Any) -> NDArray[np.int64]:
    """Return the rows of an example table that cleaning kept.

    Args:
        data: the data folder, with a clean split.
        dataset, split: which table.
        ids, images: its columns ``example_id`` and ``images``, whole.

    Returns:
        Row numbers, ascending; none where the split does not have this dataset.

    Raises:
        DataError: there is no clean split, it was made of other examples, or ``keep.parquet`` was edited.
    """
    keep = data / "clean" / KEEP_FILE
    verify_examples(data, dataset, split, ids, images)
    origin = read_origin(keep)
    wanted = [("dataset", "=", dataset), ("split", "=", split)]
    try:
        table = pq.read_table(keep, columns=["row", "example_id"], filters=wanted)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DataError(f"cannot be read ({str(error).splitlines()[0]})", where=keep, todo=_AGAIN) from error
    rows: NDArray[np.int64] = table["row"].to_numpy().astype(np.int64)
    expected = origin.kept.get(dataset, {}).get(split)
    if (len(rows) > 0 or expected is not None) and hash_rows(rows, table["example_id"]) != expected:
        what = f"its rows of {dataset} {split} are not those that vlmt clean wrote"
        raise DataError(what, where=keep, todo=_again(data, origin))
    return np.sort(rows)


def _other_examples(keep: Path, dataset: str, split: str, todo: str) -> DataError:
    what = f"the clean split was made of other examples of {dataset} {split} than examples/{dataset} has"
    return DataError(what, where=keep, todo=todo)


def _again(data: Path, origin: Origin) -> str:
    return f"run {origin.command} --data {shlex.quote(str(data))}"


def _split_hash_of(report: Path) -> str | None:
    class OnlyHash(msgspec.Struct):
        split_hash: str

    try:
        return msgspec.json.decode(report.read_bytes(), type=OnlyHash).split_hash
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _manifest_hashes(manifest: Path) -> ExampleHashes | None:
    try:
        return msgspec.json.decode(manifest.read_bytes(), type=ExampleHashes)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _add_strings(digest: Any, strings: Any) -> None:
    """Add N strings: all lengths, then all bytes, so that where chunks end makes no difference."""
    chunks = strings.chunks if isinstance(strings, pa.ChunkedArray) else [strings]
    chunks = [chunk.cast(pa.string()) for chunk in chunks]
    digest.update(len(strings).to_bytes(8, "little"))
    for chunk in chunks:
        digest.update(pc.binary_length(chunk).fill_null(-1).to_numpy(zero_copy_only=False).astype("<i4"))
    for chunk in chunks:
        digest.update(string_bytes(chunk))


def string_bytes(strings: pa.StringArray) -> pa.Buffer:
    """Return the bytes of N strings one after another, without copying them."""
    _, offsets, data = strings.buffers()
    if data is None or not len(strings):
        return pa.py_buffer(b"")
    first, last = np.frombuffer(offsets, np.int32)[[strings.offset, strings.offset + len(strings)]]
    return data.slice(int(first), int(last - first))
