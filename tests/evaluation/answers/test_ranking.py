"""A run's own ranks score as the matrix that they come from does: all images, folds, a shortlist, or the first fold."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.answers.score import Asked, score_files
from vlmt_cli.tasks.retrieval import rules

CAPTIONS, IMAGES = 24, 12


@pytest.fixture
def table(tmp_path):
    made = pa.table({"example_id": [str(n) for n in range(CAPTIONS)], "text": ["a dog"] * CAPTIONS,
                     "images": [[f"coco:{n // 2 + 1}"] for n in range(CAPTIONS)]})  # fmt: skip
    (tmp_path / "examples" / "coco").mkdir(parents=True)
    pq.write_table(made, tmp_path / "examples" / "coco" / "test.parquet")
    return made


def own(folder, judged, rows=None):
    made = pa.table(dict(judged.columns))
    order = np.random.default_rng(0).permutation(len(made)) if rows is None else rows
    pq.write_table(made.take(pa.array(order)), folder / "coco-test.parquet")
    return folder / "coco-test.parquet"


def scored(path, folder):
    [each] = score_files([path], Asked("coco:test", data=folder, resamples=50))
    return each.report


@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.parametrize("shortlist", [False, True])
def test_ranks_score_as_their_matrix_does(table, tmp_path, monkeypatch, folds, shortlist):
    monkeypatch.setattr(rules, "FOLDED", IMAGES if folds else 5000)
    monkeypatch.setattr(rules, "FOLD", 3)
    scores = np.random.default_rng(1).random((CAPTIONS, IMAGES)).astype(np.float32)
    given = {"scores_CI": scores} | ({"shortlist": {"k": 4}, "fold_CI": scores[:6, :3]} if shortlist else {})
    judged = rules.judge("coco", "test", table, given)
    report = scored(own(tmp_path, judged), tmp_path)
    assert report.task.score.value == judged.scores.mean() and report.task.score.n == len(judged.scores)
    expected = {name.replace("shortlist 4", "shortlist"): value for name, value in judged.extra.items()}
    assert report.task.extra.keys() == expected.keys()
    assert len(expected) == 6 + 7 * folds + 2 * (folds and not shortlist)
    for name, value in report.task.extra.items():
        measure = expected[name]
        mean = np.average(measure.scores, weights=measure.weights) if isinstance(measure, rules.Measure) else measure
        assert getattr(value, "value", value) == pytest.approx(mean), name
    assert (report.join.joined, report.join.missing, report.form) == (CAPTIONS, 0, "vlmt")


def test_ranks_of_a_part_say_so_and_those_of_others_are_refused(table, tmp_path, monkeypatch):
    judged = rules.judge("coco", "test", table.slice(0, 6), {"scores_CI": np.eye(6, 3, dtype=np.float32)})
    report = scored(own(tmp_path, judged), tmp_path)
    assert "Ranked among the 3 images of the file alone" in " ".join(report.reading) and report.join.missing == 18
    monkeypatch.setattr(rules, "FOLDED", IMAGES)
    monkeypatch.setattr(rules, "FOLD", 3)
    report = scored(own(tmp_path, judged), tmp_path)
    assert report.reading == ("Recall of the first fold of 1,000 images (1k).",) and report.join.missing == 0
    other = table.set_column(0, "example_id", pa.array([f"x{n}" for n in range(CAPTIONS)]))
    judged = rules.judge("coco", "test", other, {"scores_CI": np.zeros((CAPTIONS, IMAGES), np.float32)})
    with pytest.raises(DataError, match="has 24 of 24 captions that are not in coco:test"):
        scored(own(tmp_path, judged), tmp_path)
    other = table.set_column(2, "images", pa.array([["coco:9"]] * CAPTIONS))
    judged = rules.judge("coco", "test", other, {"scores_CI": np.zeros((CAPTIONS, 1), np.float32)})
    with pytest.raises(DataError, match="has captions of other images than coco:test"):
        scored(own(tmp_path, judged), tmp_path)
