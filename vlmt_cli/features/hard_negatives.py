"""Offline hard negatives of 4-way image retrieval (section 3.2): the images that look most like an image.

The nearest other images by Euclidean distance between mean region features. The authors' pool of 100 holds the image
itself; here it does not, so that all 100 are negatives.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import write_parquet
from vlmt_cli.base.origin import KEEP_FILE, kept_rows
from vlmt_cli.base.progress import Progress
from vlmt_cli.datasets.clean_command import get_examples
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.features.coverage import read_examples
from vlmt_cli.features.store import FeatureStore

DATASETS = tuple(name for name, row in TASKS.items() if row.head == "retrieval")
NEIGHBOURS = 100
HARD_NEGATIVES = pa.schema([("image", pa.string()), ("neighbours", pa.list_(pa.string()))])
_CHUNK = 1024


@dataclass(frozen=True)
class HardNegatives:
    """What was written for one dataset.

    Attributes:
        dataset: which.
        images: train images of the clean split.
        with_features: those that the store has, which are those with neighbours.
        path: the Parquet file: image, and its neighbours from near to far.
    """

    dataset: str
    images: int
    with_features: int
    path: Path


def write_hard_negatives(
    store: FeatureStore,
    data: Path,
    dataset: str,
    k: int = NEIGHBOURS,
    partial: bool = False,
    progress: Progress = lambda name, done, total: None,
) -> HardNegatives:
    """Write ``data/features/hard_negatives_<dataset>.parquet`` for the cleaned train images of a dataset.

    Args:
        store: the features.
        data: the data folder, with a clean split.
        dataset: one of ``DATASETS``.
        k: neighbours an image.
        partial: whether to go on with the images that have features, where some have none.
        progress: called while features are read.

    Raises:
        DataError: there is no clean split, it has no train images of the dataset, or features are missing.
    """
    images = clean_train_images(data, dataset)
    stored = images.filter(pc.is_in(images, pa.array(store.keys(), pa.string())))
    lacking = len(images) - len(stored)
    if lacking and (not partial or len(stored) < 2):
        todo = "extract or pack them" + ("" if partial else ", or go on without them with --partial")
        raise DataError(f"{lacking:,} of {len(images):,} train images of {dataset} lack features", where=store.path,
                        todo=todo)  # fmt: skip
    neighbours = nearest(mean_features(store, stored.to_pylist(), progress), k)
    rows, width = neighbours.shape
    lists = pa.ListArray.from_arrays(
        np.arange(rows + 1, dtype=np.int32) * width, stored.take(pa.array(neighbours.flatten().numpy()))
    )
    description = {"features": store.meta.checksum, "extractor": store.meta.extractor}
    path = data / "features" / f"hard_negatives_{dataset}.parquet"
    write_parquet(path, pa.table([stored, lists], schema=HARD_NEGATIVES.with_metadata(description)))
    return HardNegatives(dataset, len(images), len(stored), path)


def clean_train_images(data: Path, dataset: str) -> pa.Array:
    """List the distinct images of a dataset's train examples that cleaning kept, in order of their keys.

    Raises:
        DataError: there is no clean split, it has no such examples, or it was made of others.
    """
    keep, path = data / "clean" / KEEP_FILE, data / "examples" / dataset / "train.parquet"
    if not keep.exists():
        raise DataError("there is no clean split", where=keep, todo="make one with vlmt clean")
    lacking = DataError(
        f"the clean split has no train images of {dataset}", where=keep, todo=get_examples(data, dataset, split="train")
    )
    if not path.exists():
        raise lacking
    examples = read_examples(path)
    kept = kept_rows(data, dataset, "train", examples["example_id"], examples["images"])
    if not len(kept):
        raise lacking
    images = examples["images"].combine_chunks()
    keys = images.take(pa.array(kept)).flatten().unique()
    return keys.take(pc.sort_indices(keys))


def mean_features(store: FeatureStore, keys: list[str], progress: Progress) -> Tensor:
    """Return the mean region feature of N images, (N, F) float32."""
    means = np.empty((len(keys), store.meta.feature_width), np.float32)
    for i, key in enumerate(keys):
        means[i] = store.read(key).features.astype(np.float32).mean(0)
        progress("", i + 1, len(keys))
    return torch.from_numpy(means)


def nearest(means: Tensor, k: int) -> Tensor:
    """Return the k nearest other rows of each row by Euclidean distance.

    Args:
        means: (N, F) float32.
        k: how many; N - 1 where that is fewer.

    Returns:
        (N, min(k, N - 1)) row numbers, from near to far.
    """
    centred = means - means.mean(0)  # which loses nothing of the distances, and less of them to rounding
    squares = centred.square().sum(1)
    k = min(k, len(means) - 1)
    rows = []
    for start in range(0, len(means), _CHUNK):
        chunk = centred[start : start + _CHUNK]
        distances = torch.addmm(squares, chunk, centred.T, alpha=-2)  # but for the chunk's own squares, the same a row
        distances[torch.arange(len(chunk)), torch.arange(start, start + len(chunk))] = torch.inf
        rows.append(distances.topk(k, largest=False).indices)
    return torch.cat(rows)
