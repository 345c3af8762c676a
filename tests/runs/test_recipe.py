"""What a recipe may say, and that a run keeps all of it."""

from dataclasses import replace

import pytest
import yaml
from pydantic import ValidationError

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.recipes import load_recipe, recipes_folder
from vlmt_cli.datasets.table import GROUPS, TASKS, TWELVE
from vlmt_cli.evaluation.score_tables import paper_rows
from vlmt_cli.paper import table
from vlmt_cli.runs.recipe import (
    RECIPE,
    Recipe,
    check_tokens,
    keys_of,
    load_training,
    read_recipe,
    write_recipe,
)
from vlmt_cli.trunks.table import TRUNKS

PRESETS = sorted({path.stem for path in recipes_folder().glob("*.yaml")} - {"data", "mini"})


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ("all", TWELVE),
        ("vqa", ("vqa",)),
        ("vqa, gqa", ("vqa", "gqa")),
        ("G2", ("coco", "flickr30k")),
        (["G4", "vqa", "nlvr2"], ("nlvr2", "snli_ve", "vqa")),
        ("flickr30k_entities", ("flickr30k_entities",)),
    ],
)
def test_tasks_are_named_by_dataset_group_or_all(tasks, expected):
    assert Recipe(tasks=tasks).tasks == expected


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("refcoc", "did you mean refcoco or refcocog"),
        ("", "tasks names none"),
        ([], "tasks names none"),
        ("conceptual_captions vqa", "pre-training goes alone"),
    ],
)
def test_other_tasks_are_refused(tasks, message):
    with pytest.raises(ValidationError, match=message):
        Recipe(tasks=tasks)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_run_keeps_its_whole_recipe(preset, tmp_path):
    for scale in (None, "mini"):
        recipe = load_recipe(preset, Recipe, ["training.gap=5"], scale)
        (tmp_path / RECIPE).write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
        again = read_recipe(tmp_path)
        assert again == recipe and again.hash() == recipe.hash() and again.training.gap == 5


def test_two_tasks_never_share_a_token_of_their_own(monkeypatch):
    monkeypatch.setitem(TASKS, "okvqa", replace(TASKS["vqa"], token=2))
    tasks = Recipe(tasks="vqa, okvqa, vg_qa").tasks
    advice = r"okvqa and vg_qa have the same task token, row 2; .* \(0, 3, 5, 6, 14, 16, 19\)"
    with pytest.raises(UsageError, match=advice):
        check_tokens(tasks, "dataset", 20)
    check_tokens(tasks, "group", 20)
    check_tokens(tasks, "none", 20)


def test_every_choice_is_in_the_hash():
    hashes = {load_recipe("all-tasks", Recipe, [one]).hash() for one in (
        "training.gap=4", "training.gap=5", "split=full", "start=x", "model.task_token=group", "masking.share=0.2",
        "features.regions=36", "tasks=G1",
    )}  # fmt: skip
    assert len(hashes) == 8
    assert load_recipe("no-dsg", Recipe).hash() == load_recipe("all-tasks", Recipe, ["training.gap=1"]).hash()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_derived_recipe_says_only_what_differs(preset):
    said = yaml.safe_load((recipes_folder() / f"{preset}.yaml").read_text())
    base = said.pop("base", None)
    if base is None:
        return
    said.pop("reproduces")  # every recipe says it, an equal list included
    before = load_recipe(base, Recipe).model_dump(mode="json")
    for section, value in said.items():
        if isinstance(value, dict):
            assert all(before[section][key] != one for key, one in value.items())
        else:
            assert load_recipe(preset, Recipe).model_dump(mode="json")[section] != before[section]


def test_the_rows_of_table_2_have_their_tasks():
    rows = {
        "single-task": ("vqa",),
        "group-task": GROUPS["G1"],
        "all-tasks": TWELVE,
        "all-tasks-without-g4": tuple(task for task in TWELVE if task not in GROUPS["G4"]),
    }
    assert {preset: load_recipe(preset, Recipe).tasks for preset in rows} == rows
    starts = {preset: load_recipe(preset, Recipe).start for preset in ("group-to-single", "all-to-single", "all-tasks")}
    assert starts == {"group-to-single": "group-task", "all-to-single": "all-tasks", "all-tasks": "auto"}


def test_a_folder_without_a_recipe_or_with_a_damaged_one_is_named(tmp_path):
    with pytest.raises(DataError, match="holds no run; name a folder that vlmt train made"):
        read_recipe(tmp_path)
    damages = {
        "training: {gap: 0}": "training.gap: input should be greater than 0",
        "training: {gpa: 4}": "there is no key 'training.gpa'; did you mean training.gap",
        "tasks: [": "line 1: is not valid YAML",
        "- 1": "is damaged",
        "version: 9": "was made by a newer vlmt: it has version 9, and this vlmt reads up to 1",
    }
    for damage, message in damages.items():
        (tmp_path / RECIPE).write_text(damage)
        with pytest.raises(DataError) as error:
            read_recipe(tmp_path)
        assert str(error.value).startswith(f"{tmp_path / RECIPE}: {message}"), damage


def test_a_runs_recipe_has_a_version_and_can_be_trained_again(tmp_path):
    recipe = load_recipe("all-tasks", Recipe)
    write_recipe(tmp_path, recipe)
    assert "version: 1" in (tmp_path / RECIPE).read_text()
    assert read_recipe(tmp_path) == recipe == load_recipe(str(tmp_path / RECIPE), Recipe)


def test_a_strategy_other_than_ddp_is_refused_by_name(tmp_path):
    (tmp_path / RECIPE).write_text("training: {strategy: ddp, gap: 3}")  # runs of older versions have it
    assert read_recipe(tmp_path).training.gap == 3
    assert "strategy" not in read_recipe(tmp_path).model_dump()["training"]
    (tmp_path / RECIPE).write_text("training: {strategy: sharded}")
    with pytest.raises(DataError, match=r"training: there is no key strategy any more: .* DDP; leave it out"):
        read_recipe(tmp_path)
    with pytest.raises(UsageError, match="there is no key strategy any more"):
        load_recipe("all-tasks", Recipe, ["training.strategy=sharded"])


def test_pretraining_needs_the_sizes_that_table_8_does_not_have():
    with pytest.raises(ValidationError, match=r"not in table 8: give training\.batch_size"):
        Recipe(tasks="conceptual_captions", training={"learning_rate": 1e-4})


def test_every_recipe_says_which_rows_of_the_paper_it_reproduces():
    runs = {row["run"] for row in table("table10_ablations")}
    rows = {"table2": set(paper_rows()), "table3": {"pairs", "triples"}, **dict.fromkeys(("table6", "table10"), runs)}
    rows |= {"table11": runs, "table12": runs, "table5": {row["model"] for row in table("table5_hdc")}}
    rows |= {number: set(table(f"{number}_state_of_the_art")[0]) for number in ("table4", "table9")}
    named = {}
    for path in recipes_folder().glob("*.yaml"):
        if path.stem not in ("data", "mini"):
            assert "reproduces:" in path.read_text(), path
            for claim in load_recipe(path.stem, Recipe).reproduces:
                number, _, row = claim.partition(" ")
                assert row in rows[number], claim
                assert named.setdefault(claim, path.stem) == path.stem, claim  # one recipe a row
    assert {claim.partition(" ")[2] for claim in named if claim.startswith("table2")} == rows["table2"]


@pytest.mark.parametrize("trunk", sorted(TRUNKS.keys() - {"vilbert"}))
def test_a_trunk_has_the_recipes_of_vilbert_and_those_of_its_released_weights(trunk):
    for preset in ("pretrain", "single-task", "all-tasks"):
        same, own = load_recipe(preset, Recipe, [f"model.trunk={trunk}"]), load_recipe(f"{preset}-{trunk}", Recipe)
        assert own.model_dump(exclude={"reproduces"}) == same.model_dump(exclude={"reproduces"})
    for preset in (f"single-task-{trunk}", f"all-tasks-{trunk}"):
        released = load_recipe(f"{preset}-released", Recipe)
        assert keys_of(released) == keys_of(load_recipe(preset, Recipe))
        assert released.start not in ("auto", None)


@pytest.mark.parametrize(
    ("preset", "keys", "given", "row"),
    [
        ("all-tasks", [], {}, "AT clean"),
        ("all-tasks", ["training.log_every=3", "training.gap=4"], {}, "AT clean"),  # a gap that it has
        ("all-tasks", ["training.iterations=300"], {}, None),
        ("all-tasks", ["training.iterations=300"], {"scale": "mini"}, "AT clean"),
        ("single-task", ["training.limit=100"], {}, None),
        ("single-task", ["training.epochs=1"], {}, None),
        ("all-tasks", ["training.gap=8"], {}, None),
        ("all-tasks", [], {"tasks": ["vqa", "nlvr2"]}, None),
        ("all-tasks", [], {"tasks": ["G1", "G2", "G3"]}, None),
        ("gap-8", [], {}, None),
        ("curriculum", [], {}, None),
        ("table-5", [], {}, None),
        ("all-tasks-without-g4", [], {}, "AT w/o G4 clean"),
        ("single-task", ["split=full"], {"tasks": ["gqa"]}, "ST full"),
        ("all-to-single", [], {"tasks": ["vqa"]}, "AT->ST clean"),
        ("group-task", [], {"tasks": ["G3"]}, "GT clean"),
        ("group-task", [], {"tasks": ["vqa", "nlvr2"]}, None),
    ],
)
def test_a_run_stands_beside_the_row_that_its_recipe_names(preset, keys, given, row):
    assert load_training(preset, keys, **given).paper_row("table2") == row


def test_a_recipe_of_ones_own_reproduces_what_it_says_itself(tmp_path):
    short = tmp_path / "short.yaml"
    short.write_text("base: all-tasks\ntraining: {iterations: 3}\n")
    assert load_training(str(short)).paper_row("table2") is None
    short.write_text(short.read_text() + "reproduces: [table2 AT clean]\n")
    assert load_training(str(short)).paper_row("table2") == "AT clean"


def test_the_mix_of_table_5_is_its_row():
    assert load_recipe("table-5", Recipe).paper_row("table5").startswith("Ours (VQA + COCO")
    assert load_recipe("table-5", Recipe, tasks=["vqa", "coco"]).paper_row("table5") is None
