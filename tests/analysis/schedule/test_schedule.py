"""Schedules are read, counted and replayed as Algorithm 1 says, iteration by iteration."""

import numpy as np
import pytest
from analysis.handmade_runs import make_recipe, write_run
from PIL import Image

from vlmt_cli.analysis.schedule import plot as plot
from vlmt_cli.analysis.schedule.runs import companions, fit, gap_scores
from vlmt_cli.analysis.schedule.schedule import Segment, Setting, read_schedule, replay, setting_of, totals
from vlmt_cli.base.errors import DataError
from vlmt_cli.training.dsg import VARIANTS

PAPER = Setting(gap=4, converged=0.001, diverged=0.005, variant="paper")
TASKS = ["refcoco+", "vqa"]
EACH_EPOCH = "training.evaluate_every=null"


def handmade(folder, *settings, scores=None, **changes):
    """A run of 41 iterations on 50 and 200 examples in batches of 10: validations every 5 and 20."""
    recipe = make_recipe("all-tasks", "training.iterations=41", EACH_EPOCH, *settings, tasks=TASKS)
    small = [0.5, 0.5, 0.5, 0.5, 0.49, 0.49, 0.49, 0.5, 0.4]
    states = ["go", "go", "stop", "stop", "go", "go", "stop", "stop", "stop"]
    scores = scores or {
        "refcoco+": list(zip([5, 10, 15, 20, 25, 30, 35, 40, 41], small, states, strict=True)),
        "vqa": [(20, 0.3, "go"), (40, 0.4, "go"), (41, 0.4, "go")],
    }
    losses = [(20, "vqa", 2.0, 20), (41, "vqa", 1.0, 21), (20, "refcoco+", 2.0, 16), (41, "refcoco+", 1.5, 12)]
    return write_run(folder, recipe, scores, examples={"refcoco+": 50, "vqa": 200}, losses=losses, **changes)


def test_states_and_updates_by_hand(tmp_path):
    found = read_schedule(handmade(tmp_path / "run"))
    assert found.iterations == 41 and setting_of(found.recipe) == PAPER
    small = found.tasks["refcoco+"]
    assert small.segments == (
        Segment(0, 15, "go"),
        Segment(15, 25, "stop"),
        Segment(25, 35, "go"),
        Segment(35, 41, "stop"),
    )
    # Go: 1 to 15 and 26 to 35; stop: 16, 20, 24, 36, 40.
    assert vars(totals(small.segments, 4)) == {"updates": 30, "stops": 2, "goes": 1, "first_stop": 15}
    assert vars(totals(found.tasks["vqa"].segments, 4)) == {"updates": 41, "stops": 0, "goes": 0, "first_stop": None}
    assert small.steers.tolist() == [True] * 8 + [False] and small.scores[-1] == 0.4
    assert small.logged.tolist() == [20, 41] and small.losses.tolist() == [2.0, 1.5]


def test_a_replay_as_it_was_is_what_was_logged(tmp_path):
    found = read_schedule(handmade(tmp_path / "run"))
    assert replay(found, PAPER) == {name: task.segments for name, task in found.tasks.items()}


def test_replays_by_hand(tmp_path):
    found = read_schedule(handmade(tmp_path / "run"))

    def small(**changes):
        return replay(found, Setting(**(vars(PAPER) | changes)))["refcoco+"]

    # Another gap changes no state, as scores are as they were logged.
    assert small(gap=16) == found.tasks["refcoco+"].segments
    assert totals(small(gap=16), 16).updates == 15 + 1 + 10 + 0
    assert totals(small(gap=1), 1).updates == 41
    # 0.49 is 2% below 0.5: at 3% nothing diverges; the last score, 0.4, steers nothing.
    assert small(diverged=0.03) == (Segment(0, 15, "go"), Segment(15, 41, "stop"))
    # At 0 a task stops only when it becomes worse.
    assert small(converged=0.0)[0] == Segment(0, 25, "go")


@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_replays_against_the_rule_step_by_step(tmp_path, variant):
    rng = np.random.default_rng(0)
    for number in range(30):
        gap, every, iterations = int(rng.integers(1, 9)), int(rng.integers(1, 7)), int(rng.integers(20, 90))
        scores = np.maximum.accumulate(rng.random(100)) * (1 - 0.02 * rng.random(100))
        controller = VARIANTS[variant](gap=gap, converged=0.002, diverged=0.01)
        updates, logged, changes = 0, [], []
        for iteration in range(1, iterations + 1):
            updates += controller.trains(iteration)
            if iteration % every == 0:
                before = controller.state
                logged.append((iteration, float(scores[len(logged)]), controller.observe(float(scores[len(logged)]))))
                changes += [controller.state] if controller.state != before else []
        if iterations % every:
            logged.append((iterations, 0.0, controller.state))
        recipe = make_recipe("all-tasks", f"training.iterations={iterations}", EACH_EPOCH, tasks=["vqa"])
        run = write_run(tmp_path / str(number), recipe, {"vqa": logged}, examples=10 * every)
        segments = replay(read_schedule(run), Setting(gap, 0.002, 0.01, variant))["vqa"]
        counted = totals(segments, gap)
        assert (counted.updates, counted.stops, counted.goes) == (
            updates,
            changes.count("stop"),
            changes.count("go"),
        )


def test_a_curriculum_begins_late(tmp_path):
    found = read_schedule(handmade(tmp_path / "run", "training.curriculum=[G3]", "training.alone=0.5"))
    assert found.tasks["vqa"].segments == (Segment(20, 41, "go"),)
    assert totals(found.tasks["vqa"].segments, 4).updates == 21
    assert found.tasks["refcoco+"].segments[0] == Segment(0, 15, "go")


def test_a_group_rests_while_the_next_one_trains_alone(tmp_path):
    settings = ("training.curriculum=[G3, G1]", "training.alone=[0.25, 0.25]")
    found = read_schedule(handmade(tmp_path / "run", *settings))
    assert found.tasks["vqa"].segments == (Segment(10, 41, "go"),)
    small = found.tasks["refcoco+"].segments
    assert small == (Segment(0, 10, "go"), Segment(20, 35, "go"), Segment(35, 41, "stop"))
    # Go: 1 to 10 and 21 to 35; stop: 36, 40. That it goes on is not a change of its state.
    assert vars(totals(small, 4)) == {"updates": 27, "stops": 1, "goes": 0, "first_stop": 35}


def test_other_runs_are_chosen_by_what_they_are(tmp_path):
    run = handmade(tmp_path / "all-tasks")
    handmade(tmp_path / "gap-8", "training.gap=8")
    handmade(tmp_path / "slower", "training.learning_rate=1e-5")
    single = make_recipe("single-task", "training.iterations=41", tasks=["vqa"])
    write_run(tmp_path / "single-vqa", single, {"vqa": [(20, 0.6, "go"), (41, 0.3, "go")]})
    write_run(tmp_path / "single-gqa", make_recipe("single-task", tasks=["gqa"]), {"gqa": 0.5})
    write_run(tmp_path / "a-short-vqa", single.overridden(["training.iterations=41"]), {"vqa": 0.6})
    write_run(tmp_path / "b-begun-vqa", single, {"vqa": 0.9}, end=False)
    handmade(tmp_path / "gap-16", "training.gap=16", end=False)
    (tmp_path / "empty").mkdir()
    singles, gaps, passed = companions(read_schedule(run), sorted(tmp_path.iterdir()))
    reasons = {path.name: reason for path, reason in passed.items()}
    assert reasons.pop("a-short-vqa") == f"is another run of VQA alone than {tmp_path / 'single-vqa'}"
    assert reasons.keys() == {"b-begun-vqa", "gap-16"} and "unfinished (iteration 0 of 41)" in reasons["gap-16"]
    assert {task: one.run.name for task, one in singles.items()} == {"vqa": "single-vqa"}
    assert [one.run.name for one in gaps] == ["gap-8"]
    assert vars(fit(singles["vqa"], "vqa")) == {"best": 0.6, "last": 0.3, "best_at": 20 / 41}


def test_gaps_are_averaged_over_groups_and_seeds(tmp_path):
    runs = []
    for number, (gap, small, large) in enumerate([(4, 0.5, 0.3), (4, 0.7, 0.5), (8, 0.9, 0.1)]):
        scores = {"refcoco+": small, "vqa": large}
        runs.append(read_schedule(handmade(tmp_path / str(number), f"training.gap={gap}", scores=scores)))
    (four, eight), source = gap_scores(runs)
    assert source == "validation" and (four.gap, four.runs, eight.gap, eight.runs) == (4, 2, 8, 1)
    assert four.groups == pytest.approx({"G1": 0.4, "G3": 0.6}) and four.average == pytest.approx(0.5)
    assert eight.groups == pytest.approx({"G1": 0.1, "G3": 0.9})


def test_pictures_are_drawn(tmp_path):
    found = read_schedule(handmade(tmp_path / "run"))
    other = read_schedule(handmade(tmp_path / "other", "training.gap=8"))
    gaps, _ = gap_scores([found, other])
    plot.draw_states(found, tmp_path / "states.png")
    plot.draw_drift(found, "refcoco+", tmp_path / "drift.png")
    plot.draw_drift(found, "vqa", tmp_path / "never-stopped.png")
    plot.draw_updates(found, tmp_path / "updates.png")
    plot.draw_gaps(gaps, gaps, "test", tmp_path / "gaps.png")
    plot.draw_curves(found, {"vqa": other}, tmp_path / "curves.png")
    for path in tmp_path.glob("*.png"):
        pixels = np.asarray(Image.open(path).convert("L"))
        assert pixels.std() > 10, path
    assert len(list(tmp_path.glob("*.png"))) == 6


def test_bad_folders_are_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there are no metrics; name a folder that vlmt train made"):
        read_schedule(tmp_path / "empty")
    run = write_run(tmp_path / "young", make_recipe(), end=False)
    with pytest.raises(DataError, match="was not validated yet"):
        read_schedule(run)
    run = write_run(tmp_path / "other", make_recipe(), {"vqa": 0.5})
    (run / "recipe.yaml").unlink()
    with pytest.raises(DataError, match="holds no run"):
        read_schedule(run)
