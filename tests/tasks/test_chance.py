"""What a guess scores, against counting by hand."""

import numpy as np
import pyarrow as pa
import pytest

from vlmt_cli.tasks.examples import Examples, Lists
from vlmt_cli.tasks.groups import rules_of
from vlmt_cli.tasks.text import Tokens


def chance(train, test, boxes_of=None):
    return rules_of(test.task).chance(train, test, boxes_of)


def examples(task, count, columns, names=("coco:1", "coco:2", "coco:3")):
    return Examples(
        task,
        "test",
        pa.array(map(str, range(count)), pa.string()),
        np.arange(count),
        Tokens(np.zeros(count, np.int32), np.arange(count + 1), 0),
        np.array(names, object),
        np.zeros(count, np.int32),
        np.arange(count + 1),
        columns,
    )


def answers(*questions):
    """Each question's labels and soft scores."""
    labels = np.array([label for one in questions for label in one], np.int64)
    scores = np.array([score for one in questions for score in one.values()], np.float32)
    offsets = np.cumsum([0, *map(len, questions)])
    return {"labels": Lists(labels, offsets), "scores": Lists(scores, offsets)}


def test_the_most_frequent_answer():
    train = examples("vqa", 3, answers({4: 1.0}, {2: 0.3}, {4: 0.6, 2: 0.9}))  # answer 4: 1.6, answer 2: 1.2
    test = examples("vqa", 4, answers({4: 1.0}, {2: 1.0}, {}, {4: 0.3, 1: 1.0}))
    assert chance(train, test) == pytest.approx((1.0 + 0.3) / 4)


def test_the_most_frequent_label_any_image_any_candidate():
    train = examples("snli_ve", 4, {"labels": np.array([2, 2, 0, -1])})
    assert chance(train, examples("snli_ve", 4, {"labels": np.array([2, 0, 1, 2])})) == 0.5
    assert chance(train, examples("coco", 2, {})) == pytest.approx(1 / 3)
    candidates = Lists(np.zeros((6, 4), np.float32), np.array([0, 4, 6]))
    assert chance(train, examples("visual7w", 2, {"candidates": candidates})) == (1 / 4 + 1 / 2) / 2


def test_any_region_that_overlaps_the_right_box():
    """Given boxes are among them where they are shown, as with a grid's cells."""
    right = np.array([[0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    given = Lists(np.array([[0, 0, 10, 10], [20, 0, 30, 9]], np.float32), np.array([0, 2, 2]))
    regions = np.array([[0, 0, 10, 9], [0, 0, 10, 5], [0, 0, 4, 4], [50, 50, 60, 60]], np.float32)
    for shown, expected in ((False, 1 / 4), (True, (2 / 6 + 1 / 4) / 2)):
        test = examples("refcoco", 2, {"box": right, "candidates": given, "given": np.full(2, shown)})
        # An IoU of exactly one half is not above it.
        assert chance(None, test, lambda image: regions) == pytest.approx(expected)
