"""What a model that has learned nothing scores: a guess, or always the most frequent answer.

A score means something above this only; blind guesses of one kind of input are tested elsewhere.
"""

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.datasets.table import AMONG_CANDIDATES, TASKS
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.tasks.examples import Examples, Lists
from vlmt_cli.tasks.load import make_batch
from vlmt_cli.tasks.referring import IOU

_AT_ONCE = 256
NAMES = {
    "vqa": "most frequent answer",
    "gqa": "most frequent answer",
    "retrieval": "any image",
    "referring": "any region",
    "nlvr2": "most frequent label",
    "snli_ve": "most frequent label",
}


def chance(train: Examples, test: Examples, reader: RegionReader) -> float:
    """Return the expected score of a guess on a task's examples.

    Args:
        train: says which answer or label is the most frequent.
        test: is guessed on.
        reader: of region features: any of an image's regions may be meant.
    """
    head = TASKS[test.task].head
    if head in ("vqa", "gqa"):
        return _answers(train, test)
    if head == "retrieval":
        return 1 / len(test.names)
    if head == "referring":
        return _candidates(test) if test.task in AMONG_CANDIDATES else _regions(test, reader)
    labels: NDArray[np.int64] = train.columns["labels"]
    most = np.bincount(labels[labels >= 0]).argmax()
    return float((test.columns["labels"] == most).mean())


def _answers(train: Examples, test: Examples) -> float:
    labels: Lists = train.columns["labels"]
    weights: Lists = train.columns["scores"]
    most = np.bincount(labels.values, weights.values).argmax()
    return float(test.columns["scores"].values[test.columns["labels"].values == most].sum() / len(test))


def _candidates(test: Examples) -> float:
    return float((1 / np.diff(test.columns["candidates"].offsets)).mean())


def _regions(test: Examples, reader: RegionReader) -> float:
    total = 0.0
    for start in range(0, len(test), _AT_ONCE):
        batch = make_batch(test, np.arange(start, min(start + _AT_ONCE, len(test))), reader)
        right = (batch.targets["ious"] > IOU).sum(1)
        total += float((right / (batch.region_mask_BV.sum(1) - 1)).sum())
    return total / len(test)
