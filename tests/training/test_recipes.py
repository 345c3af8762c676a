"""Every recipe trains for two iterations at mini scale, as the row of the paper's tables that it is."""

import pytest
from commands.running import run as vlmt
from training.small_runs import make_recipe, of_kind, set_options

from vlmt_cli.base.recipes import recipes_folder
from vlmt_cli.datasets.table import GROUPS, TWELVE
from vlmt_cli.runs.checkpoint import load_checkpoint
from vlmt_cli.training.job import Job
from vlmt_cli.training.train import train
from vlmt_cli.trunks.table import TRUNKS

NO_TRAINING = ("data", "mini", "size-proportional", "temperature")
"""No recipe, a scale, and draws of tasks, which ``test_resume`` trains."""
FIRST = {"pretrain": "pretrain", "all-tasks": "all-tasks", "group-task": "group-task-G1"}
"""Recipes that others begin with, and the runs that these look for."""
OF_TRUNKS = tuple(
    f"{kind}-{trunk}{weights}"
    for trunk in TRUNKS
    for kind in ("pretrain", "single-task", "all-tasks")
    for weights in ("", "-released")
)
"""Recipes that another trunk alone sets apart (test_recipe.py); test_trunks.py trains each trunk."""
OTHERS = sorted({path.stem for path in recipes_folder().glob("*.yaml")} - {*NO_TRAINING, *FIRST, *OF_TRUNKS})
PRETRAINING = ("pretrain", "pretrain-misaligned", "pretrain-overlapping")
TASKS = {
    **dict.fromkeys(PRETRAINING, ("conceptual_captions",)),
    "single-task": ("vqa",),
    "group-task": GROUPS["G1"],
    "group-to-single": ("vqa",),
    "all-to-single": ("vqa",),
    "pairs": ("vqa", "flickr30k"),
    "triples": ("vqa", "flickr30k", "visual7w"),
    "table-5": ("vqa", "coco", "flickr30k", "flickr30k_entities"),
    **{
        recipe: tuple(task for task in TWELVE if task not in GROUPS["G4"])
        for recipe in ("all-tasks-without-g4", "without-g4-no-dsg", "without-g4-no-task-token")
    },
}
STAGES = {
    **{recipe: [recipe] for recipe in PRETRAINING},
    "no-pretraining": ["no-pretraining"],
    "group-to-single": ["pretrain", "group-task-G1", "group-to-single"],
    "all-to-single": ["pretrain", "all-tasks", "all-to-single"],
}
CURRICULA = {"curriculum": "G3", "curriculum-g4": "G4", "anti-curriculum": "G1"}
WITHOUT_DSG = "no-dsg vanilla without-g4-no-dsg single-task group-to-single all-to-single"
GAPS = {"gap-8": 8, "gap-16": 16} | dict.fromkeys([*WITHOUT_DSG.split(), *CURRICULA, *PRETRAINING], 1)
WITHOUT_TOKEN = "vanilla no-task-token without-g4-no-task-token"
TOKENS = dict.fromkeys([*WITHOUT_TOKEN.split(), *CURRICULA, *PRETRAINING], "none")
TOKENS["token-per-group"] = "group"


@pytest.fixture(scope="module")
def runs(trained_world, tmp_path_factory):
    """A folder of runs; those that others begin with are there."""
    folder = tmp_path_factory.mktemp("runs")
    for preset, name in FIRST.items():
        run(preset, trained_world, folder / name)
    return folder


def run(preset, data, folder):
    assert train(Job(make_recipe(preset, iterations=2), data, folder))


@pytest.mark.parametrize("preset", [*FIRST, *OTHERS])
def test_a_recipe_trains(preset, runs, trained_world):
    name = FIRST.get(preset, preset)
    if preset not in FIRST:
        run(preset, trained_world, runs / name)
    tasks = TASKS.get(preset, TWELVE)
    (start,) = of_kind(runs / name, "start")
    assert tuple(start["tasks"]) == tasks
    assert start["gap"] == GAPS.get(preset, 4)
    assert of_kind(runs / name, "end")[0]["iteration"] == 2
    assert [(line["iteration"], line["task"]) for line in of_kind(runs / name, "train")] == [
        (iteration, task) for iteration in (1, 2) for task in tasks
    ]
    assert {line["task"] for line in of_kind(runs / name, "validation")} == set(tasks)
    tokens = {one["token"] for one in start["tasks"].values()}
    kind = TOKENS.get(preset, "dataset")
    assert tokens == {None} if kind == "none" else len(tokens) == (4 if kind == "group" else len(tasks))
    checkpoint = load_checkpoint(runs / name)
    assert [stage.name for stage in checkpoint.lineage.stages] == STAGES.get(preset, ["pretrain", name])
    assert checkpoint.lineage.stages[-1].steps == 2 * len(tasks)
    assert checkpoint.lineage.stages[-1].images in checkpoint.images
    assert checkpoint.config.pretraining == (preset in PRETRAINING)


def test_a_single_task_trains_until_it_has_converged_and_others_for_all_their_iterations(
    trained_world, tmp_path, capsys
):
    stopping = {preset for preset in [*FIRST, *OTHERS] if make_recipe(preset).training.stop_when_converged}
    assert stopping == {"single-task", "all-to-single", "group-to-single"}
    choices = set_options(iterations=9, evaluate_every=1, validation_examples=40, converged=1000.0)
    options = [word for setting in choices for word in ("--set", setting)]
    command = ["train", "--scale", "mini", "--data", str(trained_world), *options]
    assert vlmt(*command, "--preset", "single-task", "--task", "nlvr2", "--run", str(tmp_path / "alone")) == 0
    assert "alone: converged after 3 of 9 iterations, trained in" in " ".join(capsys.readouterr().out.split())
    assert vlmt(*command, "--preset", "pairs", "--task", "nlvr2,snli_ve", "--run", str(tmp_path / "both")) == 0
    assert "converged" not in capsys.readouterr().out
    ends = [of_kind(tmp_path / name, "end")[0]["iteration"] for name in ("alone", "both")]
    assert ends == [3, 9]


def test_the_full_split_can_follow_the_clean_one(runs, trained_world):
    """Table 2, row 8: all tasks on the clean split, then one on everything."""
    recipe = make_recipe("all-to-single", "refcoco+", iterations=2).model_copy(update={"split": "full"})
    assert train(Job(recipe, trained_world, runs / "row-8"))
    stages = load_checkpoint(runs / "row-8").lineage.stages
    assert [stage.split_hash is None for stage in stages] == [False, False, True]
