"""Equation 5 against a plain loop over all pairs, and what must hold of it for any questions and expressions."""

from dataclasses import astuple
from itertools import product
from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmt_cli.analysis.consistency.kinds import KINDS
from vlmt_cli.analysis.consistency.pairs import pair_up
from vlmt_cli.analysis.consistency.vgc import RIGHT, Outcome, compare_models, measure_vgc
from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.bootstrap import estimate

PARTS = {"dog": "noun", "cat": "noun", "left": "noun", "red": "adjective", "large": "adjective"}
CONCEPTS = st.sets(st.sampled_from(sorted(PARTS))).map(lambda words: {word: PARTS[word] for word in words})
QUESTION = st.tuples(st.integers(0, 3), CONCEPTS, st.sampled_from([0, 0.3, 0.6, 0.9, 1]))
EXPRESSION = st.tuples(st.integers(0, 3), CONCEPTS, st.booleans())
WORLDS = st.tuples(st.lists(QUESTION, max_size=8), st.lists(EXPRESSION, max_size=8)).filter(
    lambda world: any(q[0] == e[0] and q[1].keys() & e[1].keys() for q, e in product(*world))
)


def columns(world):
    """Make the pairs and the outcome of a world of (image, concepts, accuracy) and (image, concepts, located)."""
    questions, expressions = world
    pairs = pair_up(
        [f"coco:{image}" for image, *_ in questions],
        [concepts for _, concepts, _ in questions],
        [f"coco:{image}" for image, *_ in expressions],
        [concepts for _, concepts, _ in expressions],
    )
    return pairs, Outcome(np.array([q[2] for q in questions]), np.array([e[2] for e in expressions], bool))


def of(world, **options):
    return measure_vgc(*columns(world), **options)


def right_enough(accuracy):
    return accuracy >= 0.5


def brute_force(world, right=right_enough, weight=len):
    """Return equation 5, the weighted accuracies, and the share of weight where both are right or both wrong."""
    total = both = answered = found = same = 0
    for (image, concepts, accuracy), (other, said, located) in product(*world):
        if image == other:
            d = weight({word for word in concepts if word in said})
            total += d
            both += d if right(accuracy) and located else 0
            answered += d if right(accuracy) else 0
            found += d if located else 0
            same += d if right(accuracy) == located else 0
    return (both / total, answered / total, found / total, same / total) if total else None


def check(agreement, expected):
    both, answered, found, same = expected
    assert [agreement.both.value, agreement.answered, agreement.found] == pytest.approx([both, answered, found])
    assert agreement.chance == pytest.approx(answered * found)
    by_chance = answered * found + (1 - answered) * (1 - found)
    if by_chance < 1 - 1e-9:
        assert agreement.kappa.value == pytest.approx((same - by_chance) / (1 - by_chance))
    else:
        assert agreement.kappa is None


@given(WORLDS)
@settings(deadline=None, max_examples=60)
def test_equation_5_and_all_its_parts_against_a_loop_over_pairs(world):
    result = of(world)
    check(result.weighted, brute_force(world))
    check(result.unweighted, brute_force(world, weight=bool))
    check(result.by_right["> 0"], brute_force(world, lambda accuracy: accuracy > 0))
    check(result.by_right["= 1"], brute_force(world, lambda accuracy: accuracy == 1))
    shown = {q[0] for q, e in product(*world) if q[0] == e[0] and q[1].keys() & e[1].keys()}
    compared = [[text for text in texts if text[0] in shown] for texts in world]
    for d, agreement in result.by_overlap.items():
        check(agreement, brute_force(compared, weight=lambda words, d=d: len(words) == d))
    for part, agreement in result.by_part.items():
        check(agreement, brute_force(world, weight=lambda words, part=part: sum(PARTS[w] == part for w in words)))
    for kind, agreement in result.by_kind.items():
        check(agreement, brute_force(world, weight=lambda words, kind=kind: len(set(words) & KINDS[kind])))
    assert set(result.by_kind) <= {"colour", "size", "position"}
    for word, agreement in (result.by_noun | result.by_adjective).items():
        check(agreement, brute_force(world, weight=lambda words, word=word: word in words))
    assert all(PARTS[word] == "noun" for word in result.by_noun)

    alike = [(q, e) for q, e in product(*world) if q[0] == e[0]]
    assert result.pairs == len(alike)
    assert result.overlapping == sum(bool(q[1].keys() & e[1].keys()) for q, e in alike)
    assert result.weighted.weight == sum(len(q[1].keys() & e[1].keys()) for q, e in alike)
    both = {q[0] for q, _ in alike}
    assert result.images == len(both)
    assert result.questions == sum(q[0] in both for q in world[0])
    assert result.expressions == sum(e[0] in both for e in world[1])


@given(WORLDS)
@settings(deadline=None, max_examples=60)
def test_one_when_all_is_right(world):
    questions, expressions = world
    result = of(([(i, c, 1) for i, c, _ in questions], [(i, c, True) for i, c, _ in expressions]))
    for agreement in (result.weighted, result.unweighted, *result.by_right.values(), *result.by_overlap.values()):
        assert (agreement.both.value, agreement.both.high) == (1, 1)
        assert agreement.kappa is None


@given(WORLDS, st.booleans())
@settings(deadline=None, max_examples=60)
def test_zero_when_every_overlapping_pair_has_a_wrong_side(world, questions_are_wrong):
    questions, expressions = world
    if questions_are_wrong:  # those that share anything with anyone
        questions = [(i, c, 0 if c else a) for i, c, a in questions]
    else:
        expressions = [(i, c, located and not c) for i, c, located in expressions]
    result = of((questions, expressions))
    for both in (result.weighted.both, result.unweighted.both):
        assert (both.value, both.low) == (0, 0)


@given(WORLDS, st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.booleans()), max_size=6))
@settings(deadline=None, max_examples=60)
def test_pairs_that_share_nothing_change_nothing(world, others):
    questions, expressions = world
    more = (
        [*questions, *((i, {"sky": "noun"}, float(right)) for i, is_question, right in others if is_question)],
        [*expressions, *((i, {"sea": "noun"}, right) for i, is_question, right in others if not is_question)],
    )
    before, after = of(world), of(more)
    for name in ("weighted", "unweighted", "by_right", "by_part", "by_noun", "by_adjective", "overlapping"):
        assert getattr(before, name) == getattr(after, name)
    assert after.pairs >= before.pairs


def many(rng, images=300, skill=0.6, together=False):
    """A world of many images; the two skills are independent, or are right about the same images."""
    words = sorted(PARTS)
    easy = rng.random(images) < skill

    def right(image):
        return easy[image] if together else rng.random() < skill

    def texts(count):
        for image in rng.integers(images, size=count):
            yield image, {word: PARTS[word] for word in rng.choice(words, rng.integers(4), replace=False)}

    return (
        [(image, concepts, float(right(image))) for image, concepts in texts(4 * images)],
        [(image, concepts, bool(right(image))) for image, concepts in texts(9 * images)],
    )


def test_kappa_is_zero_for_independent_skills_and_one_for_skills_that_fail_together():
    independent = measure_vgc(*columns(many(np.random.default_rng(1))))
    assert independent.weighted.kappa.low < 0 < independent.weighted.kappa.high
    assert independent.weighted.both.low < independent.weighted.chance < independent.weighted.both.high
    together = measure_vgc(*columns(many(np.random.default_rng(1), together=True)))
    assert together.weighted.kappa.value == pytest.approx(1)
    # The control shows that this is nothing that shared concepts bring: it holds without them.
    assert together.by_overlap[0].kappa.value == pytest.approx(1)


def test_intervals_are_those_of_the_mean_over_pairs_by_resampled_images():
    pairs, outcome = columns(many(np.random.default_rng(2)))
    ours = measure_vgc(pairs, outcome).weighted.both
    right = (outcome.accuracy[pairs.question_P] >= 0.5) & outcome.located[pairs.expression_P]
    theirs = estimate(right.astype(float), pairs.image_P, pairs.overlap_P, resamples=4000, seed=3)
    assert ours.value == pytest.approx(theirs.value)
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=0.15 * (theirs.high - theirs.low))
    assert ours.groups == theirs.groups


def test_models_are_compared_on_the_same_images():
    rng = np.random.default_rng(4)
    pairs, one = columns(many(rng))
    other = Outcome(one.accuracy, one.located | (rng.random(len(one.located)) < 0.15))
    same, better, worse = compare_models(pairs, {"ST": one, "ST again": one, "AT": other})
    assert (same.ours, same.theirs) == ("ST again", "ST")
    assert astuple(same.kappa)[:3] == (0, 0, 0)
    assert same.weighted.value == 0 and 0 < same.weighted.high == -same.weighted.low < 0.01
    assert (better.ours, better.theirs, worse.ours, worse.theirs) == ("AT", "ST", "AT", "ST again")
    values = [measure_vgc(pairs, outcome).weighted.both.value for outcome in (one, other)]
    assert better.weighted.value == pytest.approx(values[1] - values[0])
    # Far from zero, and far narrower than if the two were drawn apart.
    assert 0 < better.weighted.low < better.weighted.high < 0.2
    alone = measure_vgc(pairs, one).weighted.both
    assert better.weighted.high - better.weighted.low < 0.7 * (alone.high - alone.low)


def test_when_a_question_counts_as_right():
    world = [(0, {"dog": "noun"}, accuracy) for accuracy in (0, 0.3, 0.5, 0.9, 1 - 1e-9)], [(0, {"dog": "noun"}, True)]
    result = of(world)
    assert {name: agreement.both.value for name, agreement in result.by_right.items()} == {
        ">= 0.5": 0.6,
        "> 0": 0.8,
        "= 1": 0.2,
    }
    assert of(world, right="> 0").weighted == result.by_right["> 0"]
    assert result.right == ">= 0.5" in RIGHT


def test_a_lemma_is_shared_whatever_its_part_of_speech_and_has_the_more_frequent_one():
    world = (
        [(0, {"left": "noun"}, 1.0), (0, {"left": "adjective"}, 1.0)],
        [(0, {"left": "adjective"}, True)],
    )
    result = of(world)
    assert result.overlapping == 2
    assert list(result.by_part) == ["adjective"]
    assert list(result.by_adjective) == ["left"]


def test_bad_input_is_refused():
    dog = {"dog": "noun"}
    with pytest.raises(DataError, match="no image has both"):
        pair_up(["coco:1"], [dog], ["coco:2"], [dog])
    with pytest.raises(DataError, match="no image has both"):
        pair_up([], [], ["coco:2"], [dog])
    with pytest.raises(DataError, match="shares a noun or adjective"):
        pair_up(["coco:1"], [dog], ["coco:1"], [{"cat": "noun"}])
    with pytest.raises(DataError, match="as many images as texts"):
        pair_up(["coco:1"], [dog, dog], ["coco:1"], [dog])
    pairs = pair_up(["coco:1"], [dog], ["coco:1", "coco:1"], [dog, dog])
    yes = np.array([True, False])
    for accuracy in ([1.1], [-0.1], [nan], [1, 1], []):
        with pytest.raises(DataError, match="accuracies are not one from 0 to 1 for each of 1 questions"):
            measure_vgc(pairs, Outcome(np.array(accuracy), yes))
    for located in ([True], [0.5, 0.7]):
        with pytest.raises(DataError, match="not a yes or no for each of 2 expressions"):
            measure_vgc(pairs, Outcome(np.array([1.0]), np.array(located)))
    with pytest.raises(DataError, match=r"no rule '>= 0.7'; choose one of >= 0.5, > 0, = 1"):
        measure_vgc(pairs, Outcome(np.array([1.0]), yes), right=">= 0.7")


def test_chance_within_images_leaves_out_what_makes_an_image_hard():
    dog = {"dog": "noun"}
    questions = [(0, dog, 1), (0, dog, 1), (1, dog, 0), (1, dog, 1)]
    expressions = [(0, dog, True), (0, dog, True), (1, dog, False), (1, dog, True)]
    weighted = of((questions, expressions)).weighted
    assert weighted.both.value == weighted.chance_within == pytest.approx((4 + 1) / 8)
    assert weighted.chance == pytest.approx(0.75**2)
    assert weighted.excess.value == pytest.approx(5 / 8 - 0.75**2) and weighted.excess_within.value == 0
