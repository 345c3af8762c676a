"""A score on images that training saw is marked on the page as it is in the terminal."""

import numpy as np

from vlmt_cli.analysis.overview import models_section, scores_section
from vlmt_cli.evaluation.bootstrap import estimate
from vlmt_cli.evaluation.contamination import contrast
from vlmt_cli.evaluation.scores import TaskScore, make_scores, write_scores


def scores(leaked):
    right = (np.arange(400) % 2).astype(float)
    leak = contrast(right, np.arange(400) < 100) if leaked else None
    task = TaskScore(metric="VQA accuracy", split="val", score=estimate(right), contamination=leak)
    made = {"split_hash": "ab" * 32, "recipe_hash": None, "leaks_allowed": leaked}
    return make_scores("at", {"vqa": task}, resamples=9, resampled="image", seed=0, **made)


def test_a_leaked_score_is_marked_on_the_page(tmp_path):
    seen, clean = (scores_section("Tasks", scores(leaked), {"vqa": 0.3}) for leaked in (True, False))
    assert "50.0*" in seen.body and "* training saw some of these images" in seen.intro
    assert "50.0*" not in clean.body and "Training saw none of these images" in clean.intro
    write_scores(tmp_path / "at" / "scores.json", scores(True))
    together = models_section(tmp_path, [("AT", ["at"])], ["vqa"])
    assert ")*<" in together.body and "* training saw some" in together.intro
