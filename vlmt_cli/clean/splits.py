"""The splits that cleaning compares: example tables, lists of images, and mixtures (``clean.image_lists``).

The cleaner sees of a split only which example shows which images.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.prepared import ALONE, Prepared, images_each
from vlmt_cli.datasets.table import beyond_paper
from vlmt_cli.datasets.tables import check_columns

ROLES = ("train", "val", "test", "pretrain", "detector")
CLEANED_ROLES = ("train", "val", "pretrain")
IDENTITIES = ("strict", "paper")


@dataclass(frozen=True)
class Split:
    """One split of one dataset.

    Attributes:
        dataset: ``vqa``, or the name of an image list.
        name: ``train``, ``testA``, ...
        role: one of ``ROLES``. Train, val and pretrain are cleaned; a detector has seen
            what it has seen, and is only compared.
        ids: the N example ids.
        images: N lists of image keys, none of them empty.
        path: the example table, which holds the texts; None for a list of images or a mixture.
        unnamed: of these, how many of their images nothing names, and the names of three of them.
        joins: of a test set, the identities under which its images join the union. One that the paper does not have
            joins under strict identity only.
    """

    dataset: str
    name: str
    role: str
    ids: pa.Array
    images: pa.ListArray
    path: Path | None = None
    joins: tuple[str, ...] = IDENTITIES
    unnamed: int = 0
    unnamed_examples: tuple[str | None, ...] = ()

    @property
    def test_set(self) -> str:
        """The name of the test set that this is a part of: its dataset, where the paper has it."""
        return self.dataset if self.joins == IDENTITIES else f"{self.dataset} {self.name}"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def offsets(self) -> NDArray[np.int32]:
        """Where each example's images begin among all of the split's images, and the end: N + 1 numbers."""
        offsets: NDArray[np.int32] = self.images.offsets.to_numpy()
        return offsets - offsets[:1]


def role_of(split: str) -> str:
    """Return the role of a dataset's split: ``testA`` and ``testdev`` are test sets."""
    return "test" if split.startswith("test") else split


def read_split(dataset: str, name: str, path: Path, joins: tuple[str, ...] = IDENTITIES) -> Split:
    """Read the ids and image keys of an example table.

    Raises:
        DataError: an example has no image, or the file is damaged.
    """
    try:
        table = pq.read_table(path, columns=["example_id", "images"])
    except (OSError, pa.ArrowException) as error:
        todo = f"delete {path.parent} and run the command again"
        raise DataError(f"is damaged ({str(error).splitlines()[0]})", where=path, todo=todo) from error
    check_columns(table, path)
    images = table["images"].combine_chunks()
    split = Split(dataset, name, role_of(name), table["example_id"].combine_chunks(), images, path, joins)
    if len(split) and (np.diff(split.offsets) < 1).any():
        row = int(np.argmin(np.diff(split.offsets)))
        where = f"{path}: {split.ids[row].as_py()}"
        raise DataError(
            "the example shows no image", where=where, todo=f"delete {path.parent} and run vlmt clean again"
        )
    return split


def splits_of(examples: Prepared, beyond: tuple[str, ...] = IDENTITIES) -> list[Split]:
    """Read a dataset's splits; test images that no example shows are splits of their own: ``test-without-examples``.

    Args:
        examples: the dataset's.
        beyond: the identities under which test sets that the paper does not have join the union.

    Raises:
        DataError: as ``read_split``.
    """
    name, outside = examples.name, beyond_paper(examples.name)
    alone = examples.images_alone()
    joins = {split: beyond if split in outside else IDENTITIES for split in (*examples.manifest.splits, *alone)}
    return [
        *(read_split(name, split, examples.path(split), joins[split]) for split in examples.manifest.splits),
        *(
            Split(name, f"{split}{ALONE}", role_of(split), keys, images_each(keys), joins=joins[split])
            for split, keys in alone.items()
        ),
    ]


def image_split(name: str, role: str, keys: pa.Array) -> Split:
    """Take N image keys as a split whose examples are the images."""
    return Split(name, f"{role}-images", role, keys, images_each(keys))


def with_role(splits: Iterable[Split], *roles: str) -> list[Split]:
    """Return the splits that have one of these roles."""
    return [split for split in splits if split.role in roles]
