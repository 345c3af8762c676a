"""Multi-task visual grounding consistency, MT-VGC (sections 5 and 8.8).

Does a model that answers "what color is the largest dog?" also find the "largest dog"? Each question q about an image
is paired with each referring expression r for that image; a pair counts as often as the two share a visual concept, and
is right when both are:

              sum over images i, questions j, expressions k of  d(q_j, r_k) [q_j is answered and r_k is found]
    MT-VGC = -------------------------------------------------------------------------------------------------    (5)
              sum over images i, questions j, expressions k of  d(q_j, r_k)

where d is the number of distinct nouns and adjectives that the two texts share.

Intervals are the jackknife's over images, each left out in turn. ``benchmarks/coverage.py`` measures what they cover.

Shapes: P pairs, S concepts shared by a pair, I images; see ``pairs``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from vlmt_cli.analysis.consistency.kinds import KINDS
from vlmt_cli.analysis.consistency.pairs import ConceptPairs, Integers
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.evaluation.bootstrap import LEVEL, Estimate, share_interval

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
FEWEST_IMAGES = 20
COVERAGE = (
    f"Intervals over fewer than {FEWEST_IMAGES} images are not exact: over 8 to 19 they cover 94 to 100%; those of"
    " differences in kappa 70 to 97%."
)
"""What ``benchmarks/coverage.py`` measures."""

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
        by_kind: the same for ``kinds.KINDS``, colours, sizes and positions.
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
    by_kind: dict[str, Agreement]
    by_noun: dict[str, Agreement]
    by_adjective: dict[str, Agreement]


@dataclass(frozen=True)
class Difference:
    """By how much one model is above another on the same pairs; the same images are left out for both."""

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
) -> Consistency:
    """Measure how consistent one model is.

    Args:
        pairs: from ``pairs.pair_up``.
        outcome: for the same questions and expressions.
        right: when a question counts as answered, a key of ``RIGHT``.
        words: how many nouns and how many adjectives to look at one by one.

    Raises:
        DataError: the outcome is not of these questions and expressions, or no accuracy.
    """
    answered, located = _answered(pairs, outcome, right), _found(pairs, outcome)
    overlap = pairs.overlap_P
    shares = (overlap > 0).astype(np.int64)

    def agreement(weight: Integers, answered: Bools, which: Integers | slice = slice(None)) -> Agreement:
        return agreement_of(pairs.image_P[which], weight[which], answered[which], located[which])

    def of_words(part: str) -> dict[str, Agreement]:
        return {word: agreement(shares, answered, which) for word, which in _most_shared(pairs, part, words)}

    compared = np.isin(pairs.image_P, pairs.image_P[shares > 0])
    noun_S = np.array([part == "noun" for part in pairs.parts])[pairs.concept_S]
    kinds_S = {kind: np.isin(pairs.words, list(words))[pairs.concept_S] for kind, words in KINDS.items()}

    def of_kinds(members: Mapping[str, Bools]) -> dict[str, Agreement]:
        return {
            name: agreement(np.bincount(pairs.shared_S[member_S], minlength=len(pairs)), answered)
            for name, member_S in members.items()
            if member_S.any()
        }

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
        by_part=of_kinds({"noun": noun_S, "adjective": ~noun_S}),
        by_kind=of_kinds(kinds_S),
        by_noun=of_words("noun"),
        by_adjective=of_words("adjective"),
    )


def compare_models(
    pairs: ConceptPairs, outcomes: Mapping[str, Outcome], right: str = DEFAULT_RIGHT
) -> list[Difference]:
    """Compare each model with each that stands before it.

    Args and errors are ``measure_vgc``'s; ``outcomes`` are by the name of the model.
    """
    overlap, shares = pairs.overlap_P, (pairs.overlap_P > 0).astype(np.int64)
    n = int(shares.sum())

    def sums(outcome: Outcome, weight: Integers) -> Floats:
        return _sums(pairs.image_P, weight, _answered(pairs, outcome, right), _found(pairs, outcome))

    measured = {name: (sums(outcome, overlap), sums(outcome, shares)) for name, outcome in outcomes.items()}
    differences = []
    for before, model in combinations(measured, 2):
        (weighted, unweighted), others = measured[model], measured[before]
        kappa = float(_kappa(weighted.sum(0)) - _kappa(others[0].sum(0)))
        error = _standard_error(lambda ours, theirs: _kappa(ours) - _kappa(theirs), weighted, others[0])
        differences.append(
            Difference(
                model,
                before,
                _above(weighted, others[0], n),
                _above(unweighted, others[1], n),
                _around(kappa, error, n, len(weighted)) if np.isfinite(kappa) else None,
            )
        )
    return differences


def _above(ours_I5: Floats, theirs_I5: Floats, n: int) -> Estimate:
    """Estimate by how much equation 5 of one model is above that of another."""
    value = float(_both(ours_I5.sum(0)) - _both(theirs_I5.sum(0)))
    parts = _with_made_up(ours_I5, n), _with_made_up(theirs_I5, n, swapped=True)
    error = _standard_error(lambda ours, theirs: _both(ours) - _both(theirs), *parts)
    return _around(value, error, n, len(ours_I5))


def _sums(image: Integers, weight: Integers, answered: Bools, located: Bools) -> Floats:
    """Add up the numerator and denominator of equation 5, and each of its conditions alone, in each image.

    Returns:
        (I, 5), of images that have any weight: the weight of all pairs, of those answered, found, both, and both by
        chance within the image.
    """
    rights = (np.ones_like(answered), answered, located, answered & located)
    sums_I4 = np.stack([np.bincount(image, weight * right) for right in rights], axis=1)
    sums_I4 = sums_I4[sums_I4[:, 0] > 0]
    return np.column_stack([sums_I4, sums_I4[:, 1] * sums_I4[:, 2] / sums_I4[:, 0]])


def _with_made_up(sums_I5: Floats, n: int, swapped: bool = False) -> Floats:
    """Add two images of two pairs of the usual weight: skills go together in one, and exclude each other in the other.

    They are for the standard error alone. As the four trials that Agresti and Coull add to a share, they keep it away
    from zero where nearly all pairs, or nearly none, are right. ``swapped`` makes two models differ on both images.
    """
    made_up = np.array([[2, 1, 1, 1, 0.5], [2, 1, 1, 0, 0.5]])
    return np.concatenate([sums_I5, sums_I5[:, 0].sum() / n * (made_up[::-1] if swapped else made_up)])


def _standard_error(values: Callable[..., Floats], *sums_I5: Floats) -> float:
    """Return the jackknife's standard error of a function of sums over images, each left out in turn."""
    with np.errstate(invalid="ignore", divide="ignore"):
        left = values(*(sums.sum(0) - sums for sums in sums_I5))
    left = left[np.isfinite(left)]
    return float(np.sqrt((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum())) if len(left) else 0.0


def _around(value: float, error: float, n: int, groups: int) -> Estimate:
    """Make an estimate with the interval of Student's t, from -1 to 1."""
    half = float(stdtrit(groups - 1, (1 + LEVEL) / 2)) * error if groups > 1 else 2.0
    return Estimate(value, max(value - half, -1.0), min(value + half, 1.0), n, groups)


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


def agreement_of(image: Integers, weight: Integers, answered: Bools, located: Bools) -> Agreement:
    """Measure how often both sides of a pair are right.

    Args:
        image, weight, answered, located: of P pairs, each (P,): the image's number, how often the pair counts, and
            whether its question is answered and its expression found.
    """
    sums_I5 = _sums(image, weight, answered, located)
    sums_5, groups, n = sums_I5.sum(0), len(sums_I5), int((weight > 0).sum())
    both, questions, expressions, within = (float(sums_5[part] / sums_5[0]) for part in (3, 1, 2, 4))
    more_I5 = _with_made_up(sums_I5, n)
    # By chance it may be less than if the pairs of an image were independent.
    variance = max(both * (1 - both) / n, _standard_error(_both, sums_I5) ** 2)

    def estimate(statistic: Callable[[Floats], Floats]) -> Estimate:
        # Among the made-up pairs a pair counts a little less.
        return _around(float(statistic(sums_5)), (1 + 4 / n) * _standard_error(statistic, more_I5), n, groups)

    return Agreement(
        Estimate(both, *share_interval(both, variance, groups), n, groups),
        int(sums_5[0]),
        questions,
        expressions,
        questions * expressions,
        estimate(lambda sums: _excess(sums, within=False)),
        within,
        estimate(lambda sums: _excess(sums, within=True)),
        estimate(_kappa) if np.isfinite(_kappa(sums_5)) else None,
    )


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
