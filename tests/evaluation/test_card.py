"""A model card tells what the run is, and the hub's own library reads its scores from it."""

from dataclasses import replace

import pytest
import torch
import yaml
from analysis.test_overview import scores
from huggingface_hub import ModelCard

from vlmt_cli.base.recipes import load_recipe
from vlmt_cli.evaluation.card import write_card
from vlmt_cli.evaluation.scores import make_scores
from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.runs.checkpoint_writer import save_pretrained
from vlmt_cli.runs.lineage import Lineage, Stage
from vlmt_cli.runs.recipe import Recipe, write_recipe
from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.trunks.config import make_config


@pytest.fixture
def made(tmp_path):
    """A run of two tasks of one head, its checkpoint and its recipe."""
    torch.manual_seed(0)
    config = ModelConfig(trunk=make_config("tiny"), heads=("vqa", "referring"), answers={"vqa": 2})
    lineage = Lineage(stages=(Stage(name="mine", split_hash="ab" * 32, steps=7),))
    checkpoint = Checkpoint(MultiTaskModel(config), {"vqa": ["yes", "no"]}, None, lineage)
    recipe = load_recipe("single-task", Recipe, tasks=["refcoco+"])
    (tmp_path / "mine").mkdir()
    write_recipe(tmp_path / "mine", recipe)
    save_pretrained(tmp_path / "mine", checkpoint)
    return tmp_path / "mine", checkpoint, recipe


def measured(task, seen):
    base = scores(seen)
    given = {"split_hash": "ab" * 32, "recipe_hash": None, "leaks_allowed": True, "weights": "last"}
    return make_scores("m", {task: base.tasks["vqa"]}, resamples=9, resampled="image", seed=0, **given)


def test_the_card_of_a_task_names_that_task(made):
    card = (made[0] / "README.md").read_text()
    assert "# ViLBERT on RefCOCO+\n" in card and "12-in-1)" not in card.split("\n# ")[1].splitlines()[0]
    assert "| referring | RefCOCO+ |  |" in card and "| vqa | none of this training | 2 |" in card
    assert "<https://github.com/lichengunc/refer>" in card and "## Scores" not in card
    assert ModelCard(card).data.to_dict() == {
        "license": "unknown",
        "library_name": "vlmt",
        "tags": ["vision-and-language", "vilbert"],
        "datasets": ["refcoco-plus"],
    }


def test_the_hub_reads_the_scores_of_the_evaluation(made):
    run, checkpoint, recipe = made
    result = measured("refcoco+", 100)
    write_card(run, checkpoint, recipe, result)
    card = (run / "README.md").read_text()
    data = ModelCard(card).data
    [read] = data.eval_results
    score = result.tasks["refcoco+"]
    assert (data.model_name, read.metric_value, read.dataset_split) == ("mine", score.score.value, "test")
    assert (read.task_name, read.dataset_type) == ("RefCOCO+", "refcoco-plus")
    assert read.task_type == "referring-expression-comprehension" and "* Training saw some" in read.metric_name
    low, high = 100 * score.score.low, 100 * score.score.high
    assert f"| 50.00* | {low:.2f} to {high:.2f} | 400 |" in card and "ab" * 32 in card
    write_card(run, checkpoint, recipe, measured("refcoco+", 0))
    assert "Training saw none of these images." in (run / "README.md").read_text()


def test_a_licence_that_somebody_chose_stays(made):
    run, checkpoint, recipe = made
    card = run / "README.md"
    card.write_text(card.read_text().replace("license: unknown", "license: cc-by-4.0"))
    save_pretrained(run, replace(checkpoint))
    write_card(run, checkpoint, recipe, measured("refcoco+", 0))
    assert yaml.safe_load(card.read_text().split("---\n")[1])["license"] == "cc-by-4.0"


@pytest.mark.parametrize(
    ("tasks", "title", "pipeline"),
    [
        ("vqa", "ViLBERT on VQA v2", "visual-question-answering"),
        ("vqa,nlvr2", "ViLBERT on VQA v2 and NLVR2", None),
        ("all", "ViLBERT, multi-task (12-in-1)", None),
    ],
)
def test_titles_and_pipelines(made, tasks, title, pipeline):
    run, checkpoint, _ = made
    write_recipe(run, load_recipe("all-tasks", Recipe).model_copy(update={"tasks": Recipe(tasks=tasks).tasks}))
    save_pretrained(run, checkpoint)
    card = (run / "README.md").read_text()
    assert f"# {title}\n" in card and ModelCard(card).data.pipeline_tag == pipeline
