"""The official metrics, against the same computed one by one as their definitions say."""

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.answers import (
    count_answers,
    normalise_answer,
    normalise_answers,
    trimmed_answers,
    unanimous_answers,
)
from vlmt_cli.tasks.referring.rules import iou, localised
from vlmt_cli.tasks.retrieval import rules as retrieval
from vlmt_cli.tasks.retrieval.rules import fold_weights, folds_of, recall, retrieval_ranks
from vlmt_cli.tasks.scoring import accuracy
from vlmt_cli.tasks.verification import rules as verification
from vlmt_cli.tasks.verification.rules import consistency
from vlmt_cli.tasks.vqa import rules as vqa
from vlmt_cli.tasks.vqa.rules import soft_score, vqa_accuracy


def nine_of_ten(predicted, annotators):
    sets = list(combinations(annotators, len(annotators) - 1))
    return sum(min(sum(said == predicted for said in nine) / 3, 1) for nine in sets) / len(sets)


def columns(questions):
    """The answers and counts of questions with any number of annotators each."""
    said = pa.array([answer for annotators in questions for answer in annotators], pa.string())
    return count_answers(np.array([len(annotators) for annotators in questions]), normalise_answers(said))


def test_vqa_accuracy_is_the_mean_over_all_sets_of_nine():
    rng = np.random.default_rng(0)
    questions = [list(rng.choice(["yes", "no", "Two", "the dog"], 10)) for _ in range(200)]
    predicted = list(rng.choice(["Yes.", "no", "2", "dog", "cat"], 200))
    normal = [[normalise_answer(said) for said in annotators] for annotators in questions]
    expected = [nine_of_ten(normalise_answer(p), annotators) for p, annotators in zip(predicted, normal, strict=True)]
    assert vqa_accuracy(predicted, *columns(questions)) == pytest.approx(expected)
    assert soft_score(predicted, *columns(questions)) == pytest.approx(expected)  # with ten annotators they agree
    assert set(np.round(expected, 6)) == {0, 0.3, 0.6, 0.9, 1}


def official(answer, typed):
    """VQA's rule for an answer and what ten annotators typed: normalised only where they differ."""
    said = [each.replace("\n", " ").replace("\t", " ").strip() for each in [*typed, answer]]
    if len(set(said[:-1])) > 1:
        said = [normalise_answer(each) for each in said]
    return nine_of_ten(said[-1], said[:-1])


UNANIMOUS = ["one way", "1 way", "A cat.", " yes\n", "", "don't", "dont", "Two", "t-shirt", "1,000", "the", "x ."]


def test_what_all_typed_alike_is_compared_as_typed():
    rng = np.random.default_rng(1)
    agreed = [[said] * 10 for said in UNANIMOUS] * len(UNANIMOUS)
    almost = [[said] * 9 + ["\tyes "] for said in UNANIMOUS] * len(UNANIMOUS)
    blanks = [[said, f" {said}\t"] * 5 for said in UNANIMOUS] * len(UNANIMOUS)
    mixed = [list(rng.choice(UNANIMOUS, 10)) for _ in range(300)]
    questions = [*agreed, *almost, *blanks, *mixed]
    predicted = [*np.repeat(UNANIMOUS, len(UNANIMOUS)).tolist() * 3, *rng.choice(UNANIMOUS, 300).tolist()]
    typed = trimmed_answers([answer for annotators in questions for answer in annotators])
    unanimous = unanimous_answers(np.full(len(questions), 10), typed)
    scores = vqa_accuracy(predicted, *columns(questions), unanimous=unanimous)
    assert scores.tolist() == pytest.approx([official(*each) for each in zip(predicted, questions, strict=True)])
    softer = vqa_accuracy(predicted, *columns(questions))
    assert (softer >= scores).all() and (softer > scores).any()


def test_with_other_numbers_of_annotators_the_two_forms_differ():
    questions = [["a cat", "cat", "dog"], ["cat", "cat", "cat", "dog"], ["dog", "dog"]]
    official = [nine_of_ten("cat", [normalise_answer(said) for said in annotators]) for annotators in questions]
    assert vqa_accuracy(["cat"] * 3, *columns(questions)) == pytest.approx(official)
    assert soft_score(["cat"] * 3, *columns(questions)) == pytest.approx([0.6, 0.9, 0])


def test_slices_chunks_and_missing_predictions_are_what_they_are():
    answers, counts = columns([["x"] * 10, ["cat"] * 10, ["t-shirt"] * 2 + ["shirt"] * 8, ["dog"] * 10])
    chunks = [pa.chunked_array([column.slice(1, 1), column.slice(2)]) for column in (answers, counts)]
    predicted = pa.array(["Cat", "t-shirt", None])
    assert vqa_accuracy(predicted, *chunks) == pytest.approx([1, 0.6, 0])
    plain = pa.array([["t-shirt"], ["Cat"]]), pa.array([[10], [10]], pa.list_(pa.int8()))
    assert vqa_accuracy(["t-shirt", "cat"], *plain, normalise=False).tolist() == [1, 0]  # GQA's accuracy


def test_questions_without_answers_are_not_scored():
    answers, counts = pa.array([["cat"], []], pa.list_(pa.string())), pa.array([[10], []], pa.list_(pa.int8()))
    assert vqa.known("vqa", pa.table({"answers": answers})).tolist() == [True, False]
    with pytest.raises(DataError, match="1 of 2 questions have no answers"):
        vqa_accuracy(["cat", "cat"], answers, counts)
    with pytest.raises(DataError, match="1 predictions, 2 answers"):
        soft_score(["cat"], answers, counts)


def test_accuracy_takes_numbers_and_names_but_no_unknown_label():
    assert accuracy(np.array([0, 2, 1]), pa.array([0, 1, 1], pa.int8())).tolist() == [1, 0, 1]
    assert accuracy(["True", None], ["True", "False"]).tolist() == [1, 0]
    labels = pa.array([1, -1, None], pa.int8())
    assert verification.known("snli_ve", pa.table({"label": labels})).tolist() == [True, False, False]
    with pytest.raises(DataError, match="2 of 3 examples have no label"):
        accuracy([1, 1, 1], labels)


def test_consistency_wants_all_pairs_of_a_sentence_right():
    ids = ["dev-850-0-0", "dev-850-1-0", "dev-850-0-1", "dev-85-0-0", "dev-850-1-1"]
    assert consistency(np.array([1.0, 1, 1, 0, 0]), ids).tolist() == [1, 0, 0]
    with pytest.raises(DataError, match="'850' is not an identifier"):
        consistency(np.ones(1), ["850"])


def pixels(a, b):
    """Count the pixels of both boxes, corners included: what the authors' +1 measures."""
    inside = [{(x, y) for x in range(x1, x2 + 1) for y in range(y1, y2 + 1)} for x1, y1, x2, y2 in (a, b)]
    return len(inside[0] & inside[1]) / len(inside[0] | inside[1])


CORNERS = st.tuples(*[st.integers(0, 8)] * 4).map(
    lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)
BOXES = st.lists(st.tuples(CORNERS, CORNERS), min_size=1, max_size=5)


@given(BOXES)
def test_iou_with_one_more_pixel_counts_pixels(pairs):
    a, b = zip(*pairs, strict=True)
    assert iou(a, b, plus_one=True) == pytest.approx([pixels(*pair) for pair in pairs])


@given(BOXES)
def test_iou_counts_unit_squares(pairs):
    a, b = zip(*pairs, strict=True)
    squares = [
        pixels(*((x1, y1, x2 - 1, y2 - 1) for x1, y1, x2, y2 in pair)) if _areas(*pair) else float(pair[0] == pair[1])
        for pair in pairs
    ]
    assert iou(a, b) == pytest.approx(squares)


def _areas(a, b):
    return any((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b))


@given(st.lists(st.floats(0, 1000), min_size=8, max_size=8), st.floats(0.01, 100), st.floats(-500, 500), st.booleans())
def test_iou_is_a_symmetric_share_that_neither_scale_nor_place_changes(corners, scale, shift, plus_one):
    a, b = np.sort(np.reshape(corners, (2, 2, 2)), axis=1).reshape(2, 1, 4)
    share = iou(a, b, plus_one)
    assert 0 <= share[0] <= 1
    assert iou(b, a, plus_one) == share
    assert iou(a, a, plus_one) == 1
    assume(min((a[:, 2:] - a[:, :2]).min(), (b[:, 2:] - b[:, :2]).min()) > 1e-3)
    assert iou(a * scale + shift, b * scale + shift) == pytest.approx(iou(a, b), abs=1e-6)


def test_localised_is_more_than_half_and_boxes_may_be_columns():
    right = pa.array([[0, 0, 10, 10]] * 3, pa.list_(pa.float32(), 4))
    found = np.array([[0, 0, 10, 5], [0, 0, 10, 5.1], [20, 20, 30, 30]])
    assert localised(found, right).tolist() == [0, 1, 0]
    with pytest.raises(DataError, match="1 of 1 examples have no box"):
        iou(found[:1], pa.array([None], pa.list_(pa.float32(), 4)))
    with pytest.raises(DataError, match="box 1 is"):
        iou([[0, 0, 1, 1], [0, 0, np.nan, 1]], found[:2])


def naive_ranks(scores, image_of, folds, optimistic):
    """Rank by sorting: of equal scores the right one comes last, or first."""
    captions, images = scores.shape
    sign = -1 if optimistic else 1
    image, fold_of = [], [folds[j] for j in image_of]
    for c, right in enumerate(image_of):
        inside = [j for j in range(images) if folds[j] == fold_of[c]]
        rivals = sorted((-scores[c, j], sign * (j == right), j) for j in inside)
        image.append(1 + [j for _, _, j in rivals].index(right))
    caption = []
    for j in range(images):
        inside = [c for c in range(captions) if fold_of[c] == folds[j]]
        own = [c for c in inside if image_of[c] == j]
        best = max(own, key=lambda c: scores[c, j])
        rivals = sorted((-scores[c, j], sign * (c == best), c) for c in inside if c == best or image_of[c] != j)
        caption.append(1 + [c for _, _, c in rivals].index(best))
    return image, caption


@pytest.mark.parametrize("ties", ["pessimistic", "optimistic"])
@pytest.mark.parametrize("folds", [None, [0, 1, 0, 1, 1, 0]])
@pytest.mark.parametrize("levels", [3, 1000])
def test_ranks_are_those_of_sorting(ties, folds, levels, monkeypatch):
    monkeypatch.setattr(retrieval, "_AT_ONCE", 30)  # a few captions at once
    rng = np.random.default_rng(levels)
    image_of = rng.permutation(np.repeat(np.arange(6), [5, 5, 6, 1, 2, 7]))
    scores = rng.integers(0, levels, (len(image_of), 6)).astype("f4")
    ranks = retrieval_ranks(scores, image_of, None if folds is None else np.array(folds), ties)
    image, caption = naive_ranks(scores, image_of, folds or [0] * 6, ties == "optimistic")
    assert ranks.image_C.tolist() == image
    assert ranks.caption_I.tolist() == caption
    assert recall(ranks.image_C, 2).mean() == np.mean([rank <= 2 for rank in image])


def test_a_model_with_one_score_for_all_is_last():
    ranks = retrieval_ranks(np.zeros((10, 5)), np.repeat(np.arange(5), 2))
    assert set(ranks.image_C) == {5}
    assert set(ranks.caption_I) == {9}  # its other caption is not a rival


def test_folds_are_averaged_whatever_their_sizes():
    assert np.bincount(folds_of(5000)).tolist() == [1000] * 5
    scores, folds = np.array([1.0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1])
    weights = fold_weights(folds)
    assert (weights * scores).sum() / weights.sum() == pytest.approx((1 / 3 + 1) / 2)
    assert weights.sum() == pytest.approx(5)
    with pytest.raises(DataError, match="2,500 images are not a whole number of folds"):
        folds_of(2500)


@pytest.mark.parametrize(
    ("scores", "image_of", "message"),
    [
        ([[1, np.nan], [0, 1]], [0, 1], "caption 0 has a score that is NaN or infinite"),
        ([[1, 0], [0, 1]], [0, 2], "of images 0 to 2, of 2 there are"),
        ([[1, 0], [0, 1]], [0, 0], "1 of 2 images have no caption"),
        ([[1, 0], [0, 1]], [0], "2 rows, 1 captions"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(scores, image_of, message):
    with pytest.raises(DataError, match=message):
        retrieval_ranks(np.array(scores, float), np.array(image_of))
