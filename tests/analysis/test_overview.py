"""A score on images that training saw is marked on the page as it is in the terminal."""

import numpy as np

from vlmt_cli.analysis.overview import models_section, scores_section, seen_section
from vlmt_cli.evaluation.bootstrap import estimate
from vlmt_cli.evaluation.contamination import contrast
from vlmt_cli.evaluation.scores import TaskScore, make_scores, write_scores


def scores(seen, split="test", examples=400):
    """Scores of examples, an image each, half of them right, of which training saw the first."""
    right = (np.arange(examples) % 2).astype(float)
    task = TaskScore(
        metric="VQA accuracy",
        split=split,
        score=estimate(right),
        contamination=contrast(right, np.arange(examples) < seen),
    )
    made = {"split_hash": "ab" * 32, "recipe_hash": None, "leaks_allowed": bool(seen)}
    return make_scores("at", {"vqa": task}, resamples=9, resampled="image", seed=0, **made)


def test_a_leaked_score_is_marked_on_the_page():
    leaked, clean, validated = (
        scores_section("Tasks", made, {"vqa": 0.3}) for made in (scores(100), scores(0), scores(100, "val"))
    )
    assert (
        "50.0*<" in leaked.body and "hatched" in leaked.body and "* Training saw some of these images" in leaked.intro
    )
    assert "50.0<" in clean.body and "hatched" not in clean.body and "Training saw none of these images" in clean.intro
    assert "50.0*†<" in validated.body and "† On validation images" in validated.intro


def test_a_validation_score_stands_beside_no_test_score(tmp_path):
    for name, made in {"a": scores(0), "b": scores(100, "val")}.items():
        write_scores(tmp_path / name / "scores.json", made)
    body = models_section("Models", "", {name: [tmp_path / name] for name in "ab"}).body
    assert "<th>a</th><th>b</th>" in body and "<td>VQA, val</td><td>-</td><td>50.0*† (" in body
    many = models_section("Models", "", {name: [tmp_path / "b"] for name in "vwxyz"} | {"a": [tmp_path / "a"]}).body
    assert "<th>VQA, test</th><th>VQA, val</th>" in many and "<td>z</td><td>-</td><td>50.0*† (" in many


def test_seen_and_unseen_images_stand_beside_each_other():
    body = seen_section({"a": scores(100), "b": scores(0)}).body
    assert ") of 100</td>" in body and ") of 300</td>" in body and "<td>b</td>" not in body


def test_intervals_over_few_images_say_what_they_cover():
    few = scores(0, examples=19)
    pages = [scores_section("Tasks", few, {}), seen_section({"a": scores(10)})]
    assert all("Intervals over fewer than 20 images" in page.intro for page in pages)
    assert "fewer than 20" not in scores_section("Tasks", scores(0), {}).intro
