"""Which examples have features: a store may hold a part of the images."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.prepared import split_tables
from vlmt_cli.datasets.tables import check_columns

if TYPE_CHECKING:
    from vlmt_cli.features.store import FeatureStore


class Coverage(msgspec.Struct, frozen=True):
    """How much of one split a store covers.

    Attributes:
        dataset, split: which.
        images: images of the split.
        with_features: those that the store has.
        first_missing: the first images that it lacks.
    """

    dataset: str
    split: str
    images: int
    with_features: int
    first_missing: list[str]

    @property
    def share(self) -> float:
        return self.with_features / self.images if self.images else 1.0


def examples_with_features(
    store: "FeatureStore", images: pa.ListArray, what: str, partial: bool = False
) -> NDArray[np.bool_]:
    """Tell which of N examples have features of all of their images.

    Args:
        store: the features.
        images: N lists of image keys.
        what: the examples, such as ``vqa train``, for the error.
        partial: continue when some images have no features.

    Returns:
        (N,) bool.

    Raises:
        DataError: examples lack features, and ``partial`` does not allow it; or all of them do.
    """
    offsets = images.offsets.to_numpy()
    lacks = pc.invert(pc.is_in(images.flatten(), pa.array(store.keys(), pa.string())))
    missing = np.concatenate([[0], np.cumsum(lacks.to_numpy(zero_copy_only=False))])
    covered: NDArray[np.bool_] = missing[offsets[1:] - offsets[0]] == missing[offsets[:-1] - offsets[0]]
    without = int((~covered).sum())
    if without and (not partial or without == len(covered)):
        image = images.flatten().filter(lacks)[0].as_py()
        raise DataError(
            f"{without:,} of {len(covered):,} examples of {what} lack features, the first of them of {image}",
            where=store.path,
            todo="extract or pack them" + ("" if partial else ", or leave these examples out with --partial"),
        )
    return covered


def coverage(keys: pa.Array, data: Path) -> list[Coverage]:
    """Compare a store's N image keys with the example tables below ``data/examples``.

    Raises:
        DataError: an example table is damaged.
    """
    result = []
    for dataset, split, path in example_files(data):
        images = images_of(path).flatten().unique()
        missing = images.filter(pc.invert(pc.is_in(images, keys)))
        first = missing[:3].to_pylist()
        result.append(Coverage(dataset, split, len(images), len(images) - len(missing), first))
    return result


def example_files(data: Path) -> Iterator[tuple[str, str, Path]]:
    """Go through the example tables: dataset, split, file."""
    for folder in sorted((data / "examples").glob("*")):
        for path in split_tables(folder):
            yield folder.name, path.stem, path


def images_of(path: Path) -> pa.ListArray:
    """Read the image keys of an example table, a list an example. Raises a DataError when it is damaged."""
    images: pa.ListArray = read_examples(path, "images")["images"].combine_chunks()
    return images


def read_examples(path: Path, *columns: str) -> pa.Table:
    """Read columns of an example table, by default ids and images. Raises a DataError when it is damaged."""
    try:
        table = pq.read_table(path, columns=list(columns or ("example_id", "images")))
    except (OSError, pa.ArrowException, KeyError) as error:
        todo = f"delete {path.parent} and run vlmt clean again"
        raise DataError(f"is damaged ({str(error).splitlines()[0]})", where=path, todo=todo) from error
    check_columns(table, path)
    return table
