"""A score on images that training saw is marked on the page as it is in the terminal."""

import msgspec
import numpy as np
from analysis.handmade_runs import make_recipe, write_run

from vlmt_cli.analysis.consistency.pairs import pair_up
from vlmt_cli.analysis.consistency.report import TakenWeights
from vlmt_cli.analysis.consistency.vgc import Outcome, measure_vgc
from vlmt_cli.analysis.overview import (
    consistency_section,
    measured_before,
    models_section,
    scores_section,
    seen_section,
)
from vlmt_cli.analysis.run_report import RunReport, _add_consistency
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
    assert all("95% intervals over fewer than 20 images" in page.intro for page in pages)
    assert "fewer than 20" not in scores_section("Tasks", scores(0), {}).intro


def test_consistency_stands_beside_chance_and_its_control(tmp_path):
    """Each of 40 images has a question and two expressions, of which the first shares its word; both skills are of the
    same images, so that they go together over all pairs and not within an image."""
    questions, expressions = [f"coco:{i}" for i in range(40)], [f"coco:{i // 2}" for i in range(80)]
    words = [[{"dog": "noun"}, {"cat": "noun"}][i % 2] for i in range(80)]
    pairs = pair_up(questions, [{"dog": "noun"}] * 40, expressions, words)
    right = np.arange(40) < 20
    measured = measure_vgc(pairs, Outcome(right.astype(float), right.repeat(2)), words=0)
    models = {"at": {"consistency": measured, "questions": 0.5, "expressions": None}}
    content = {"usually_seen": "Mixtures have it.", "models": models}
    (tmp_path / "vgc.json").write_bytes(msgspec.json.encode(content))
    section = consistency_section(tmp_path / "vgc.json")
    body = section.body
    assert "40 images. Mixtures have it." in section.intro
    assert "<td>by chance</td><td>25.0</td>" in body and "<td>above it</td><td>25.0 (" in body
    assert "<td>by chance within images</td><td>50.0</td>" in body and "<td>above it</td><td>0.0 (" in body
    assert "<td>control: no word shared</td><td>50.0 (" in body
    assert "not exact" not in consistency_section(tmp_path / "vgc.json").intro
    models["at"]["weights"] = {str(tmp_path / "at"): TakenWeights("last", 50, "iteration 50 of 300")}
    (tmp_path / "vgc.json").write_bytes(msgspec.json.encode(content))
    assert "at was unfinished (iteration 50 of 300)." in consistency_section(tmp_path / "vgc.json").intro
    write_run(tmp_path / "at", make_recipe(tasks=["vqa"]))  # to its end
    before = f"measured {tmp_path / 'at'} at iteration 50, and its last weights are now those of iteration 300"
    assert measured_before(tmp_path / "vgc.json") == before
    report = RunReport()
    (tmp_path / "vgc.json").rename(tmp_path / "at" / "vgc.json")
    _add_consistency(report, [tmp_path / "at"], [], {}, tmp_path)
    assert not report.sections and before in report.lacks[0].what
    content["models"]["at"]["consistency"] = measure_vgc(
        pair_up(["coco:1"], [{"dog": "noun"}], ["coco:1"], [{"dog": "noun"}]), Outcome(np.ones(1), right[:1]), words=0
    )
    (tmp_path / "vgc.json").write_bytes(msgspec.json.encode(content))
    assert "fewer than 20 images are not exact" in consistency_section(tmp_path / "vgc.json").intro
