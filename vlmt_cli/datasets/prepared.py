"""A dataset's example tables as ``prepare`` leaves them, and the manifest that says what they were read from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import LINKS
from vlmt_cli.base.opening import read_file
from vlmt_cli.base.words import printable

TEST_IMAGES = "test_images"
"""The table of test images that no example shows."""
ALONE = "-without-examples"
"""What the name of a split of such images ends with."""
_IMAGES = pa.schema([("split", pa.string()), ("image", pa.string())])


def images_table(alone: Mapping[str, pa.Array]) -> pa.Table:
    """Make the table of test images that no example shows, of their keys by test split."""
    parts = [
        pa.table([pa.array([split] * len(keys), pa.string()), keys], schema=_IMAGES) for split, keys in alone.items()
    ]
    return pa.concat_tables([_IMAGES.empty_table(), *parts])


def images_each(keys: pa.Array) -> pa.ListArray:
    """Return N lists of one image key each."""
    return pa.ListArray.from_arrays(np.arange(len(keys) + 1, dtype=np.int32), keys)


class Manifest(msgspec.Struct, frozen=True):
    """What ``manifest.json`` says of a prepared dataset.

    Attributes:
        format: of this file and of the tables.
        reader: ``reader_hash``: an edit of the reader makes its examples stale.
        options: their choices, as JSON.
        raw: size and time of change of each official file, by its name.
        splits: how many examples each split has.
        links: how many identity links there are.
        notes: what was odd, and how often.
        sha256: of each official file, by its name.
        example_hashes: ``base.origin.hash_examples`` of each split.
        links_hash: of the identity links.
        tables: the SHA-256 of each Parquet file, by its name; what has it needs no second look.
        test_images: how many images without an example each test split has; ``example_hashes`` has them as
            ``test-without-examples``.
    """

    options: str
    raw: dict[str, list[int]]
    splits: dict[str, int]
    links: int
    notes: dict[str, int]
    format: int = 0
    reader: str = ""
    sha256: dict[str, str] = {}
    example_hashes: dict[str, str] = {}
    links_hash: str = ""
    tables: dict[str, str] = {}
    test_images: dict[str, int] = {}

    @property
    def has_images(self) -> bool:
        """Whether there are examples, or test images without any; a crosswalk has neither."""
        return bool(self.splits or self.test_images)

    @property
    def parts(self) -> tuple[str, ...]:
        """The tables that there must be, without ``.parquet``."""
        return (*self.splits, "links", *([TEST_IMAGES] if self.test_images else []))


@dataclass(frozen=True)
class Prepared:
    """One dataset's example files.

    Attributes:
        name: the dataset.
        folder: where they are.
        manifest: the splits and their lengths, and what was odd.
        beside: why the tables in ``examples/`` were not taken, where others were read beside.
    """

    name: str
    folder: Path
    manifest: Manifest
    beside: str | None = None

    def path(self, split: str) -> Path:
        """Return the Parquet file of a split."""
        return self.folder / f"{split}.parquet"

    def links(self) -> pa.Table:
        """Read the identity links that the dataset's files give."""
        return pq.read_table(self.folder / "links.parquet", schema=LINKS)

    def images_alone(self) -> dict[str, pa.Array]:
        """Read the keys of test images that no example shows, by test split.

        Raises:
            DataError: their table is damaged.
        """
        if not self.manifest.test_images:
            return {}
        path = self.path(TEST_IMAGES)
        try:
            table = pq.read_table(path, schema=_IMAGES).combine_chunks()
        except (OSError, pa.ArrowException) as error:
            todo = f"delete {path.parent} and run the command again"
            raise DataError(f"is damaged ({printable(error)})", where=path, todo=todo) from error
        of = {split: pc.equal(table["split"], split) for split in self.manifest.test_images}
        return {split: table["image"].filter(mine).combine_chunks() for split, mine in of.items()}


def examples_folder(data: Path, name: str) -> Path:
    """Return the folder of a dataset's example tables."""
    return data / "examples" / name


def split_tables(folder: Path) -> list[Path]:
    """Return the tables in a folder of examples that hold a split each, sorted by name."""
    return [path for path in sorted(folder.glob("*.parquet")) if path.stem not in ("links", TEST_IMAGES)]


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder of example tables. Raises a DataError when it is damaged."""
    path = folder / "manifest.json"
    try:
        return msgspec.json.decode(read_file(path), type=Manifest)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(
            f"is damaged ({printable(error)})", where=path, todo="delete it and run the command again"
        ) from error


def prepared(data: Path, name: str) -> Prepared | None:
    """Return a dataset's example files as they are, or None when it was never read."""
    if not (examples_folder(data, name) / "manifest.json").exists():
        return None
    return Prepared(name, examples_folder(data, name), read_manifest(examples_folder(data, name)))
