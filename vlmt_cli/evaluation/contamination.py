"""Contaminated against clean: how a model scores on test images that its training saw, and on those it did not.

A leak shows as a higher score on the seen ones. But the images differ in other ways, too: seen ones may be easier for
any model. What a *control*, a model that saw neither, scores on the same examples takes that out: the difference in
differences is what having seen the images goes with, beyond how hard they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import HOW, same_image
from vlmt_cli.evaluation.bootstrap import FEW, RESAMPLES, Estimate, difference, estimate, paired_difference
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


@dataclass(frozen=True)
class Control:
    """What a model that saw none of the images scores on the same examples.

    Attributes:
        model: which.
        seen, unseen: its mean on the examples that the other model's training saw, and on the others.
        difference: between these.
        in_differences: the other model's difference less this one's, images resampled, both models together.
        without: examples that the control has no score of; they are left out here.
    """

    model: str
    seen: Estimate
    unseen: Estimate
    difference: Estimate
    in_differences: Estimate
    without: int = 0


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
        DataError: a score is NaN or not from 0 to 1, or the columns differ in length.
    """
    group = np.arange(len(scores)) if groups is None else one_array(groups)
    if not len(scores) == len(seen) == len(group):
        raise DataError(f"{len(scores):,} scores have {len(group):,} groups, and {len(seen):,} images are seen or not")
    parts = [(scores[part], one_array(group).filter(pa.array(part))) for part in (seen, ~seen)]
    contaminated, second = (estimate(*part, resamples=resamples, seed=seed) if len(part[0]) else None for part in parts)
    beyond = difference(contaminated, second) if contaminated and second else None
    return Contamination(contaminated, second, beyond)


def controlled(
    model: str,
    scores: ScoreColumn,
    control: ScoreColumn,
    seen: NDArray[np.bool_],
    groups: Column,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Control | None:
    """Take out of a difference between seen and unseen images what a control has of it, too.

    Args:
        model: the control.
        scores: of N examples, (N,).
        control: the control's on the same ones, (N,); NaN where it has none.
        seen, groups, resamples, seed: as for ``contrast``.

    Returns:
        None where either part has no example.

    Raises:
        DataError: the columns differ in length.
    """
    group = one_array(groups)
    if not len(scores) == len(control) == len(seen) == len(group):
        raise DataError(f"{len(scores):,} scores have {len(control):,} of the control and {len(group):,} groups")
    both = ~np.isnan(control)
    parts = [both & part for part in (seen, ~seen)]
    if not all(part.any() for part in parts):
        return None
    theirs = contrast(control[both], seen[both], group.filter(pa.array(both)), resamples, seed)
    assert theirs.seen and theirs.unseen and theirs.difference
    above = [
        paired_difference(scores[part], control[part], group.filter(pa.array(part)), resamples, seed) for part in parts
    ]
    beyond = difference(*above)
    return Control(model, theirs.seen, theirs.unseen, theirs.difference, beyond, int((~both).sum()))


def in_words(parts: Contamination, control: Control | None, given: str = "RUN") -> str:
    """Say what the scores on seen and unseen images allow to conclude, and no more; ``given`` names what ``--control``
    takes."""
    if parts.seen is None or parts.unseen is None:
        return "All of the images are seen, or none: there is nothing to compare."
    compared = control or parts  # a control may have scores of fewer
    assert compared.seen and compared.unseen
    if (fewest := min(compared.seen.groups, compared.unseen.groups)) < FEW:
        which = "seen" if compared.seen.groups < FEW else "unseen"
        return f"Too few {which} images ({fewest}) to conclude anything."
    if control is None:
        return (
            f"The seen images may be easier for any model: without a control (--control {given}, a model that saw none"
            " of them) the difference does not say how much was gained by having seen them."
        )
    beyond = control.in_differences
    low, high = (f"{100 * share:+.1f}" for share in (beyond.low, beyond.high))
    points = f"{100 * beyond.value:+.1f} points ({low} to {high})"
    if beyond.low <= 0 <= beyond.high:
        return f"Beyond the control's difference: {points}, which may be chance."
    way = "better" if beyond.value > 0 else "worse"
    return (
        f"Beyond the control's difference: {points}. How easy the images are does not explain why it does {way};"
        " another training of either model may differ."
    )
