"""Sizes, rates, turns and tokens, against the paper's table 8 and numbers worked out by hand."""

from collections import Counter

import pytest
from training.small_runs import make_recipe

from vlmt_cli.base.recipes import load_recipe
from vlmt_cli.datasets.table import GROUPS, TASKS, TWELVE
from vlmt_cli.paper import table
from vlmt_cli.runs.recipe import Recipe
from vlmt_cli.tasks.config import HEADS
from vlmt_cli.training.plan import make_plan

TABLE_8 = {row["dataset"]: row for row in table("table8_samples")}
CLEANED = {task: int(row["cleaned_train"]) for task, row in TABLE_8.items()}


def plan_of(preset, tasks=None, examples=CLEANED, **training):
    settings = [f"training.{key}={value}" for key, value in training.items()]
    recipe = load_recipe(preset, Recipe, settings, **({"tasks": tasks} if tasks else {}))
    return make_plan(recipe, examples)


def test_all_tasks_are_planned_as_table_8_says():
    plan = plan_of("all-tasks")
    assert tuple(plan.tasks) == TWELVE and set(TWELVE) == set(TABLE_8)
    assert (plan.iterations, plan.warmup, plan.learning_rate) == (40_000, 4_000, 2e-5)
    for task, one in plan.tasks.items():
        row = TABLE_8[task]
        assert one.batch_size == int(row["batch_size"]) and one.learning_rate == float(row["lr"])
        assert one.scale == pytest.approx(2 if task in ("vqa", "vg_qa", "gqa") else 1)
        assert one.epoch == one.evaluate_every == int(row["cleaned_train"]) // int(row["batch_size"])
    assert plan.tasks["vqa"].epoch == 4235  # 542,104 by 128: "84K" iterations are its 20 epochs (section 3.3)
    assert plan.tasks["refcocog"].epoch == 255


def test_without_iterations_it_is_20_epochs_of_the_task_that_needs_most():
    assert plan_of("single-task", "vqa").iterations == 20 * 4235
    assert plan_of("group-task", "G1").iterations == 20 * (1_294_255 // 128)
    assert plan_of("single-task", "refcocog", epochs=0.5).iterations == 128


def test_a_head_trains_at_the_minimum_rate_of_the_tasks_that_share_it():
    heads = plan_of("all-tasks").heads
    assert heads == {head: 4e-5 if head in ("vqa", "gqa") else 2e-5 for head in HEADS}
    assert plan_of("pairs", "vqa,vg_qa,refcoco").heads == {"vqa": 4e-5, "referring": 2e-5}
    own = {"learning_rates.vg_qa": 1e-5, "learning_rates.refcoco": 2e-6}
    assert plan_of("pairs", "vqa,vg_qa,refcoco,visual7w", **own).heads == {"vqa": 1e-5, "referring": 2e-6}
    assert plan_of("all-tasks", learning_rate=1e-3).heads == dict.fromkeys(HEADS, 1e-3)


def test_the_least_rate_is_the_base_and_others_scale_their_loss():
    plan = plan_of("group-task", "vqa,coco", **{"learning_rates.coco": 1e-6})
    assert plan.learning_rate == 1e-6
    assert {task: one.scale for task, one in plan.tasks.items()} == pytest.approx({"vqa": 40, "coco": 1})
    alone = plan_of("single-task", "vqa")
    assert (alone.learning_rate, alone.tasks["vqa"].scale) == (4e-5, 1)


@pytest.mark.parametrize(
    ("setting", "base", "scales"),
    [({}, 2e-5, (2, 1, 1, 1)), ({"learning_rates.flickr30k_entities": 2e-6}, 2e-6, (20, 10, 10, 1))],
)
def test_table_5_trains_its_base_at_the_papers_least_rate_or_at_the_authors(setting, base, scales):
    plan = plan_of("table-5", examples={**CLEANED, "flickr30k_entities": 427_000}, **setting)
    assert plan.learning_rate == base
    assert tuple(one.scale for one in plan.tasks.values()) == pytest.approx(scales)


def test_a_batch_is_no_larger_than_the_data():
    plan = plan_of("all-tasks", examples=dict.fromkeys(TWELVE, 100))
    assert {task: one.batch_size for task, one in plan.tasks.items()} == {
        task: 64 if task in ("guesswhat", "nlvr2") else 100 for task in TWELVE
    }
    assert all(one.epoch == 1 for one in plan.tasks.values())


def test_the_rate_rises_to_its_full_height_and_falls_to_almost_nothing():
    plan = plan_of("single-task", "vqa", iterations=100, learning_rate=1.0)
    rates = [plan.rate(iteration) for iteration in range(1, 101)]
    assert rates[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert rates[9:] == pytest.approx([k / 91 for k in range(91, 0, -1)])
    flat = plan_of("single-task", "vqa", iterations=4, learning_rate=1.0, warmup=0)
    assert [flat.rate(iteration) for iteration in (1, 2, 3, 4)] == pytest.approx([0.8, 0.6, 0.4, 0.2])
    rising = plan_of("single-task", "vqa", iterations=4, learning_rate=1.0, warmup=1)
    assert [rising.rate(iteration) for iteration in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize(
    ("preset", "first"),
    [
        ("curriculum", GROUPS["G3"]),
        ("curriculum-g4", GROUPS["G4"]),
        ("anti-curriculum", GROUPS["G1"]),
        ("vanilla", TWELVE),
    ],
)
def test_a_curriculum_lets_one_group_train_alone(preset, first):
    plan = plan_of(preset, iterations=50)
    turns = [plan.turn(iteration) for iteration in range(1, 51)]
    assert [set(turn) for turn in turns] == [set(first)] * 10 + [set(TWELVE)] * 40
    # The rate has risen to its full height long before the others join.
    assert max(range(1, 51), key=plan.rate) == plan.warmup == 5


@pytest.mark.parametrize(
    ("alone", "lengths"), [("0.1", (2, 2, 16)), ("[0.1, 0.3]", (2, 6, 12)), ("[0, 0.3]", (0, 6, 14))]
)
def test_a_curriculum_takes_groups_in_any_order_each_for_its_share(alone, lengths):
    plan = plan_of("vanilla", "vqa,coco,nlvr2,snli_ve", iterations=20, curriculum="[G4, G2]", alone=alone)
    turns = [plan.turn(iteration) for iteration in range(1, 21)]
    first, second, both = lengths
    assert turns == [("nlvr2", "snli_ve")] * first + [("coco",)] * second + [("vqa", "coco", "nlvr2", "snli_ve")] * both
    grounding = plan_of("table-5", examples=dict.fromkeys(TASKS, 100), curriculum="G3")
    assert grounding.turn(1) == ("flickr30k_entities",)
    for task in plan.tasks:
        mine = [iteration for iteration, turn in enumerate(turns, 1) if task in turn]
        assert [at for begin, end in plan.spans(task) for at in range(begin + 1, end + 1)] == mine


@pytest.mark.parametrize(("preset", "root"), [("size-proportional", 1), ("temperature", 2)])
def test_tasks_are_drawn_by_size_and_temperature(preset, root):
    plan = plan_of(preset)
    shares = {task: examples ** (1 / root) for task, examples in CLEANED.items()}
    shares = {task: share / sum(shares.values()) for task, share in shares.items()}
    draws = [plan.draw(iteration, 7) for iteration in range(1, 1001)]
    assert {len(draw) for draw in draws} == {12}  # as many updates as in round robin
    drawn = Counter(task for draw in draws for task in draw)
    for task, share in shares.items():
        # Five standard deviations of a binomial distribution: one of 24 counts beyond it is a matter of 1e-5.
        assert abs(drawn[task] - 12_000 * share) < 5 * (12_000 * share * (1 - share)) ** 0.5
    assert plan_of(preset).draw(500, 7) == draws[499] != plan.draw(500, 8)
    assert make_recipe(preset).training.gap == 1 and plan_of("all-tasks").draw(1, 7) == ()
    alone = plan_of(preset, iterations=50, curriculum="G4")
    assert set(alone.draw(10, 0)) <= set(GROUPS["G4"]) and len(alone.draw(10, 0)) == len(GROUPS["G4"])


def test_drawn_tasks_do_without_stop_and_go_unless_it_is_asked_for():
    settings = {"temperature=2": 1, "gap=4": 4, "temperature=null": 4}
    assert [load_recipe("all-tasks", Recipe, [f"training.{setting}"]).training.gap for setting in settings] == [
        *settings.values()
    ]
    both = load_recipe("size-proportional", Recipe, ["training.gap=8"]).training
    assert (both.temperature, both.gap) == (1, 8)


def test_older_recipes_say_order():
    for order, groups in (("curriculum", ("G3",)), ("anti-curriculum", ("G1",)), ("round-robin", ())):
        assert Recipe(training={"order": order}).training.curriculum == groups


def test_task_tokens_are_of_the_dataset_or_of_the_group_or_none():
    tokens = {preset: plan_of(preset).tasks for preset in ("all-tasks", "token-per-group", "no-task-token")}
    by_dataset = {"vqa": 1, "vg_qa": 2, "gqa": 15, "coco": 7, "flickr30k": 8, "refcoco": 9, "refcoco+": 10}
    by_dataset |= {"refcocog": 11, "visual7w": 4, "guesswhat": 17, "nlvr2": 12, "snli_ve": 13}
    assert {task: one.token for task, one in tokens["all-tasks"].items()} == by_dataset
    groups = {"vqa": 1, "vg_qa": 1, "gqa": 1, "coco": 7, "flickr30k": 7, "nlvr2": 12, "snli_ve": 12}
    by_group = {task: groups.get(task, 4) for task in TWELVE}
    assert {task: one.token for task, one in tokens["token-per-group"].items()} == by_group
    assert {one.token for one in tokens["no-task-token"].values()} == {None}
    pretraining = make_plan(make_recipe("pretrain"), {"conceptual_captions": 100})
    assert [one.token for one in pretraining.tasks.values()] == [None]
