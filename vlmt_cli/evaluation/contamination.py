"""Contaminated against clean: how a model scores on test images that its training saw, and on those it did not.

A leak shows as a higher score on the seen ones; that the images differ in other ways, too, the interval of the
difference does not know.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import HOW, same_image
from vlmt_cli.evaluation.bootstrap import RESAMPLES, Estimate, estimate, unpaired_difference
from vlmt_cli.tasks.scoring import Column, ScoreColumn, one_array


@dataclass(frozen=True)
class Contamination:
    """One task's score, split by whether training saw the image.

    Attributes:
        seen, unseen: the mean on either part; None of a part that has no examples.
        difference: seen less unseen; None where either has none.
    """

    seen: Estimate | None
    unseen: Estimate | None
    difference: Estimate | None


def seen_in_training(
    images: Column, training: Iterable[str] | Column, links: pa.Table, how: str = HOW[-1]
) -> NDArray[np.bool_]:
    """Say which of N test examples show an image that training showed, under any name.

    Args:
        images: N lists of image keys, the column of an example table.
        training: the image keys of every stage of a checkpoint's lineage, in any order, repeated or not.
        links: identity links of all datasets (``base.identity``); a Flickr30k key's own link need not be among them.
        how: the last relation to believe; ``id`` compares names alone.

    Returns:
        (N,), true where any of an example's images was seen.
    """
    lists = one_array(images)
    shown = pc.list_flatten(lists).cast(pa.string())
    trained = training if isinstance(training, pa.Array | pa.ChunkedArray | np.ndarray) else list(training)
    trained = one_array(trained).cast(pa.string())
    keys = pa.concat_arrays([shown, trained]).unique()
    numbers = same_image(keys, links)[how]
    seen = np.zeros(int(numbers.max(initial=-1)) + 1, bool)
    seen[numbers[pc.index_in(trained, keys).to_numpy()]] = True
    hit = seen[numbers[pc.index_in(shown, keys).to_numpy()]]
    return np.bincount(pc.list_parent_indices(lists).to_numpy(), hit, minlength=len(lists)) > 0


def contrast(
    scores: ScoreColumn,
    seen: NDArray[np.bool_],
    groups: Column | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Contamination:
    """Compare the scores of N examples whose images training saw with the others'.

    Args:
        scores: (N,), each example's own score.
        seen: (N,), ``seen_in_training``.
        groups, resamples, seed: as ``bootstrap.estimate`` takes them; group by image.

    Raises:
        DataError: a score is NaN or infinite, or the columns differ in length.
    """
    group = np.arange(len(scores)) if groups is None else one_array(groups)
    if not len(scores) == len(seen) == len(group):
        raise DataError(f"{len(scores):,} scores have {len(group):,} groups, and {len(seen):,} images are seen or not")
    parts = [(scores[part], one_array(group).filter(pa.array(part))) for part in (seen, ~seen)]
    contaminated, second = (estimate(*part, resamples=resamples, seed=seed) if len(part[0]) else None for part in parts)
    difference = None
    if contaminated and second:
        (hit, hit_groups), (clean, clean_groups) = parts
        difference = unpaired_difference(hit, clean, hit_groups, clean_groups, resamples, seed)
    return Contamination(contaminated, second, difference)
