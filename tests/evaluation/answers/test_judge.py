"""Official scorers, written apart as their scripts do it, on thousands of answers that try to be read wrongly."""

import random
import re

import numpy as np
import pyarrow as pa
import pytest

from vlmt_cli.evaluation.answers.join import join
from vlmt_cli.evaluation.answers.judge import judge
from vlmt_cli.evaluation.answers.predicted import Predicted
from vlmt_cli.evaluation.answers.rows import Rows, kind_of, right_columns

WORDS = "Yes No no not yes NO Not none there is a the two 2 dont isnt nope know north".split()
MARKS = ["", "", ".", ",", ". ", ", ", "\n", "  ", "-", "!", "'", "\u00e9", "\u732b", "\u00a0", ";"]
ANSWERS = ["yes", "no", "2", "two dogs", "t-shirt", "Yes.", "no,", "isn't", "a dog", "1,000", "1.5"]


def drawn(rng, count):
    """Answers of up to eight words with marks between them; some are among the right ones."""
    made = []
    for _ in range(count):
        parts = [rng.choice(WORDS) + rng.choice([" ", *MARKS]) for _ in range(rng.randint(0, 8))]
        made.append(rng.choice(ANSWERS) if rng.random() < 0.3 else "".join(parts))
    return made


def scored(task, given, form="llava", **right):
    count = len(given)
    table = {
        "example_id": [str(number) for number in range(count)],
        "images": [[f"coco:{number // 5}"] for number in range(count)],
        "text": [f"question {number}" for number in range(count)],
        **right_columns(task, {"length": count, **right}),
    }
    rows = Rows(task, task, "val", kind_of(task), pa.table(table), "memory")
    predicted = Predicted("x", form, pa.array(given, pa.string()), ids=pa.array(table["example_id"]))
    return judge(predicted, rows, join(predicted, rows))


def test_pope_reads_answers_as_its_evaluation_does():
    rng = random.Random(1)
    answers, labels = drawn(rng, 4_000), [rng.choice(["yes", "no"]) for _ in range(4_000)]
    judged = scored("pope", answers, targets=pa.array(labels))
    tp = fp = tn = fn = 0
    for answer, label in zip(answers, labels, strict=True):
        text = answer.split(".")[0] if answer.find(".") != -1 else answer
        words = text.replace(",", "").split(" ")
        says_no = "No" in words or "not" in words or "no" in words
        tp, fp = tp + (not says_no and label == "yes"), fp + (not says_no and label == "no")
        tn, fn = tn + (says_no and label == "no"), fn + (says_no and label == "yes")
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    expected = {"precision": precision, "recall": recall, "F1": 2 * precision * recall / (precision + recall),
                "share of yes": (tp + fp) / 4_000}  # fmt: skip
    assert judged.scores.mean() == pytest.approx((tp + tn) / 4_000, abs=1e-12)
    for name, value in expected.items():
        measure = judged.extra[name]
        assert np.average(measure.scores, weights=measure.weights) == pytest.approx(value, abs=1e-12), name


def test_mme_reads_the_first_letters_and_pairs_questions():
    rng = random.Random(2)
    answers, labels = drawn(rng, 1_000), [rng.choice(["Yes", "No"]) for _ in range(1_000)]
    judged = scored("mme", answers, targets=pa.array(labels))
    right = []
    for answer, label in zip(answers, labels, strict=True):
        text = answer.lower().strip()
        said = text if text in ("yes", "no") else next((each for each in ("yes", "no") if each in text[:4]), "other")
        right.append(said == label.lower())
    assert judged.scores.tolist() == right
    images = [all(right[start : start + 5]) for start in range(0, 1_000, 5)]
    assert judged.extra["both questions of an image"].scores.tolist() == images


def test_gqa_compares_as_it_is_in_its_own_form_and_without_capitals_in_free_text():
    said, right = ["T-shirt", "t-shirt.", "t shirt", " yes "], pa.array(["t-shirt", "t-shirt", "t-shirt", "yes"])
    assert scored("gqa", said, form="gqa", targets=right).scores.tolist() == [0, 0, 0, 0]
    assert scored("gqa", said, targets=right).scores.tolist() == [1, 1, 0, 1]


def test_vqa_is_scored_by_its_own_accuracy():
    said = [["yes"] * 10, ["2"] * 3 + ["two dogs"] * 7, ["one way"] * 10]
    judged = scored("vqa", ["Yes.", "Two", "1 way"], answers=said)
    # min(hits / 3, 1) over the ten sets of nine annotators; where all agree, what is typed counts.
    assert judged.scores.tolist() == pytest.approx([0, 0.9, 0])
    assert judged.extra["always normalised"].scores.tolist() == pytest.approx([1, 0.9, 1])


@pytest.mark.parametrize(
    ("task", "said", "right", "scores"),
    [
        ("nlvr2", ["True", "false.", "Yes", "no", "maybe", None], ["True", "False", "True", "True", "False", "True"],
         [1, 1, 1, 0, 0, 0]),
        ("snli_ve", ["Entailment", "neutral\n", "yes"], ["entailment", "neutral", "contradiction"], [1, 1, 0]),
        ("scienceqa", ["(b)", "B.", "c", None], ["B", "b", "B", "B"], [1, 1, 0, 0]),
    ],
)  # fmt: skip
def test_labels_and_letters(task, said, right, scores):
    if task == "nlvr2":
        rows = Rows(task, task, "dev", kind_of(task), pa.table({
            "example_id": [f"dev-{n}-0-0" for n in range(len(said))], "images": [["nlvr2:a", "nlvr2:b"]] * len(said),
            "text": ["t"] * len(said), **right_columns(task, {"targets": pa.array(right), "length": len(said)}),
        }), "memory")  # fmt: skip
        predicted = Predicted("x", "nlvr2", pa.array(said), ids=rows.table["example_id"].combine_chunks())
        judged = judge(predicted, rows, join(predicted, rows))
        assert judged.said == ("2 answers that are no label, counted as wrong.",)
    else:
        judged = scored(task, said, targets=pa.array(right))
    assert judged.scores.tolist() == scores


def test_boxes_overlap_as_computed_one_by_one():
    rng = np.random.default_rng(4)
    right = np.round(rng.random((3_000, 4)) * 300)
    right[:, 2:] = right[:, :2] + 1 + np.round(rng.random((3_000, 2)) * 200)
    near = right + np.round(rng.normal(0, 25, (3_000, 4)))
    near[::50], near[1::50], near[2::50] = right[::50], right[1::50][:, [2, 3, 0, 1]], 0
    answers = [str([int(side) for side in box]) if number % 40 else "I see no box" for number, box in enumerate(near)]

    def overlap(a, b):
        wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(wide, 0) * max(high, 0)
        areas = [max(box[2] - box[0], 0) * max(box[3] - box[1], 0) for box in (a, b)]
        return 1.0 if list(a) == list(b) else shared / (sum(areas) - shared)

    rows = Rows("refcoco", "refcoco", "testA", "referring", pa.table({
        "example_id": [str(n) for n in range(3_000)], "images": [[f"coco:{n}"] for n in range(3_000)],
        "text": ["t"] * 3_000, **right_columns("refcoco", {"boxes": right, "length": 3_000}),
    }), "memory")  # fmt: skip
    predicted = Predicted("x", "llava", pa.array(answers), ids=rows.table["example_id"].combine_chunks())
    judged = judge(predicted, rows, join(predicted, rows), "pixels")
    expected = [
        0.0 if number % 40 == 0 else overlap(*pair) for number, pair in enumerate(zip(near, right, strict=True))
    ]
    assert np.abs(np.array(judged.columns["iou"].to_pylist()) - expected).max() < 1e-6
    assert judged.scores.tolist() == [iou > 0.5 for iou in expected]
    assert re.search("75 of 3,000 answers have no box and count as wrong", judged.said[0])


@pytest.mark.parametrize(
    ("task", "form", "given", "right", "stricter"),
    [
        ("gqa", "gqa", ["Yes", "yes.", " yes", "no", "yes"], ["yes"] * 5, 3),
        ("gqa", "llava", ["Yes", "yes.", " yes", "no", "yes"], ["yes"] * 5, 0),  # kits' answers are made so before
        ("vqa", "vqa", ["Yes", "yes.", "a yes", "no", "yes"], ["yes"] * 5, 2),  # all annotators say the same
        ("pope", "llava", ["NO", "NOT", "No.", "Yes", "yes"], ["no", "no", "no", "yes", "no"], 2),
    ],
)
def test_what_capitals_and_a_final_period_cost_is_said(task, form, given, right, stricter):
    judged = scored(task, given, form, targets=pa.array(right))
    said = f"{stricter} of 5 answers would score more without capitals, outer blanks and a final period"
    assert any(line.startswith(said) for line in judged.said) == bool(stricter)
    assert judged.scores.sum() == {"gqa": 4 if form == "llava" else 1, "vqa": 1, "pope": 2}[task]


def test_answers_that_are_null_or_empty_are_counted_and_how_they_count_is_said():
    said, right = ["yes", None, " ", "no"], pa.array(["yes", "yes", "no", "no"])
    judged = scored("vqa", said, targets=right)
    assert judged.said[0] == "Warning: 2 of 4 predictions have no answer, and count as wrong."
    assert judged.scores.tolist() == [1, 0, 0, 1]
    judged = scored("pope", said, targets=right)
    assert judged.said[0] == "Warning: 2 of 4 predictions have no answer, and are read as yes, by the benchmark's rule."
    assert "no answer" in scored("mme", said, targets=right).said[0]
    assert not any("no answer" in line for line in scored("gqa", ["yes"] * 4, targets=right).said)
