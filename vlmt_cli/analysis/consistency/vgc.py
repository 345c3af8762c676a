"""Multi-task visual grounding consistency, MT-VGC (sections 5 and 8.8).

Does a model that answers "what color is the largest dog?" also find the "largest dog"? Each question q about an image
is paired with each referring expression r for that image; a pair counts as often as the two share a visual concept, and
is right when both are:

              sum over images i, questions j, expressions k of  d(q_j, r_k) [q_j is answered and r_k is found]
    MT-VGC = -------------------------------------------------------------------------------------------------    (5)
              sum over images i, questions j, expressions k of  d(q_j, r_k)

where d is the number of distinct nouns and adjectives that the two texts share.

Shapes: P pairs, S concepts shared by a pair, I images, R resamples; see ``pairs``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from vlmt_cli.analysis.consistency.pairs import ConceptPairs, Integers
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.evaluation.bootstrap import LEVEL, RESAMPLES, Estimate, interval_of

RIGHT = {">= 0.5": 0.5, "> 0": 1e-6, "= 1": 1 - 1e-6}
"""From which VQA accuracy on a question counts as answered; a mean over annotators may miss 1 by a rounding."""
DEFAULT_RIGHT = ">= 0.5"


def rule_of(text: str) -> str:
    """Return the key of ``RIGHT`` that is meant; blanks do not matter. Raises a UsageError where there is none."""
    rules = {name.replace(" ", ""): name for name in RIGHT}
    if (short := text.replace(" ", "")) not in rules:
        names = ", ".join(f'"{name}"' for name in RIGHT)
        raise UsageError(f"there is no rule {text!r}", where="--right", todo=f"choose one of {names}")
    return rules[short]


VGC_WORDS = 30
FEW_IMAGES = 100
FEWEST_IMAGES = 12
COVERAGE = (
    f"Over fewer than {FEWEST_IMAGES} images, intervals of what is above chance within images cover 73 to 93%, not 95%."
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Outcome:
    """What one model, or one model a task, got right.

    Attributes:
        accuracy: VQA accuracy of each question, from 0 to 1.
        located: for each expression, whether the chosen region overlaps the right one by IoU > 0.5.
    """

    accuracy: Floats
    located: Bools


@dataclass(frozen=True)
class Agreement:
    """How often a question and an expression of the same pair are both right; shares are weighted.

    Attributes:
        both: equation 5 with these weights; ``n`` counts pairs and ``groups`` images that have any weight.
        weight: the denominator of equation 5.
        answered, found: the share in which the question is right, and in which the expression is.
        chance: their product: expected if the two skills are independent.
        excess: ``both`` less ``chance``.
        chance_within: expected if they are independent within each image: the images' products, by their weight. What
            makes an image hard for both skills is part of it.
        excess_within: ``both`` less ``chance_within``.
        kappa: agreement corrected for chance (Cohen's kappa of answered and found): 0 where ``both`` is at chance, 1
            where the two are always right together and wrong together; None where all are right, or all wrong.
    """

    both: Estimate
    weight: int
    answered: float
    found: float
    chance: float
    excess: Estimate
    chance_within: float
    excess_within: Estimate
    kappa: Estimate | None


@dataclass(frozen=True)
class Consistency:
    """MT-VGC of one model.

    Attributes:
        images, questions, expressions, pairs: what was compared; ``overlapping``: pairs that share a concept.
        right: when a question counts as answered, a key of ``RIGHT``.
        weighted: equation 5.
        unweighted: every pair that shares a concept counts once.
        by_right: equation 5 for each key of ``RIGHT``.
        by_overlap: d to the pairs that share so many. Those with d = 0 are the control: pairs of the same images, which
            share how hard the image is, but no concept.
        by_part: ``noun`` and ``adjective``, where a pair counts as often as it shares one.
        by_noun, by_adjective: the lemmas that most pairs share, in order.
    """

    images: int
    questions: int
    expressions: int
    pairs: int
    overlapping: int
    right: str
    weighted: Agreement
    unweighted: Agreement
    by_right: dict[str, Agreement]
    by_overlap: dict[int, Agreement]
    by_part: dict[str, Agreement]
    by_noun: dict[str, Agreement]
    by_adjective: dict[str, Agreement]


@dataclass(frozen=True)
class Difference:
    """By how much one model is above another on the same pairs, with intervals from the same resamples of images."""

    ours: str
    theirs: str
    weighted: Estimate
    unweighted: Estimate
    kappa: Estimate | None


def measure_vgc(
    pairs: ConceptPairs,
    outcome: Outcome,
    right: str = DEFAULT_RIGHT,
    words: int = VGC_WORDS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Consistency:
    """Measure how consistent one model is.

    Args:
        pairs: from ``pairs.pair_up``.
        outcome: for the same questions and expressions.
        right: when a question counts as answered, a key of ``RIGHT``.
        words: how many nouns and how many adjectives to look at one by one.
        resamples: of images, for the intervals; ``seed`` makes them repeatable.

    Raises:
        DataError: the outcome is not of these questions and expressions, or no accuracy.
    """
    draws_RI = _draw_images(pairs, resamples, seed)
    answered, located = _answered(pairs, outcome, right), _found(pairs, outcome)
    overlap = pairs.overlap_P
    shares = (overlap > 0).astype(np.int64)

    def agreement(weight: Integers, answered: Bools, which: Integers | slice = slice(None)) -> Agreement:
        return _agreement(draws_RI, pairs.image_P[which], weight[which], answered[which], located[which])

    def of_words(part: str) -> dict[str, Agreement]:
        return {word: agreement(shares, answered, which) for word, which in _most_shared(pairs, part, words)}

    compared = np.isin(pairs.image_P, pairs.image_P[shares > 0])
    noun_S = np.array([part == "noun" for part in pairs.parts])[pairs.concept_S]
    return Consistency(
        pairs.images,
        pairs.questions,
        pairs.expressions,
        len(pairs),
        int(shares.sum()),
        right,
        weighted=agreement(overlap, answered),
        unweighted=agreement(shares, answered),
        by_right={name: agreement(overlap, _answered(pairs, outcome, name)) for name in RIGHT},
        by_overlap={
            int(d): agreement(np.ones_like(overlap), answered, np.flatnonzero((overlap == d) & compared))
            for d in np.unique(overlap[compared])
        },
        by_part={
            part: agreement(np.bincount(pairs.shared_S[of_part], minlength=len(pairs)), answered)
            for part, of_part in (("noun", noun_S), ("adjective", ~noun_S))
            if of_part.any()
        },
        by_noun=of_words("noun"),
        by_adjective=of_words("adjective"),
    )


def compare_models(
    pairs: ConceptPairs,
    outcomes: Mapping[str, Outcome],
    right: str = DEFAULT_RIGHT,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Difference]:
    """Compare each model with each that stands before it, on the same resamples of images.

    Args and errors are ``measure_vgc``'s; ``outcomes`` are by the name of the model.
    """
    draws_RI = _draw_images(pairs, resamples, seed)
    overlap, shares = pairs.overlap_P, (pairs.overlap_P > 0).astype(np.int64)
    n, groups = int(shares.sum()), len(np.unique(pairs.image_P[shares > 0]))

    def sums(outcome: Outcome, weight: Integers) -> _Sums:
        return _sums(draws_RI, pairs.image_P, weight, _answered(pairs, outcome, right), _found(pairs, outcome))

    def above(first: _Sums, second: _Sums) -> tuple[Estimate, Estimate | None]:
        (own, own_R), (other, other_R) = first, second
        return (
            _interval(_both(own) - _both(other), _both(own_R) - _both(other_R), n, groups),
            _estimate(_kappa(own) - _kappa(other), _kappa(own_R) - _kappa(other_R), n, groups),
        )

    measured = {name: (sums(outcome, overlap), sums(outcome, shares)) for name, outcome in outcomes.items()}
    differences = []
    for before, model in combinations(measured, 2):
        both, kappa = above(measured[model][0], measured[before][0])
        unweighted, _ = above(measured[model][1], measured[before][1])
        differences.append(Difference(model, before, both, unweighted, kappa))
    return differences


_Sums = tuple[Floats, Floats]
"""Weights of (all, answered, found, both, both by chance within images), of all images (5,) and resamples (R, 5)."""


def _sums(draws_RI: Floats, image: Integers, weight: Integers, answered: Bools, located: Bools) -> _Sums:
    """Add up the numerator and denominator of equation 5, and each of its conditions alone."""
    images = draws_RI.shape[1]
    rights = (np.ones_like(answered), answered, located, answered & located)
    sums_I4 = np.stack([np.bincount(image, weight * right, images) for right in rights], axis=1)
    within_I = sums_I4[:, 1] * sums_I4[:, 2] / np.maximum(sums_I4[:, 0], 1)
    sums_I5 = np.column_stack([sums_I4, within_I])
    return sums_I5.sum(0), draws_RI @ sums_I5


def _both(sums: Floats) -> Floats:
    """Return equation 5."""
    with np.errstate(invalid="ignore"):
        return sums[..., 3] / sums[..., 0]


def _excess(sums: Floats, within: bool) -> Floats:
    """Return equation 5 less what is expected by chance, over all pairs or within images."""
    with np.errstate(invalid="ignore"):
        shares = sums / sums[..., :1]
    return shares[..., 3] - (shares[..., 4] if within else shares[..., 1] * shares[..., 2])


def _kappa(sums: Floats) -> Floats:
    """Return Cohen's kappa of two conditions, not a number where neither varies.

    They agree where both hold or neither does: 2 (both - chance) / (answered + found - 2 chance).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        answered, located, both = np.moveaxis(sums[..., 1:4] / sums[..., :1], -1, 0)
        spread = answered + located - 2 * answered * located
        return np.where(spread > 1e-12, 2 * (both - answered * located) / spread, np.nan)


def _agreement(draws_RI: Floats, image: Integers, weight: Integers, answered: Bools, located: Bools) -> Agreement:
    sums_5, sums_R5 = _sums(draws_RI, image, weight, answered, located)
    n, groups = int((weight > 0).sum()), len(np.unique(image[weight > 0]))
    questions, expressions, within = (float(sums_5[part] / sums_5[0]) for part in (1, 2, 4))
    excess, excess_within = (
        _interval(_excess(sums_5, part), _excess(sums_R5, part), n, groups) for part in (False, True)
    )
    return Agreement(
        _interval(_both(sums_5), _both(sums_R5), n, groups, least=0.0),
        int(sums_5[0]),
        questions,
        expressions,
        questions * expressions,
        excess,
        within,
        excess_within,
        _estimate(_kappa(sums_5), _kappa(sums_R5), n, groups),
    )


def _estimate(value: Floats, draws: Floats, n: int, groups: int) -> Estimate | None:
    """Make an estimate, or None where it is NaN or infinite."""
    return _interval(value, draws, n, groups) if np.isfinite(value) else None


def _interval(value: Floats | float, draws: Floats, n: int, groups: int, least: float = -1.0) -> Estimate:
    """Make an estimate with its interval, not below ``least``; resamples without any of its images do not count.

    Of few images it is Student's t on the resamples' spread: quantiles of a product's resamples are off to a side.
    """
    draws, value = draws[np.isfinite(draws)], float(value)
    if not 1 < groups < FEW_IMAGES:
        return Estimate(value, *interval_of(draws, groups), n, groups)
    half = float(stdtrit(groups - 1, (1 + LEVEL) / 2) * draws.std() * np.sqrt(groups / (groups - 1)))
    return Estimate(value, max(value - half, least), min(value + half, 1.0), n, groups)


def _draw_images(pairs: ConceptPairs, resamples: int, seed: int) -> Floats:
    """Say how often each resample draws each image, (R, I); images whose pairs share no concept are never drawn."""
    overlapping = np.unique(pairs.image_P[pairs.overlap_P > 0])
    even = np.full(len(overlapping), 1 / len(overlapping))
    draws_RI = np.zeros((resamples, pairs.images))
    draws_RI[:, overlapping] = np.random.default_rng(seed).multinomial(len(overlapping), even, size=resamples)
    return draws_RI


def _answered(pairs: ConceptPairs, outcome: Outcome, right: str) -> Bools:
    """Say of each pair whether its question is right."""
    if right not in RIGHT:
        raise DataError(f"there is no rule {right!r}", todo=f"choose one of {', '.join(RIGHT)}")
    accuracy = np.asarray(outcome.accuracy, np.float64)
    if accuracy.shape != (pairs.rows[0],) or not ((accuracy >= 0) & (accuracy <= 1)).all():
        raise DataError(f"{accuracy.size:,} accuracies are not one from 0 to 1 for each of {pairs.rows[0]:,} questions")
    answered: Bools = accuracy >= RIGHT[right]
    return answered[pairs.question_P]


def _found(pairs: ConceptPairs, outcome: Outcome) -> Bools:
    """Say of each pair whether its expression is right."""
    located = np.asarray(outcome.located)
    if located.shape != (pairs.rows[1],) or located.dtype != bool:
        raise DataError(f"{located.size:,} verdicts are not a yes or no for each of {pairs.rows[1]:,} expressions")
    return located[pairs.expression_P]


def _most_shared(pairs: ConceptPairs, part: str, most: int) -> Iterator[tuple[str, Integers]]:
    """Yield the lemmas of one part of speech that most pairs share, each with these pairs."""
    counts = np.bincount(pairs.concept_S, minlength=len(pairs.words))
    counts[[other != part for other in pairs.parts]] = 0
    for concept in np.argsort(-counts, kind="stable")[:most]:
        if counts[concept]:
            yield pairs.words[concept], pairs.shared_S[pairs.concept_S == concept]
